/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "vmmd/rest_api.h"

static void set_number(json_t *j, const char *key, uint64_t value)
{
	json_object_set_new(j, key, json_integer((json_int_t)(value & INT64_MAX)));
}

/* Figures from the tender's own page: shown, never acted upon. */
static void add_stats(json_t *j, const struct instance *i, uint64_t now)
{
	struct tender_stats s = tender_stats(i->tender);
	set_number(j, "requests", s.requests);
	set_number(j, "failures", s.failures);
	set_number(j, "resets", s.resets);
	set_number(j, "rewarms", s.rewarms);
	set_number(j, "resident_kib", s.resident_kib);
	set_number(j, "busy_us", s.busy_ns / 1000);
	set_number(j, "reset_us", s.reset_ns / 1000);
	if (i->net) {
		set_number(j, "frames_in", s.frames_in);
		set_number(j, "frames_out", s.frames_out);
		set_number(j, "frames_dropped", s.frames_dropped);
	}
	if (s.last_used_ns && s.last_used_ns <= now)
		set_number(j, "idle_s", (now - s.last_used_ns) / 1000000000ull);
	else
		json_object_set_new(j, "idle_s", json_null());
}

/* "" for each that it does not have. */
static void add_network(json_t *j, const struct instance *i)
{
	const struct instance_net *net = i->net;
	char address[32] = "";
	if (net && net->ipv4)
		snprintf(address, sizeof address, "%u.%u.%u.%u:%u", net->ipv4 >> 24, net->ipv4 >> 16 & 255,
			 net->ipv4 >> 8 & 255, net->ipv4 & 255, i->app->r.port);
	json_object_set_new(j, "transport", json_string(app_transport_name(i->app->r.transport)));
	json_object_set_new(j, "address", json_string(address));
	json_object_set_new(j, "sinks", json_string(net ? net->sinks : ""));
	json_object_set_new(j, "tap", json_string(net ? net->name : ""));
	json_object_set_new(j, "tap_from_pool", net && net->ipv4 ? json_boolean(net->from_pool) : json_null());
}

static const char *backend_name(const struct vmmd *v, const struct instance *i)
{
	return i->external ? "solo5-hvt" : v->tenders.kvm ? "kvm" : "process";
}

static const char *isolation_name(const struct vmmd *v, const struct instance *i)
{
	return i->external ? "solo5-hvt" : v->tenders.kvm ? "vm" : "process";
}

static json_t *instance_json(struct vmmd *v, const struct instance *i)
{
	uint64_t now = clock_ns();
	json_t *j =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "uuid", i->uuid, "app", i->app->r.name,
			  "image", i->app->r.image, "digest", i->digest, "label", i->label, "owner", i->owner,
			  "lifetime", app_lifetime_name(i->app->r.lifetime), "state", instance_state_name(i->state),
			  "backend", backend_name(v, i), "isolation", isolation_name(v, i));
	if (!j)
		return NULL;
	set_number(j, "pid", (uint64_t)i->tender->pid);
	set_number(j, "age_s", (now - i->started_ns) / 1000000000ull);
	set_number(j, "spawn_us", i->spawn_us);
	set_number(j, "create_us", i->create_us);
	set_number(j, "bind_us", i->bind_us);
	json_object_set_new(j, "from_shell", json_boolean(i->from_shell));
	json_object_set_new(j, "start", json_string(app_start_name(i->app->r.boot)));
	json_object_set_new(j, "keep", json_boolean(i->pool != NULL));
	add_network(j, i);
	if (!i->external) /* else only the proxy sees its requests */
		add_stats(j, i, now);
	return j;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

struct start {
	struct rest_call *call;
	char app[PPCE_NAME_SIZE];
	char label[PPCE_LABEL_SIZE]; /* empty: the image's default */
	char owner[PPCE_USER_SIZE];
};

static void started(void *ctx, struct instance *i, const struct err *err)
{
	struct rest_call *call = ctx;
	if (err)
		rest_fail(call, err);
	else
		rest_reply(call, 201, instance_json(call->ctx, i));
}

