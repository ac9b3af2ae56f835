// SPDX-License-Identifier: MIT
//
// Break-glass, its review, and the owner's wish to have data erased.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/granting.h"
#include "lib/names.h"

#define REASON_MIN 10 /* characters: who opens somebody's data says why */
#define MINUTES_MAX 240
#define MINUTES 60

/* ---- Opening ---- */

static size_t characters(const char *utf8)
{
	size_t n = 0;

	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80 && *utf8 != ' ';
	return n;
}

static int decode_reason(const struct rest_call *call, struct grant *g, struct err *err)
{
	if (json_get_text(call->body, "reason", g->reason, sizeof g->reason, err))
		return -1;
	if (!text_printable(g->reason) || characters(g->reason) < REASON_MIN)
		return err_set(err, ERR_INVALID,
			       "'reason': say in at least %d characters why; the owner and an officer will read it",
			       REASON_MIN);
	return 0;
}

static int decode_glass(const struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	struct auth *a = call->ctx;
	char uuid[PPCE_UUID_SIZE];
	long long minutes;

	memset(g, 0, sizeof *g);
	g->kind = GRANT_BREAK_GLASS;
	uuid_new(uuid);
	snprintf(g->id, sizeof g->id, "glass-%s", uuid);
	memcpy(g->to, c->session.user, sizeof c->session.user);
	memcpy(g->actor, c->session.user, sizeof g->actor);
	if (json_get_text(call->body, "owner", g->owner, sizeof g->owner, err) ||
	    json_get_text(call->body, "category", g->category, sizeof g->category, err) ||
	    json_get_int(call->body, "minutes", 1, MINUTES_MAX, MINUTES, &minutes, err) || decode_reason(call, g, err))
		return -1;
	g->created = clock_unix();
	g->until = g->created + 60 * minutes;
	if (!label_owner_valid(g->owner))
		return err_set(err, ERR_INVALID, "'owner' is not a user's name");
	if (!strcmp(g->owner, g->to))
		return err_set(err, ERR_INVALID, "owners see their own data without breaking glass");
	return category_check(a->policy, g->category, err);
}

static int may_break(const struct auth *a, const struct caller *c, const struct grant *g, struct err *err)
{
	if (*c->session.class_name && policy_class_breaks_glass(a->policy, c->session.class_name, g->category))
		return 0;
	return err_set(err, ERR_DENIED, "your class may not open data of the category %s in an emergency", g->category);
}

/* A refused try is worth a record, too. */
static void record_refusal(struct auth *a, const struct rest_call *call, const struct caller *c, const struct grant *g)
{
	struct audit_record r = { .event = "break-glass", .status = 403, .rule = "" };
	struct grant_words words;

	caller_record(c, &r);
	grant_record(g, &words, &r);
	r.path = "/v1/break-glass";
	r.reason = "class-may-not";
	audit_exchange(a, call->x, &r);
}

void glass_break(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct caller c;
	struct grant g;
	struct err err;
	int rc = caller_find(a, call, &c, &err);

	if (!rc && c.is_operator)
		rc = err_set(&err, ERR_UNAUTHENTICATED,
			     "break-glass is for a person: send their token as 'Authorization: Bearer TOKEN'");
	if (!rc)
		rc = decode_glass(call, &c, &g, &err);
	if (!rc) {
		rc = may_break(a, &c, &g, &err);
		if (rc)
			record_refusal(a, call, &c, &g);
	}
	if (rc)
		caller_fail(&c, call, &err);
	else
		granting_run(call, &c, &g);
}

/* ---- Reviewing ---- */

static int find_to_review(const struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	struct auth *a = call->ctx;
	int rc = 0;

	if (!c->officer)
		return err_set(err, ERR_DENIED, "only officers may review");
	if (grant_id_valid(call->param[0]))
		rc = grant_find(a->db, call->param[0], g, err);
	if (rc < 0)
		return -1;
	if (!rc || g->kind != GRANT_BREAK_GLASS)
		return err_set(err, ERR_NOT_FOUND, "there is no such break-glass");
	if (g->reviewed)
		return err_set(err, ERR_CONFLICT, "%s has reviewed it already", g->reviewer);
	if (!strcmp(g->actor, c->name))
		return err_set(err, ERR_DENIED, "somebody else has to review what you did");
	return 0;
}

