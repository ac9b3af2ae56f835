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

#define SWEEP_MS 1000
#define ALONE_NS 60000000000ull /* without a proxy: from then on we idle instances out */
#define SECOND_NS 1000000000ull

const char *instance_state_name(enum instance_state state)
{
	static const char *const names[] = { "starting", "starting", "running", "ending" };
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

/* --- before and at the start ------------------------------------------------------------------------------------- */

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

int instance_check_key(struct vmmd *v, const struct app *app, const char *label, const char *owner, struct err *err)
{
	bool owned = app->r.lifetime == LIFETIME_USER;
	if (owned && !user_valid(owner))
		return err_set(err, ERR_INVALID, "instances of app %s serve one user each: name the user as owner",
			       app->r.name);
	if (!owned && *owner)
		return err_set(err, ERR_INVALID, "instances of app %s are not bound to a user: leave out the owner",
			       app->r.name);
	return check_label(v, label, err);
}

int instance_check(struct vmmd *v, const struct app *app, const char *label, const char *owner, struct err *err)
{
	if (instance_check_key(v, app, label, owner, err) < 0)
		return -1;
	if (app->nliving >= app->r.max_instances)
		return err_set(err, ERR_FULL, "app %s has %u instances, which is its max_instances", app->r.name,
			       app->nliving);
	if (v->instances.count >= v->config.vmmd.max_instances)
		return err_set(err, ERR_FULL, "there are %u instances, which is vmmd.max_instances",
			       v->instances.count);
	return 0;
}

void instance_insert(struct vmmd *v, struct instance *i)
{
	LIST_INSERT_HEAD(&v->instances.buckets[bucket_of(i->uuid)], i, bucket);
	LIST_INSERT_HEAD(&i->app->instances, i, app_link);
	v->instances.count++;
	i->app->ninstances++;
	i->app->nliving++;
}

int instance_make_channel(int pair[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_UNAVAILABLE, "no channel can be made");
	sock_set_nonblocking(pair[0]); /* the proxy's end */
	return 0;
}

int instance_rechannel(struct instance *i)
{
	struct control_message m = { .type = CONTROL_CHANNEL };
	struct err err;
	int pair[2];

	if (i->state == INSTANCE_ENDING)
		return -1;
	if (instance_make_channel(pair, &err) < 0) {
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

void instance_running(struct instance *i)
{
	i->state = INSTANCE_RUNNING;
	tender_deadline(i->tender, 0, NULL);
	tell_started(i, NULL);
}

/* What a sink has said is seen by nobody here, so it counts from the start. */
static bool has_read(const struct vmmd *v, const struct instance *i)
{
	return attach_has_read(v, i) || (i->net && i->net->hears);
}

/* Logs carry no label and operators no clearance: what an instance says after it has read stays out of them. */
static const char *loggable(const struct instance *i, const char *text)
{
	struct vmmd *v = i->tender->v;
	if (v->config.vmmd.labelled_logs || !has_read(v, i))
		return text;
	return "(withheld: the instance has read labelled data; vmmd.labelled_logs shows it)";
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
	pools_lost(i->tender->v, i, loggable(i, i->tender->reason));
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
		i->bind_us = m->bind_us;
		histogram_add(&t->v->metrics.bind, m->bind_us);
		instance_running(i);
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

void instance_failed(struct vmmd *v, struct instance *i, const struct err *err)
{
	route_refuse(v, &i->asked, err);
	tell_started(i, err);
}

void instance_forget(struct vmmd *v, struct instance *i)
{
	struct app *app = i->app;
	if (i->gone)
		i->gone(i->gone_ctx);
	LIST_REMOVE(i, bucket);
	LIST_REMOVE(i, app_link);
	v->instances.count--;
	app->ninstances--;
	sock_close(&i->held);
	attach_release(v, i);
	network_release(v, i);
	foreign_release(i);
	free(i->net);
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
		pools_lost(v, i, loggable(i, t->reason));
	}
	if (i->announced)
		route_gone(v, i, t->reason);
	note_end(v, i, orderly);
	err_set(&err, ERR_BAD_GATEWAY, "the instance did not start: %s", t->reason);
	instance_failed(v, i, &err);
	instance_forget(v, i);
}

const struct tender_owner instance_owner = { on_message, on_ended };

/* --- the backstop: the proxy ends instances by age and idleness; this is for when it does not --------------------- */

static void sweep_one(struct instance *i, uint64_t now, bool alone)
{
	const struct app_record *r = &i->app->r;
	if (i->state == INSTANCE_WAITING)
		return;
	uint64_t used = i->tender->stats->last_used_ns;

	tender_tick(i->tender);
	if (i->state != INSTANCE_RUNNING)
		return;
	if (used < i->started_ns || used > now) /* not used yet, or nonsense */
		used = i->started_ns;
	if (r->max_age_s && now - i->started_ns > 2ull * r->max_age_s * SECOND_NS)
		instance_stop(i, "older than twice max_age");
	else if (alone && r->idle_s && !i->pool && now - used > r->idle_s * SECOND_NS)
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
			instance_forget(v, i);
		}
	}
}
