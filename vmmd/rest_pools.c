/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "lib/http_client.h"
#include "vmmd/memory.h"
#include "vmmd/rest_api.h"

#define TAPS_MS 1000	   /* for ppce-net's answer */
#define TAPS_BYTES 8388608 /* of it: some thousand taps with long labels */

/* --- what is held --------------------------------------------------------------------------------------------------- */

void rest_add_memory(json_t *j, const struct memory_survey *s, pid_t pid)
{
	struct memory_use use;
	bool known = memory_of(s, pid, &use);
	json_object_set_new(j, "private_kib", known ? json_integer((json_int_t)use.private_kib) : json_null());
	json_object_set_new(j, "shared_kib", known ? json_integer((json_int_t)use.shared_kib) : json_null());
}

/* Appends one process to `list` and adds what it holds to the sums. */
static void add_process(json_t *list, const char *uuid, const struct memory_survey *s, pid_t pid,
			struct memory_use *sum)
{
	struct memory_use use = { 0 };
	json_t *j = json_pack("{s:I}", "pid", (json_int_t)pid);
	if (uuid)
		json_object_set_new(j, "uuid", json_string(uuid));
	rest_add_memory(j, s, pid);
	json_array_append_new(list, j);
	memory_of(s, pid, &use);
	sum->private_kib += use.private_kib;
	sum->shared_kib += use.shared_kib;
}

static void add_sums(json_t *j, const struct memory_use *sum)
{
	json_object_set_new(j, "private_kib", json_integer((json_int_t)sum->private_kib));
	json_object_set_new(j, "shared_kib", json_integer((json_int_t)sum->shared_kib));
}

static json_t *shells_json(const struct vmmd *v, const struct memory_survey *s)
{
	struct memory_use sum = { 0 };
	json_t *list = json_array(), *j = json_object();
	const struct tender *t;
	TAILQ_FOREACH (t, &v->shells.list, shell_link)
		add_process(list, NULL, s, t->pid, &sum);
	add_sums(j, &sum);
	json_object_set_new(j, "processes", list);
	return j;
}

static json_t *warm_one(const struct pool *p, const struct memory_survey *s)
{
	struct memory_use sum = { 0 };
	json_t *list = json_array();
	const struct instance *i;
	json_t *j =
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "app", p->r.app, "image", p->app->r.image,
			  "label", p->r.label, "owner", p->r.owner, "want", (json_int_t)p->r.warm, "ready",
			  (json_int_t)(p->alive - (p->starting ? 1 : 0)), "starting", (json_int_t)(p->starting ? 1 : 0),
			  "failures", (json_int_t)p->failures, "last_failure", p->reason);
	LIST_FOREACH (i, &p->app->instances, app_link)
		if (i->pool == p)
			add_process(list, i->uuid, s, i->tender->pid, &sum);
	add_sums(j, &sum);
	json_object_set_new(j, "processes", list);
	return j;
}

static json_t *warm_json(const struct vmmd *v, const struct memory_survey *s)
{
	const struct pool *p;
	json_t *list = json_array();
	TAILQ_FOREACH (p, &v->pools.list, link)
		json_array_append_new(list, warm_one(p, s));
	return list;
}

static json_t *images_json(const struct vmmd *v)
{
	const struct image *i;
	json_t *list = json_array();
	TAILQ_FOREACH (i, &v->images.list, link)
		json_array_append_new(list, json_pack("{s:s, s:I}", "name", i->r.name, "snapshot_kib",
						      (json_int_t)image_snapshot_kib(i)));
	return list;
}

static json_t *pools_json(const struct vmmd *v, const struct memory_survey *s)
{
	json_t *j = json_pack("{s:I, s:I, s:s, s:s, s:I, s:I, s:I}", "shells", (json_int_t)v->shells.want,
			      "shells_ready", (json_int_t)v->shells.ready, "backend",
			      v->tenders.kvm ? "kvm" : "process", "isolation", v->tenders.kvm ? "vm" : "process",
			      "instances", (json_int_t)v->instances.count, "max_instances",
			      (json_int_t)v->config.vmmd.max_instances, "tenders", (json_int_t)v->tenders.count);
	if (v->shells.failures)
		json_object_set_new(j, "shells_failing", json_string(v->shells.reason));
	json_object_set_new(j, "shell_memory", shells_json(v, s));
	json_object_set_new(j, "warm", warm_json(v, s));
	json_object_set_new(j, "images", images_json(v));
	json_object_set_new(j, "not_counted",
			    json_string(v->tenders.kvm ? "the kernel's memory for each virtual machine and process"
						       : "the kernel's memory for each process"));
	return j;
}

/* --- taps: ppce-net knows ----------------------------------------------------------------------------------------- */

