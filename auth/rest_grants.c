// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/granting.h"
#include "auth/withdraw.h"
#include "lib/names.h"

#define UNTIL_MAX_S (100 * 366 * 86400LL)

/* ---- Reading ---- */

/* May the caller see it? It concerns those whose data it is and those whom it is to; officers review emergencies. */
static bool concerns(const struct caller *c, const struct grant *g)
{
	const char *class_name = c->session.class_name;

	if (c->is_operator || !strcmp(g->owner, c->name) || !strcmp(g->to, c->name))
		return true;
	if (c->officer && g->kind == GRANT_BREAK_GLASS)
		return true;
	return *class_name && !strncmp(g->to, GRANT_CLASS, sizeof GRANT_CLASS - 1) &&
	       !strcmp(g->to + sizeof GRANT_CLASS - 1, class_name);
}

struct listing {
	const struct caller *caller;
	json_t *list;
};

static int add_grant(void *ctx, const struct grant *g)
{
	struct listing *l = ctx;

	return concerns(l->caller, g) ? json_array_append_new(l->list, grant_json(g)) : 0;
}

/* Percent-decodes a query parameter of known keys; "" if absent. */
static int query_text(const char *query, const char *key, char *out, size_t size, struct err *err);

void grants_list(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct caller c;
	struct listing l = { &c, NULL };
	char owner[PPCE_USER_SIZE], to[GRANT_TO_SIZE];
	struct err err;

	if (caller_find(a, call, &c, &err) || query_text(call->x->query, "owner", owner, sizeof owner, &err) ||
	    query_text(call->x->query, "to", to, sizeof to, &err)) {
		caller_fail(&c, call, &err);
		return;
	}
	l.list = json_array();
	if (grant_list(a->db, owner, to, add_grant, &l, &err)) {
		json_decref(l.list);
		caller_fail(&c, call, &err);
		return;
	}
	rest_reply(call, 200, json_pack("{s:o}", "grants", l.list));
}

