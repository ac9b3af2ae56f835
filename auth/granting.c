// SPDX-License-Identifier: MIT
#include "auth/granting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/clearance.h"
#include "auth/withdraw.h"
#include "lib/names.h"

/* ---- What is said of a grant ---- */

static void set_if(json_t *o, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(o, key, json_string(text));
}

json_t *grant_json(const struct grant *g)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "id", g->id, "owner", g->owner, "category",
			      g->category, "to", g->to, "kind", grant_kind_name(g->kind), "by", g->actor, "created",
			      (json_int_t)g->created);

	set_if(o, "purpose", g->purpose);
	set_if(o, "reason", g->reason);
	set_if(o, "reviewer", g->reviewer);
	if (g->until)
		json_object_set_new(o, "until", json_integer(g->until));
	if (g->ended)
		json_object_set_new(o, "ended", json_integer(g->ended));
	if (g->reviewed)
		json_object_set_new(o, "reviewed", json_integer(g->reviewed));
	if (g->kind == GRANT_BREAK_GLASS)
		json_object_set_new(o, "to_review", json_boolean(!g->reviewed));
	return o;
}

void grant_record(const struct grant *g, struct grant_words *words, struct audit_record *r)
{
	snprintf(words->path, sizeof words->path, "/v1/grants/%s", g->id);
	snprintf(words->tag, sizeof words->tag, "%s/%s", g->owner, g->category);
	r->path = words->path;
	r->owners = words->tag;
	if (!r->reason || !*r->reason)
		r->reason = g->reason;
}

int grant_actor_find(struct db *db, const char *actor, const char *owner, struct grant_actor *out, struct err *err)
{
	struct user u;
	int rc;

	memset(out, 0, sizeof *out);
	snprintf(out->name, sizeof out->name, "%s", strcmp(actor, CALLER_OPERATOR) ? actor : owner);
	rc = user_find(db, out->name, &u, err);
	if (rc == 1)
		memcpy(out->class_name, u.class_name, sizeof out->class_name);
	sodium_memzero(u.hash, sizeof u.hash);
	return rc < 0 ? -1 : 0;
}

int category_check(const struct policy *p, const char *category, struct err *err)
{
	const char *known[65] = { NULL }, *near;

	for (size_t i = 0; i < policy_categories(p); i++) {
		if (!strcmp(policy_category(p, i), category))
			return 0;
		if (i < 64)
			known[i] = policy_category(p, i);
	}
	if (!policy_categories(p))
		return err_set(err, ERR_INVALID, "policy.yaml has no axis of kind owners: there is nothing to grant");
	near = text_nearest(category, known);
	if (near)
		return err_set(err, ERR_INVALID, "'category': policy.yaml has no %s; did you mean %s?", category, near);
	return err_set(err, ERR_INVALID, "'category': policy.yaml has no %s", category);
}

bool text_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* ---- Making one ---- */

struct granting {
	struct rest_call *call;
	struct grant grant;
	int64_t event;
};

void granting_reply(struct rest_call *call, int status, json_t *answer, enum outbox_fate fate)
{
	if (fate == OUTBOX_LATER) {
		json_decref(answer);
		rest_fail(call,
			  &(struct err){ ERR_UNAVAILABLE,
					 "the change stands and is in force; the store cannot be reached just now "
					 "and will be told as soon as it can" });
		return;
	}
	if (fate == OUTBOX_REFUSED && answer)
		json_object_set_new(answer, "note",
				    json_string("the automaton of this category has no such step in its present state, "
						"and stays as it is"));
	rest_reply(call, status, answer);
}

static void on_told(void *ctx, enum outbox_fate fate)
{
	struct granting *g = ctx;
	json_t *answer = grant_json(&g->grant);

	if (g->grant.kind == GRANT_BREAK_GLASS && fate == OUTBOX_DELIVERED)
		json_object_set_new(answer, "note",
				    json_string("log in again: sessions from before this do not have the access. An "
						"officer will review it, and the owner can see it"));
	granting_reply(g->call, 201, answer, fate);
	free(g);
}

static int put_event(struct auth *a, struct granting *g, struct err *err)
{
	struct grant_actor actor;
	struct outbox_event e = { .event = g->grant.kind == GRANT_BREAK_GLASS ? EVENT_BREAK_GLASS : EVENT_CONSENT,
				  .owner = g->grant.owner,
				  .category = g->grant.category,
				  .actor = actor.name,
				  .class_name = actor.class_name,
				  .purpose = g->grant.purpose };

	/* An authorisation lets a certificate release values; it opens nothing for people. */
	if (grant_for_certificate(&g->grant))
		return 0;
	if (grant_actor_find(a->db, g->grant.actor, g->grant.owner, &actor, err))
		return -1;
	return outbox_put(a->outbox, &e, &g->event, err);
}

/* Before the commit: there is no grant without its record. */
static int write_record(struct auth *a, const struct caller *c, const struct granting *g, struct err *err)
{
	struct audit_record r = { .event = g->grant.kind == GRANT_BREAK_GLASS ? "break-glass" : "grant",
				  .allowed = true,
				  .status = 201 };
	struct grant_words words;

	caller_record(c, &r);
	grant_record(&g->grant, &words, &r);
	if (db_epoch(a->db, &r.epoch, err))
		return -1;
	if (audit_exchange(a, g->call->x, &r))
		return err_set(err, ERR_UNAVAILABLE, "the audit log takes no records, so nothing was changed");
	return 0;
}

static int change(struct auth *a, const struct caller *c, struct granting *g, struct err *err)
{
	if (clearance_fits(a->db, a->policy, &g->grant, g->grant.created, err) || db_begin(a->db, err))
		return -1;
	if (grant_insert(a->db, &g->grant, err) || put_event(a, g, err) || write_record(a, c, g, err)) {
		db_rollback(a->db);
		return -1;
	}
	return db_commit(a->db, err);
}

void granting_run(struct rest_call *call, const struct caller *c, const struct grant *grant)
{
	struct auth *a = call->ctx;
	struct granting *g = calloc(1, sizeof *g);
	struct err err;

	if (!g) {
		caller_fail(c, call, &(struct err){ ERR_INTERNAL, "out of memory" });
		return;
	}
	g->call = call;
	g->grant = *grant;
	if (change(a, c, g, &err)) {
		caller_fail(c, call, &err);
		free(g);
		return;
	}
	g->call = rest_defer(call);
	expiry_update(a);
	outbox_wait(a->outbox, g->event, on_told, g);
}
