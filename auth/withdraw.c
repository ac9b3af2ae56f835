// SPDX-License-Identifier: MIT
#include "auth/withdraw.h"

#include <stdlib.h>
#include <string.h>

#include "auth/granting.h"
#include "auth/revoke.h"
#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"

#define EXPIRY_LONGEST_S 60 /* the clock may be set meanwhile */
#define EXPIRY_RETRY_S 1

/* ---- The events ---- */

struct restating {
	struct withdrawal *withdrawal;
	struct err *err;
	int rc;
};

static int put_event(struct withdrawal *w, enum automaton_event event, const struct grant *g, const char *actor_name,
		     int64_t *id, struct err *err)
{
	struct grant_actor actor;
	struct outbox_event e = { .event = event,
				  .owner = g->owner,
				  .category = g->category,
				  .actor = actor.name,
				  .class_name = actor.class_name,
				  .purpose = g->purpose };

	if (grant_actor_find(w->auth->db, actor_name, g->owner, &actor, err))
		return -1;
	return outbox_put(w->auth->outbox, &e, id, err);
}

static int restate(void *ctx, const struct grant *g)
{
	struct restating *r = ctx;
	int64_t id;

	if (g->ended || g->kind != GRANT_CONSENT || grant_for_certificate(g) ||
	    strcmp(g->category, r->withdrawal->grant.category))
		return 0;
	r->rc = put_event(r->withdrawal, EVENT_CONSENT, g, g->actor, &id, r->err);
	return r->rc;
}

/* An automaton knows the owner and the category, not the single grant: after one of several has gone it is told of those
 * that remain, or revoking one person's grant would take the data from all the others. */
static int put_events(struct withdrawal *w, struct err *err)
{
	const struct grant *g = &w->grant;
	struct restating r = { w, err, 0 };

	w->event = 0;
	if (!outbox_enabled(w->auth->outbox) || grant_for_certificate(g))
		return 0;
	if (put_event(w, w->expired ? EVENT_EXPIRE : EVENT_REVOKE, g, w->expired ? g->actor : w->caller.name, &w->event,
		      err) ||
	    grant_list(w->auth->db, g->owner, "", restate, &r, err))
		return -1;
	return r.rc;
}

/* ---- The steps ---- */

static void on_told(void *ctx, enum outbox_fate fate)
{
	struct withdrawal *w = ctx;

	w->done(w, w->audited, fate);
}

static void write_record(struct withdrawal *w)
{
	struct audit_record r = { .event = "revoke",
				  .request_id = w->request_id,
				  .actor = "auth",
				  .allowed = true,
				  .rule = flow_rule_name(FLOW_R9_REVOKE),
				  .reason = w->expired ? "expired" : "",
				  .status = w->expired ? 0 : 204 };
	struct grant_words words;
	struct err err;

	if (!w->expired)
		caller_record(&w->caller, &r);
	grant_record(&w->grant, &words, &r);
	db_epoch(w->auth->db, &r.epoch, NULL);
	w->audited = !audit_write(w->auth->audit, &r, &err);
	if (!w->audited)
		log_error("the audit log does not take a record: %s", err.text);
}

static void on_revoked(void *ctx)
{
	struct withdrawal *w = ctx;

	write_record(w);
	outbox_wait(w->auth->outbox, w->event, on_told, w);
}

static int change(struct withdrawal *w, struct err *err)
{
	int64_t now = clock_unix();

	if (grant_end(w->auth->db, &w->grant, now, err))
		return -1;
	w->revoke = revoke_new(w->auth, w->grant.to, now, err);
	if (!w->revoke)
		return -1;
	return put_events(w, err);
}

int withdraw(struct withdrawal *w, struct err *err)
{
	struct db *db = w->auth->db;

	w->revoke = NULL;
	if (db_begin(db, err))
		return -1;
	if (change(w, err)) {
		db_rollback(db);
		revoke_free(w->revoke);
		return -1;
	}
	if (db_commit(db, err)) {
		revoke_free(w->revoke);
		return -1;
	}
	revoke_run(w->revoke, on_revoked, w);
	return 0;
}

/* ---- Expiry ---- */

static void on_expiry(uv_timer_t *timer);

static void expire_in(struct auth *a, int64_t seconds)
{
	uv_timer_start(&a->expiry, on_expiry, (uint64_t)(seconds < 0 ? 0 : seconds) * 1000, 0);
}

static void on_expired(struct withdrawal *w, bool audited, enum outbox_fate fate)
{
	(void)audited;
	(void)fate;
	log_info("grant %s has expired", w->grant.id);
	free(w);
}

/* 1: one grant has been ended, and there may be more. */
static int expire_one(struct auth *a, struct err *err)
{
	struct withdrawal *w = calloc(1, sizeof *w);
	int rc;

	if (!w)
		return err_set(err, ERR_INTERNAL, "out of memory");
	rc = grant_expired(a->db, clock_unix(), &w->grant, err);
	w->auth = a;
	w->expired = true;
	w->done = on_expired;
	if (rc == 1 && withdraw(w, err))
		rc = -1;
	if (rc != 1)
		free(w);
	return rc;
}

/* One at a time, so that requests get their turn in between when thousands end at midnight. */
static void on_expiry(uv_timer_t *timer)
{
	struct auth *a = timer->data;
	struct err err;
	int rc = expire_one(a, &err);

	if (rc < 0) {
		log_error("a grant that has expired cannot be ended, which will be tried again: %s", err.text);
		expire_in(a, EXPIRY_RETRY_S);
	} else if (rc == 1) {
		expire_in(a, 0);
	} else {
		expiry_update(a);
	}
}

void expiry_init(struct auth *a, uv_loop_t *loop)
{
	uv_timer_init(loop, &a->expiry);
	a->expiry.data = a;
}

void expiry_update(struct auth *a)
{
	int64_t until = 0, wait;
	struct err err;

	if (uv_is_closing((uv_handle_t *)&a->expiry))
		return;
	if (grant_next_until(a->db, &until, &err)) {
		expire_in(a, EXPIRY_RETRY_S);
		return;
	}
	wait = until - clock_unix();
	expire_in(a, until && wait < EXPIRY_LONGEST_S ? wait : EXPIRY_LONGEST_S);
}

void expiry_stop(struct auth *a)
{
	uv_close((uv_handle_t *)&a->expiry, NULL);
}