static int hex_digit(char ch)
{
	const char *digits = "0123456789abcdef", *at = ch ? strchr(digits, ch | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int decode_value(const char *from, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int ch = (unsigned char)from[i];

		if (ch == '%') {
			if (len - i < 3 || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0)
				return -1;
			ch = hex_digit(from[i + 1]) * 16 + hex_digit(from[i + 2]);
			i += 2;
		}
		if (!ch || n + 1 >= size)
			return -1;
		out[n++] = (char)ch;
	}
	out[n] = 0;
	return 0;
}

static int query_text(const char *query, const char *key, char *out, size_t size, struct err *err)
{
	size_t key_len = strlen(key);

	*out = 0;
	while (*query) {
		size_t len = strcspn(query, "&");

		if (len > key_len && query[key_len] == '=' && !memcmp(query, key, key_len))
			return decode_value(query + key_len + 1, len - key_len - 1, out, size)
				       ? err_set(err, ERR_INVALID, "the query parameter '%s' is not valid", key)
				       : 0;
		query += len + (query[len] == '&');
	}
	return 0;
}

/* The grant named in the path that the caller may see. What does not concern a user does not exist for them. */
static int grant_of_path(const struct rest_call *call, const struct caller *c, struct grant *out, struct err *err)
{
	struct auth *a = call->ctx;
	int rc = grant_id_valid(call->param[0]) ? grant_find(a->db, call->param[0], out, err) : 0;

	if (rc < 0)
		return -1;
	if (!rc || !concerns(c, out))
		return err_set(err, ERR_NOT_FOUND, "there is no such grant");
	return 0;
}

void grants_get(struct rest_call *call)
{
	struct caller c;
	struct grant g;
	struct err err;

	if (caller_find(call->ctx, call, &c, &err) || grant_of_path(call, &c, &g, &err))
		caller_fail(&c, call, &err);
	else
		rest_reply(call, 200, grant_json(&g));
}

/* ---- Granting ---- */

static int decode_owner(const struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	if (json_get_text(call->body, "owner", g->owner, sizeof g->owner, err))
		return -1;
	if (!*g->owner && c->is_operator)
		return err_set(err, ERR_INVALID, "the key 'owner' is required of operators: whose data is it?");
	if (!*g->owner)
		memcpy(g->owner, c->session.user, sizeof g->owner);
	if (!c->is_operator && strcmp(g->owner, c->session.user))
		return err_set(err, ERR_DENIED, "you can grant access to your own data only");
	if (!label_owner_valid(g->owner))
		return err_set(err, ERR_INVALID, "'owner' is not a user's name");
	return 0;
}

static bool digest_valid(const char *text)
{
	return strlen(text) == PPCE_DIGEST_SIZE - 1 && strspn(text, "0123456789abcdef") == PPCE_DIGEST_SIZE - 1;
}

static int check_user(struct auth *a, const struct grant *g, struct err *err)
{
	struct user u;
	int rc;

	if (!user_valid(g->to))
		return err_set(err, ERR_INVALID,
			       "'to' is a user's name, class:NAME, or certificate: and the certificate's SHA-256");
	if (!strcmp(g->to, g->owner))
		return err_set(err, ERR_INVALID, "owners see their own data without a grant");
	rc = user_find(a->db, g->to, &u, err);
	sodium_memzero(u.hash, sizeof u.hash);
	return rc < 0 ? -1 : rc ? 0 : err_set(err, ERR_NOT_FOUND, "'to': there is no user '%s'", g->to);
}

static int check_to(struct auth *a, const struct grant *g, struct err *err)
{
	const char *name = strchr(g->to, ':');

	if (!name)
		return check_user(a, g, err);
	name++;
	if (!strncmp(g->to, GRANT_CLASS, sizeof GRANT_CLASS - 1)) {
		if (policy_class_clearance(a->policy, name))
			return 0;
		return err_set(err, ERR_NOT_FOUND, "'to': class '%.40s' is not in policy.yaml", name);
	}
	if (!grant_for_certificate(g) || !digest_valid(name))
		return check_user(a, g, err);
	if (*g->purpose)
		return err_set(err, ERR_INVALID, "a certificate has no purpose: it says itself what it releases");
	return 0;
}

static int decode_grant(const struct rest_call *call, const struct caller *c, struct grant *g, struct err *err)
{
	struct auth *a = call->ctx;
	long long until;

	memset(g, 0, sizeof *g);
	g->kind = GRANT_CONSENT;
	g->created = clock_unix();
	memcpy(g->actor, c->name, strlen(c->name) + 1);
	if (!grant_id_valid(call->param[0]))
		return err_set(err, ERR_INVALID,
			       "a grant's id has 1 to %d of a-z 0-9 - and begins with a letter or digit",
			       GRANT_ID_SIZE - 1);
	memcpy(g->id, call->param[0], strlen(call->param[0]) + 1);
	if (decode_owner(call, c, g, err) ||
	    json_get_text(call->body, "category", g->category, sizeof g->category, err) ||
	    json_get_text(call->body, "to", g->to, sizeof g->to, err) ||
	    json_get_text(call->body, "purpose", g->purpose, sizeof g->purpose, err) ||
	    json_get_text(call->body, "reason", g->reason, sizeof g->reason, err) ||
	    json_get_int(call->body, "until", g->created + 1, g->created + UNTIL_MAX_S, 0, &until, err))
		return -1;
	g->until = until;
	if (!text_printable(g->purpose) || !text_printable(g->reason))
		return err_set(err, ERR_INVALID, "'purpose' and 'reason' must be printable");
	return category_check(a->policy, g->category, err) || check_to(a, g, err) ? -1 : 0;
}

static bool same(const struct grant *a, const struct grant *b)
{
	return !strcmp(a->owner, b->owner) && !strcmp(a->category, b->category) && !strcmp(a->to, b->to) &&
	       !strcmp(a->purpose, b->purpose) && !strcmp(a->reason, b->reason) && a->until == b->until &&
	       a->kind == b->kind && !a->ended && !b->ended;
}

/* 1: the very grant exists already; 0: the id is free; -1. */
static int check_id(struct auth *a, const struct caller *c, const struct grant *g, struct err *err)
{
	struct grant known;
	int rc = grant_find(a->db, g->id, &known, err);

	if (rc <= 0)
		return rc;
	if (!c->is_operator && strcmp(known.owner, c->name))
		return err_set(err, ERR_DENIED, "this id is taken; choose another one");
	if (same(g, &known))
		return 1;
	return err_set(err, ERR_CONFLICT,
		       "grant '%s' exists and says something else; revoke it first, or choose another id", g->id);
}

static int check_count(struct auth *a, const struct grant *g, struct err *err)
{
	int n = grant_count(a->db, g->owner, err);

	if (n < 0)
		return -1;
	return n < GRANTS_PER_OWNER ? 0
				    : err_set(err, ERR_CONFLICT, "%s has made %d grants already; revoke some", g->owner,
					      GRANTS_PER_OWNER);
}

void grants_put(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct caller c;
	struct grant g;
	struct err err;
	int known = -1;

	if (!caller_find(a, call, &c, &err) && !decode_grant(call, &c, &g, &err))
		known = check_id(a, &c, &g, &err);
	if (known < 0 || (!known && check_count(a, &g, &err)))
		caller_fail(&c, call, &err);
	else if (known)
		rest_reply(call, 200, grant_json(&g));
	else
		granting_run(call, &c, &g);
}

/* ---- Revoking ---- */

struct revoking {
	struct withdrawal w; /* first: its address is ours */
	struct rest_call *call;
};

static void on_withdrawn(struct withdrawal *w, bool audited, enum outbox_fate fate)
{
	struct revoking *r = (struct revoking *)w;

	if (!audited)
		rest_fail(r->call,
			  &(struct err){ ERR_UNAVAILABLE, "it is done, but the audit log could not take the record" });
	else
		granting_reply(r->call, 204, NULL, fate);
	free(r);
}

/* Of the grants that concern a user, only those to their own data are theirs to end. */
static int find_to_revoke(const struct rest_call *call, struct revoking *r, struct err *err)
{
	const struct caller *c = &r->w.caller;
	const struct grant *g = &r->w.grant;

	if (grant_of_path(call, c, &r->w.grant, err))
		return -1;
	if (!c->is_operator && strcmp(g->owner, c->name))
		return err_set(err, ERR_DENIED, "only the owner of the data can revoke this");
	if (g->ended)
		return err_set(err, ERR_NOT_FOUND, "this grant has ended; it is kept until it has been reviewed");
	return 0;
}

void grants_delete(struct rest_call *call)
{
	struct revoking *r = calloc(1, sizeof *r);
	struct err err;

	if (!r) {
		rest_fail(call, &(struct err){ ERR_UNAVAILABLE, "out of memory" });
		return;
	}
	r->w.auth = call->ctx;
	r->w.done = on_withdrawn;
	memcpy(r->w.request_id, call->x->request_id, sizeof r->w.request_id);
	if (caller_find(call->ctx, call, &r->w.caller, &err) || find_to_revoke(call, r, &err)) {
		caller_fail(&r->w.caller, call, &err);
		free(r);
		return;
	}
	r->call = rest_defer(call);
	if (withdraw(&r->w, &err)) {
		caller_fail(&r->w.caller, r->call, &err);
		free(r);
	}
}

/* ---- Certificates ---- */

static int add_tag(void *ctx, const struct grant *g)
{
	char tag[PPCE_USER_SIZE + GRANT_CATEGORY_SIZE];

	snprintf(tag, sizeof tag, "%s/%s", g->owner, g->category);
	return json_array_append_new(ctx, json_string(tag));
}

void authorisations_get(struct rest_call *call)
{
	struct auth *a = call->ctx;
	char to[GRANT_TO_SIZE];
	struct err err;
	json_t *tags;

	if (!digest_valid(call->param[0])) {
		rest_fail(call, &(struct err){ ERR_INVALID, "a certificate's id is a SHA-256 in lower-case hex" });
		return;
	}
	snprintf(to, sizeof to, GRANT_CERTIFICATE "%.64s", call->param[0]);
	tags = json_array();
	if (grant_list_live(a->db, to, "", clock_unix(), add_tag, tags, &err)) {
		json_decref(tags);
		rest_fail(call, &err);
		return;
	}
	rest_reply(call, 200, json_pack("{s:o}", "tags", tags));
}
