// SPDX-License-Identifier: MIT
#include "auth/outbox.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/log.h"

#define CALL_MS 5000u
#define RETRY_FIRST_MS 50u
#define RETRY_MAX_MS 2000u

struct waiter {
	TAILQ_ENTRY(waiter) all;
	uv_timer_t timer;
	struct outbox *owner;
	int64_t id;
	outbox_done *done;
	void *ctx;
};

struct outbox {
	uv_loop_t *loop;
	struct db *db;
	struct http_client *client;
	uv_timer_t retry;
	char address[320];
	bool enabled, stopping;
	int64_t in_flight; /* id of the event under way, 0: none */
	unsigned retry_ms; /* 0: the last one was delivered */
	unsigned handles;  /* open ones that keep this structure alive */
	TAILQ_HEAD(, waiter) waiters;
};

static void deliver(struct outbox *o);

/* ---- Who waits ---- */

static void handle_gone(struct outbox *o)
{
	if (!--o->handles && o->stopping)
		free(o);
}

static void on_waiter_closed(uv_handle_t *h)
{
	struct waiter *w = h->data;
	struct outbox *o = w->owner;

	free(w);
	handle_gone(o);
}

static void waiter_end(struct waiter *w, enum outbox_fate fate)
{
	TAILQ_REMOVE(&w->owner->waiters, w, all);
	uv_close((uv_handle_t *)&w->timer, on_waiter_closed);
	w->done(w->ctx, fate);
}

static void on_waited(uv_timer_t *timer)
{
	waiter_end(timer->data, OUTBOX_LATER);
}

/* Events go in order, so whoever waits for this one or an earlier one need not wait any more. */
static void settle(struct outbox *o, int64_t id, enum outbox_fate fate)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&o->waiters); w; w = next) {
		next = TAILQ_NEXT(w, all);
		if (w->id <= id)
			waiter_end(w, w->id == id ? fate : OUTBOX_DELIVERED);
	}
}

/* ---- Delivering ---- */

static void on_retry(uv_timer_t *timer)
{
	deliver(timer->data);
}

static void try_again(struct outbox *o, const char *why)
{
	if (!o->retry_ms)
		log_warn("the store was not told of a change of grants, which will be tried again: %s", why);
	o->retry_ms = o->retry_ms ? 2 * o->retry_ms : RETRY_FIRST_MS;
	if (o->retry_ms > RETRY_MAX_MS)
		o->retry_ms = RETRY_MAX_MS;
	if (!o->stopping)
		uv_timer_start(&o->retry, on_retry, o->retry_ms, 0);
}

static int forget(struct outbox *o, int64_t id, struct err *err)
{
	sqlite3_stmt *s = db_prepare(o->db, "DELETE FROM outbox WHERE id = ?1", err);

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, id);
	return db_run(o->db, s, err) < 0 ? -1 : 0;
}

static void delivered(struct outbox *o, int64_t id, enum outbox_fate fate)
{
	struct err err;

	if (forget(o, id, &err)) {
		try_again(o, err.text);
		return;
	}
	if (o->retry_ms)
		log_info("the store takes events again");
	o->retry_ms = 0;
	settle(o, id, fate);
	deliver(o);
}

/* Answers by which the store says that it understood and will never do it. */
static bool refusal(int status)
{
	return status == 400 || status == 403 || status == 409;
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct outbox *o = ctx;
	int64_t id = o->in_flight;
	char why[64];

	o->in_flight = 0;
	if (o->stopping)
		return;
	if (!reply) {
		try_again(o, err->text);
	} else if (reply->status / 100 == 2) {
		delivered(o, id, OUTBOX_DELIVERED);
	} else if (refusal(reply->status)) {
		log_warn("the store refuses event %lld with %d: %.200s", (long long)id, reply->status, reply->body);
		delivered(o, id, OUTBOX_REFUSED);
	} else {
		snprintf(why, sizeof why, "it answered %d", reply->status);
		try_again(o, why);
	}
}

static void post(struct outbox *o, const char *event)
{
	static const struct http_field json = { "Content-Type", "application/json" };
	struct http_call call = { .address = o->address,
				  .method = "POST",
				  .target = "/v1/events",
				  .fields = &json,
				  .nfields = 1,
				  .body = event,
				  .body_len = strlen(event),
				  .timeout_ms = CALL_MS };

	http_call_start(o->client, &call, on_reply, o);
}