/* The record comes first: what is not recorded stays to be reviewed. */
static int review(struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	struct auth *a = call->ctx;
	struct audit_record r = { .event = "review", .allowed = true, .status = 200 };
	struct grant_words words;

	caller_record(c, &r);
	grant_record(g, &words, &r);
	if (audit_exchange(a, call->x, &r))
		return err_set(err, ERR_UNAVAILABLE, "the audit log takes no records, so nothing was changed");
	g->reviewed = clock_unix();
	memcpy(g->reviewer, c->name, strlen(c->name) + 1);
	if (db_begin(a->db, err))
		return -1;
	if (grant_review(a->db, g, c->name, g->reviewed, err)) {
		db_rollback(a->db);
		return -1;
	}
	return db_commit(a->db, err);
}

void glass_review(struct rest_call *call)
{
	struct caller c;
	struct grant g;
	struct err err;

	if (caller_find(call->ctx, call, &c, &err) || find_to_review(call, &c, &g, &err) || review(call, &c, &g, &err))
		caller_fail(&c, call, &err);
	else
		rest_reply(call, 200, grant_json(&g));
}

/* ---- Erasing ---- */

struct erasing {
	struct rest_call *call;
	int64_t event;
	struct grant what; /* owner and category */
};

static void on_told(void *ctx, enum outbox_fate fate)
{
	struct erasing *e = ctx;

	if (fate == OUTBOX_REFUSED)
		rest_fail(e->call,
			  &(struct err){ ERR_CONFLICT, "the automaton of this category does not allow it now" });
	else
		granting_reply(e->call, 204, NULL, fate);
	free(e);
}

static int decode_erase(const struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	struct auth *a = call->ctx;

	if (json_get_text(call->body, "owner", g->owner, sizeof g->owner, err) ||
	    json_get_text(call->body, "category", g->category, sizeof g->category, err))
		return -1;
	if (!*g->owner && !c->is_operator)
		memcpy(g->owner, c->session.user, sizeof g->owner);
	if (!c->is_operator && strcmp(g->owner, c->session.user))
		return err_set(err, ERR_DENIED, "you can have your own data erased only");
	if (!label_owner_valid(g->owner))
		return err_set(err, ERR_INVALID, "'owner': whose data is to be erased?");
	if (category_check(a->policy, g->category, err))
		return -1;
	if (!outbox_enabled(a->outbox))
		return err_set(err, ERR_CONFLICT, "policy.yaml has no automata: nothing would erase the data");
	return 0;
}

static int erase(struct rest_call *call, const struct caller *c, struct erasing *e, struct err *err)
{
	struct auth *a = call->ctx;
	struct grant_actor actor;
	struct outbox_event event = { .event = EVENT_ERASE,
				      .owner = e->what.owner,
				      .category = e->what.category,
				      .actor = actor.name,
				      .class_name = actor.class_name,
				      .purpose = c->session.purpose };
	struct audit_record r = { .event = "erase", .allowed = true, .status = 204 };
	struct grant_words words;

	caller_record(c, &r);
	grant_record(&e->what, &words, &r);
	r.path = "/v1/erase";
	if (grant_actor_find(a->db, c->name, e->what.owner, &actor, err) || db_begin(a->db, err))
		return -1;
	if (outbox_put(a->outbox, &event, &e->event, err) || audit_exchange(a, call->x, &r)) {
		db_rollback(a->db);
		return err_set(err, ERR_UNAVAILABLE,
			       "nothing was changed: the database or the audit log does not work");
	}
	return db_commit(a->db, err);
}

void erase_post(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct erasing *e = calloc(1, sizeof *e);
	struct caller c;
	struct err err;

	if (!e) {
		rest_fail(call, &(struct err){ ERR_UNAVAILABLE, "out of memory" });
		return;
	}
	if (caller_find(a, call, &c, &err) || decode_erase(call, &c, &e->what, &err) || erase(call, &c, e, &err)) {
		caller_fail(&c, call, &err);
		free(e);
		return;
	}
	e->call = rest_defer(call);
	outbox_wait(a->outbox, e->event, on_told, e);
}