static int start_now(struct vmmd *v, const struct start *s, struct err *err)
{
	struct app *app = app_find(v, s->app);
	if (!app)
		return err_set(err, ERR_NOT_FOUND, "there is no app %s", s->app);
	const char *label = *s->label ? s->label : *app->image->r.label ? app->image->r.label : v->bottom;
	if (instance_check(v, app, label, s->owner, err) < 0)
		return -1;
	struct instance_wish wish = { .label = label, .owner = s->owner, .started = started, .started_ctx = s->call };
	return instance_start(v, app, &wish, err) ? 0 : -1;
}

static void on_image(struct vmmd *v, void *ctx, const struct err *why)
{
	struct start *s = ctx;
	struct err err;
	if (why)
		rest_fail(s->call, why);
	else if (v->ending || start_now(v, s, &err) < 0) {
		if (v->ending)
			err_set(&err, ERR_UNAVAILABLE, "the daemon ends");
		rest_fail(s->call, &err);
	}
	free(s);
}

static int decode_start(const struct rest_call *call, struct start *s, struct err *err)
{
	if (json_get_text(call->body, "app", s->app, sizeof s->app, err) < 0 ||
	    rest_label(call->ctx, call->body, "label", s->label, err) < 0 ||
	    json_get_text(call->body, "owner", s->owner, sizeof s->owner, err) < 0)
		return -1;
	return 0;
}

void rest_instance_start(struct rest_call *call)
{
	struct vmmd *v = call->ctx;
	struct start *s = calloc(1, sizeof *s);
	struct err err;
	struct app *app = NULL;

	if (!s)
		err_set(&err, ERR_INTERNAL, "out of memory");
	else if (decode_start(call, s, &err) == 0 && !(app = app_find(v, s->app)))
		err_set(&err, ERR_NOT_FOUND, "there is no app of this name: see `ppce app ls`");
	if (!app) {
		free(s);
		rest_fail(call, &err);
		return;
	}
	s->call = rest_defer(call);
	struct rest_call *later = s->call;
	if (image_wait(v, app->image, on_image, s, &err) == 0)
		return;
	free(s);
	rest_fail(later, &err);
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static void list(void *ctx, const struct memory_survey *s)
{
	struct rest_call *call = ctx;
	struct vmmd *v = call->ctx;
	const struct instance *i;
	if (rest_refuse_ending(call))
		return;
	json_t *rows = json_array();
	INSTANCE_FOREACH (v, i) {
		json_t *row = instance_json(v, i);
		rest_add_memory(row, s, i->tender->pid);
		json_array_append_new(rows, row);
	}
	rest_reply(call, 200, json_pack("{s:o}", "instances", rows));
}

void rest_instance_list(struct rest_call *call)
{
	struct rest_call *later = rest_defer(call);
	struct err err;
	if (memory_survey(later->ctx, list, later, &err) < 0)
		rest_fail(later, &err);
}

static struct instance *named(struct rest_call *call)
{
	struct err err;
	struct instance *i = instance_find(call->ctx, call->param[0]);
	if (!i) {
		err_set(&err, ERR_NOT_FOUND, "there is no instance of this UUID: it may have ended");
		rest_fail(call, &err);
	}
	return i;
}

void rest_instance_get(struct rest_call *call)
{
	const struct instance *i = named(call);
	if (i)
		rest_reply(call, 200, instance_json(call->ctx, i));
}

static void gone(void *ctx)
{
	rest_reply(ctx, 204, NULL);
}

/* Answers when the process is gone, so that a listing after it does not show it any more. */
void rest_instance_stop(struct rest_call *call)
{
	struct instance *i = named(call);
	if (!i)
		return;
	instance_stop(i, "stopped by the operator");
	if (i->gone) { /* somebody waits already */
		rest_reply(call, 204, NULL);
		return;
	}
	i->gone = gone;
	i->gone_ctx = rest_defer(call);
}