/* The oldest event, if none is under way. */
static void deliver(struct outbox *o)
{
	sqlite3_stmt *s;
	struct err err;
	int rc = -1;

	if (o->in_flight || o->stopping || !o->enabled)
		return;
	s = db_prepare(o->db, "SELECT id, event FROM outbox ORDER BY id LIMIT 1", &err);
	if (s)
		rc = db_fetch(o->db, s, &err);
	if (rc == 1) {
		o->in_flight = sqlite3_column_int64(s, 0);
		post(o, (const char *)sqlite3_column_text(s, 1));
		db_release(s);
	} else if (rc < 0) {
		try_again(o, err.text);
	}
}

/* ---- Interface ---- */

struct outbox *outbox_new(uv_loop_t *loop, struct db *db, const char *store, bool enabled, struct err *err)
{
	struct outbox *o = calloc(1, sizeof *o);

	if (o)
		o->client = http_client_new(loop);
	if (!o || !o->client) {
		free(o);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	o->loop = loop;
	o->db = db;
	o->enabled = enabled;
	snprintf(o->address, sizeof o->address, "unix:%s", store);
	TAILQ_INIT(&o->waiters);
	uv_timer_init(loop, &o->retry);
	o->retry.data = o;
	o->handles = 1;
	http_client_keep_none(o->client); /* a store that was restarted is not a failure */
	deliver(o);
	return o;
}

bool outbox_enabled(const struct outbox *o)
{
	return o->enabled;
}

static char *event_text(const struct outbox_event *e)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "event", automaton_event_name(e->event), "owner", e->owner,
			      "category", e->category, "actor", e->actor, "class", e->class_name);
	char *text;

	if (o && e->purpose && *e->purpose)
		json_object_set_new(o, "purpose", json_string(e->purpose));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

int outbox_put(struct outbox *o, const struct outbox_event *e, int64_t *id, struct err *err)
{
	sqlite3_stmt *s;
	char *text;
	int rc = -1;

	*id = 0;
	if (!o->enabled)
		return 0;
	text = event_text(e);
	if (!text)
		return err_set(err, ERR_INTERNAL, "out of memory");
	s = db_prepare(o->db, "INSERT INTO outbox (event) VALUES (?1) RETURNING id", err);
	if (s) {
		db_bind_text(s, 1, text);
		rc = db_fetch(o->db, s, err);
	}
	free(text);
	if (rc != 1)
		return -1;
	*id = sqlite3_column_int64(s, 0);
	db_release(s);
	return 0;
}

void outbox_wait(struct outbox *o, int64_t id, outbox_done *done, void *ctx)
{
	struct waiter *w;

	if (!id) {
		done(ctx, OUTBOX_DELIVERED);
		return;
	}
	w = o->stopping ? NULL : calloc(1, sizeof *w);
	if (!w) {
		done(ctx, OUTBOX_LATER);
		return;
	}
	w->owner = o;
	w->id = id;
	w->done = done;
	w->ctx = ctx;
	uv_timer_init(o->loop, &w->timer);
	w->timer.data = w;
	uv_timer_start(&w->timer, on_waited, OUTBOX_WAIT_MS, 0);
	o->handles++;
	TAILQ_INSERT_TAIL(&o->waiters, w, all);
	/* Somebody waits: not the moment to sit out a back-off. */
	o->retry_ms = o->retry_ms ? RETRY_FIRST_MS : 0;
	deliver(o);
}

int64_t outbox_waiting(struct outbox *o, struct err *err)
{
	sqlite3_stmt *s = db_prepare(o->db, "SELECT count(*) FROM outbox", err);
	int64_t n;

	if (!s || db_fetch(o->db, s, err) != 1)
		return -1;
	n = sqlite3_column_int64(s, 0);
	db_release(s);
	return n;
}

static void on_retry_closed(uv_handle_t *h)
{
	handle_gone(h->data);
}

void outbox_stop(struct outbox *o)
{
	o->stopping = true;
	while (!TAILQ_EMPTY(&o->waiters))
		waiter_end(TAILQ_FIRST(&o->waiters), OUTBOX_LATER);
	http_client_free(o->client);
	uv_close((uv_handle_t *)&o->retry, on_retry_closed);
}
