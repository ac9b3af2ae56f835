/* SPDX-License-Identifier: MIT */
#include "vmmd/instances.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"

#define BOUND_MS 5000
#define SWEEP_MS 1000
#define ALONE_NS 60000000000ull /* without a proxy: from then on we idle instances out */
#define SECOND_NS 1000000000ull

static const struct tender_owner instance_owner;

const char *instance_state_name(enum instance_state state)
{
	static const char *const names[] = { "starting", "running", "ending" };
	return names[state];
}

static unsigned bucket_of(const char *uuid)
{
	unsigned h = 5381;
	for (; *uuid; uuid++)
		h = h * 33 + (unsigned char)*uuid;
	return h % INSTANCE_BUCKETS;
}

struct instance *instance_find(struct vmmd *v, const char *uuid)
{
	struct instance *i;
	LIST_FOREACH (i, &v->instances.buckets[bucket_of(uuid)], bucket)
		if (strcmp(i->uuid, uuid) == 0)
			return i;
	return NULL;
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static int check_label(struct vmmd *v, const char *text, struct err *err)
{
	struct label label;
	char canonical[PPCE_LABEL_SIZE];
	if (label_parse(v->policy, text, &label, err) < 0 || label_format(v->policy, &label, canonical, err) < 0)
		return -1;
	if (strcmp(canonical, text) != 0)
		return err_set(err, ERR_INVALID, "the label is not in canonical form: %s", canonical);
	return 0;
}

int instance_check(struct vmmd *v, const struct app *app, const char *label, const char *owner, struct err *err)
{
	bool owned = app->r.lifetime == LIFETIME_USER;
	if (owned && !user_valid(owner))
		return err_set(err, ERR_INVALID, "instances of app %s serve one user each: name the user as owner",
			       app->r.name);
	if (!owned && *owner)
		return err_set(err, ERR_INVALID, "instances of app %s are not bound to a user: leave out the owner",
			       app->r.name);
	if (check_label(v, label, err) < 0)
		return -1;
	if (app->nliving >= app->r.max_instances)
		return err_set(err, ERR_FULL, "app %s has %u instances, which is its max_instances", app->r.name,
			       app->nliving);
	if (v->instances.count >= v->config.vmmd.max_instances)
		return err_set(err, ERR_FULL, "there are %u instances, which is vmmd.max_instances",
			       v->instances.count);
	return 0;
}

static int make_channel(int pair[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_UNAVAILABLE, "no channel can be made");
	sock_set_nonblocking(pair[0]); /* the proxy's end */
	return 0;
}

static uint32_t reset_mode(const struct app *app)
{
	if (app->r.lifetime != LIFETIME_REQUEST)
		return CONTROL_RESET_NONE;
	return app->r.discard ? CONTROL_RESET_DISCARD : CONTROL_RESET_PRISTINE;
}

/* A shell, or a new process: the order to bind waits in its socket until the VM is there. */
static int take_tender(struct vmmd *v, struct instance *i, struct err *err)
{
	i->tender = shells_take(v);
	i->from_shell = i->tender != NULL;
	if (i->from_shell) {
		tender_give(i->tender, &instance_owner, i);
		return 0;
	}
	i->tender = tender_spawn(v, &instance_owner, i, err);
	if (!i->tender)
		return -1;
	i->spawn_us = i->tender->spawn_us;
	return 0;
}

/* `store`: the tender's end of the socket to the store, or -1. */
static int bind_tender(struct instance *i, int channel, int store, struct err *err)
{
	struct control_message m = { .type = CONTROL_BIND, .reset = reset_mode(i->app), .has_store = store >= 0 };
	const int fds[] = { i->app->image->snapshot, channel, store };
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	tender_deadline(i->tender, BOUND_MS, "binding the instance");
	return tender_send(i->tender, &m, fds, store >= 0 ? 3 : 2, err);
}

/* A shell may have died a moment ago, which shows when it takes no order: then the next one. */
static int take_and_bind(struct vmmd *v, struct instance *i, int channel, int store, struct err *err)
{
	for (;;) {
		if (take_tender(v, i, err) < 0)
			return -1;
		if (bind_tender(i, channel, store, err) == 0)
			break;
		tender_give(i->tender, &tender_nobody, NULL);
		if (!i->from_shell)
			return -1;
	}
	if (i->from_shell)
		v->metrics.starts_shell++;
	else
		v->metrics.starts_cold++;
	return 0;
}

static void insert(struct vmmd *v, struct instance *i)
{
	LIST_INSERT_HEAD(&v->instances.buckets[bucket_of(i->uuid)], i, bucket);
	LIST_INSERT_HEAD(&i->app->instances, i, app_link);
	v->instances.count++;
	i->app->ninstances++;
	i->app->nliving++;
}

static struct instance *prepare(struct app *app, const char *label, const char *owner)
{
	struct instance *i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	i->app = app;
	i->held = -1;
	i->slot = TAINT_NONE;
	i->started_ns = clock_ns();
	uuid_new(i->uuid);
	memcpy(i->digest, app->image->r.digest, sizeof i->digest);
	snprintf(i->label, sizeof i->label, "%s", label);
	snprintf(i->owner, sizeof i->owner, "%s", owner);
	return i;
}

/* With a socket to the store where the image lists queries. */
static int attach_and_bind(struct vmmd *v, struct instance *i, int channel, struct err *err)
{
	const char *queries = i->app->image->r.queries;
	int store = *queries ? attach_instance(v, i, queries, err) : -1;

	if (*queries && store < 0)
		return -1;
	int rc = take_and_bind(v, i, channel, store, err);
	sock_close(&store);
	if (rc < 0)
		attach_release(v, i);
	return rc;
}

struct instance *instance_start(struct vmmd *v, struct app *app, const char *label, const char *owner, uint64_t id,
				struct err *err)
{
	int pair[2];
	struct instance *i = prepare(app, label, owner);
	if (!i) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	if (make_channel(pair, err) < 0) {
		free(i);
		return NULL;
	}
	int rc = attach_and_bind(v, i, pair[1], err);
	sock_close(&pair[1]);
	if (rc < 0) {
		sock_close(&pair[0]);
		free(i);
		return NULL;
	}
	insert(v, i);
	route_instance(v, i, id, pair[0]);
	event_add(&v->events, "instance-started", app->r.name, i->uuid, "%s%s%s, %s", i->label,
		  *i->owner ? ", for " : "", i->owner, i->from_shell ? "from a shell" : "with nothing made ahead");
	return i;
}

int instance_rechannel(struct instance *i)
{
	struct control_message m = { .type = CONTROL_CHANNEL };
	struct err err;
	int pair[2];

	if (i->state == INSTANCE_ENDING)
		return -1;
	if (make_channel(pair, &err) < 0) {
		instance_stop(i, "%s", err.text);
		return -1;
	}
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	if (tender_send(i->tender, &m, &pair[1], 1, &err) < 0)
		sock_close(&pair[0]);
	sock_close(&pair[1]);
	return pair[0];
}

/* --- life and end ------------------------------------------------------------------------------------------------ */

static void tell_started(struct instance *i, const struct err *err)
{
	instance_started_fn *fn = i->started;
	i->started = NULL;
	if (fn)
		fn(i->started_ctx, i, err);
}

void instance_stop(struct instance *i, const char *fmt, ...)
{
	char reason[PPCE_REASON_SIZE];
	va_list args;

	if (i->state == INSTANCE_ENDING)
		return;
	va_start(args, fmt);
	vsnprintf(reason, sizeof reason, fmt, args);
	va_end(args);
	i->state = INSTANCE_ENDING;
	i->app->nliving--;
	tender_kill(i->tender, "%s", reason);
}

/* Logs carry no label and operators no clearance: what an instance says after it has read stays out of them. */
static const char *loggable(const struct instance *i, const char *text)
{
	struct vmmd *v = i->tender->v;
	if (v->config.vmmd.labelled_logs || !attach_has_read(v, i))
		return text;
	return "(withheld: the instance has read labelled data; vmmd.labelled_logs shows it)";
}

static void take_log(struct instance *i, const struct control_message *m)
{
	struct vmmd *v = i->tender->v;
	uint64_t now = clock_ns();
	char text[80];

	if (now - i->log_window_ns >= SECOND_NS) {
		if (i->log_dropped) {
			snprintf(text, sizeof text, "%u lines were left out here: more than %d a second",
				 i->log_dropped, APPLOG_RATE);
			applog_write(&i->app->log, v->config.dir, i->app->r.name, 4, i->uuid, text);
		}
		i->log_window_ns = now;
		i->log_lines = i->log_dropped = 0;
	}
	if (++i->log_lines > APPLOG_RATE) {
		i->log_dropped++;
		v->metrics.log_dropped++;
		return;
	}
	v->metrics.log_lines++;
	applog_write(&i->app->log, v->config.dir, i->app->r.name, m->severity, i->uuid, loggable(i, m->reason));
}

static void on_message(struct tender *t, const struct control_message *m)
{
	struct instance *i = t->ctx;
	switch (m->type) {
	case CONTROL_SHELL_READY:
		i->create_us = m->create_us;
		return;
	case CONTROL_BOUND:
		if (i->state != INSTANCE_BINDING)
			break;
		i->state = INSTANCE_RUNNING;
		i->bind_us = m->bind_us;
		histogram_add(&t->v->metrics.bind, m->bind_us);
		tender_deadline(t, 0, NULL);
		tell_started(i, NULL);
		return;
	case CONTROL_LOG:
		take_log(i, m);
		return;
	case CONTROL_FAILED:
		return;
	}
	tender_kill(t, "the tender sent a message out of turn");
}

static void note_end(struct vmmd *v, struct instance *i, bool orderly)
{
	const char *reason = orderly ? i->tender->reason : loggable(i, i->tender->reason);
	v->metrics.ends++;
	if (!orderly) {
		v->metrics.ends_failed++;
		applog_write(&i->app->log, v->config.dir, i->app->r.name, 3, i->uuid, reason);
	}
	event_add(&v->events, orderly ? "instance-ended" : "instance-failed", i->app->r.name, i->uuid, "%s", reason);
}

static void forget(struct vmmd *v, struct instance *i)
{
	struct app *app = i->app;
	LIST_REMOVE(i, bucket);
	LIST_REMOVE(i, app_link);
	v->instances.count--;
	app->ninstances--;
	sock_close(&i->held);
	attach_release(v, i);
	free(i);
	app_release(app);
}

static void on_ended(struct tender *t)
{
	struct instance *i = t->ctx;
	struct vmmd *v = t->v;
	bool orderly = i->state == INSTANCE_ENDING || !t->failed;
	struct err err;

	if (i->state != INSTANCE_ENDING) {
		i->state = INSTANCE_ENDING;
		i->app->nliving--;
	}
	route_gone(v, i, t->reason);
	note_end(v, i, orderly);
	err_set(&err, ERR_BAD_GATEWAY, "the instance did not start: %s", t->reason);
	tell_started(i, &err);
	if (i->gone)
		i->gone(i->gone_ctx);
	forget(v, i);
}

static const struct tender_owner instance_owner = { on_message, on_ended };

/* --- the backstop: the proxy ends instances by age and idleness; this is for when it does not --------------------- */

static void sweep_one(struct instance *i, uint64_t now, bool alone)
{
	const struct app_record *r = &i->app->r;
	uint64_t used = i->tender->stats->last_used_ns;

	if (i->state != INSTANCE_RUNNING)
		return;
	if (used < i->started_ns || used > now) /* not used yet, or nonsense */
		used = i->started_ns;
	if (r->max_age_s && now - i->started_ns > 2ull * r->max_age_s * SECOND_NS)
		instance_stop(i, "older than twice max_age");
	else if (alone && r->idle_s && now - used > r->idle_s * SECOND_NS)
		instance_stop(i, "idle, and no proxy is connected");
}

static void sweep(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	struct instance *i;
	uint64_t now = clock_ns();
	bool alone = !route_connected(v) && now - v->route.lost_ns > ALONE_NS;
	INSTANCE_FOREACH (v, i)
		sweep_one(i, now, alone);
}

void instances_init(struct vmmd *v)
{
	for (unsigned b = 0; b < INSTANCE_BUCKETS; b++)
		LIST_INIT(&v->instances.buckets[b]);
	v->instances.sweep.data = v;
	uv_timer_init(&v->loop, &v->instances.sweep);
	uv_timer_start(&v->instances.sweep, sweep, SWEEP_MS, SWEEP_MS);
}

void instances_end(struct vmmd *v)
{
	struct err err = { .kind = ERR_UNAVAILABLE, .text = "the daemon ends" };

	uv_close((uv_handle_t *)&v->instances.sweep, NULL);
	tenders_end_all(v);
	for (unsigned b = 0; b < INSTANCE_BUCKETS; b++) {
		struct instance *i;
		while ((i = LIST_FIRST(&v->instances.buckets[b]))) {
			tell_started(i, &err);
			if (i->gone)
				i->gone(i->gone_ctx);
			forget(v, i);
		}
	}
}