static json_t *count_taps(const struct vmmd *v, const json_t *taps)
{
	json_int_t ready = 0, taken = 0;
	const json_t *tap;
	size_t i;
	if (!json_is_array(taps))
		return NULL;
	json_array_foreach (taps, i, tap) {
		const char *state = json_string_value(json_object_get(tap, "state"));
		ready += state && strcmp(state, "ready") == 0;
		taken += state && strcmp(state, "taken") == 0;
	}
	return json_pack("{s:I, s:I, s:I, s:I}", "want", (json_int_t)v->config.network.taps, "ready", ready, "taken",
			 taken, "other", (json_int_t)json_array_size(taps) - ready - taken);
}

/* --- the answer ----------------------------------------------------------------------------------------------------- */

struct report {
	struct vmmd *v;
	struct rest_call *call;
	json_t *taps; /* NULL: none */
};

static void answer(void *ctx, const struct memory_survey *s)
{
	struct report *r = ctx;
	if (rest_refuse_ending(r->call)) {
		json_decref(r->taps);
	} else {
		json_t *j = pools_json(r->v, s);
		if (r->taps)
			json_object_set_new(j, "taps", r->taps);
		rest_reply(r->call, 200, j);
	}
	free(r);
}

static void look_at_memory(struct report *r)
{
	struct err err;
	if (memory_survey(r->v, answer, r, &err) == 0)
		return;
	rest_fail(r->call, &err);
	json_decref(r->taps);
	free(r);
}

static void on_taps(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct report *r = ctx;
	struct err why;
	json_t *body = !err && reply->status == 200 ? json_decode(reply->body, reply->body_len, &why) : NULL;
	r->taps = count_taps(r->v, json_object_get(body, "taps"));
	json_decref(body);
	look_at_memory(r);
}

static void ask_for_taps(struct report *r)
{
	struct vmmd *v = r->v;
	char path[300], address[320];

	if (!v->config.network.enabled || (!v->net_rest && !(v->net_rest = http_client_new(&v->loop)))) {
		look_at_memory(r);
		return;
	}
	snprintf(address, sizeof address, "unix:%s", config_path(&v->config, "run/net-rest.sock", path, sizeof path));
	const struct http_call call = { .address = address,
					.method = "GET",
					.target = "/v1/taps",
					.timeout_ms = TAPS_MS,
					.answer_bytes = TAPS_BYTES };
	http_call_start(v->net_rest, &call, on_taps, r);
}

void rest_pools_get(struct rest_call *call)
{
	struct report *r = calloc(1, sizeof *r);
	struct err err;
	if (!r) {
		err_set(&err, ERR_INTERNAL, "out of memory");
		rest_fail(call, &err);
		return;
	}
	r->v = call->ctx;
	r->call = rest_defer(call);
	ask_for_taps(r);
}

/* --- setting -------------------------------------------------------------------------------------------------------- */

static int set_shells(struct vmmd *v, const json_t *body, struct err *err)
{
	long long shells;
	if (json_object_size(body) > 1)
		return err_set(err, ERR_INVALID, "shells stand alone; instances made ahead are app, label and warm");
	if (json_get_int(body, "shells", 0, SHELLS_MAX, 0, &shells, err) < 0)
		return -1;
	shells_set(v, (unsigned)shells);
	return 0;
}

/* An entry whose label the policy does not know any more can still be removed, by the text that the listing shows. */
static int get_label(struct vmmd *v, const json_t *body, struct pool_record *r, struct err *err)
{
	if (rest_label(v, body, "label", r->label, err) == 0)
		return 0;
	return r->warm ? -1 : json_get_text(body, "label", r->label, sizeof r->label, err);
}

static int set_warm(struct vmmd *v, const json_t *body, struct err *err)
{
	struct pool_record r = { 0 };
	long long warm;

	if (!json_object_get(body, "app") || !json_object_get(body, "label") || !json_object_get(body, "warm"))
		return err_set(err, ERR_INVALID, "expected shells, or app, label and warm");
	if (json_get_text(body, "app", r.app, sizeof r.app, err) < 0 ||
	    json_get_text(body, "owner", r.owner, sizeof r.owner, err) < 0 ||
	    json_get_int(body, "warm", 0, APP_INSTANCES_MAX, 0, &warm, err) < 0)
		return -1;
	r.warm = (uint32_t)warm;
	return get_label(v, body, &r, err) < 0 ? -1 : pools_set(v, &r, err);
}

void rest_pools_put(struct rest_call *call)
{
	struct err err;
	int rc = json_object_get(call->body, "shells") ? set_shells(call->ctx, call->body, &err)
						       : set_warm(call->ctx, call->body, &err);
	if (rc < 0)
		rest_fail(call, &err);
	else
		rest_pools_get(call);
}
