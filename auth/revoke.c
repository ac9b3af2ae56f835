// SPDX-License-Identifier: MIT
#include "auth/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "auth/clearance.h"
#include "auth/sessions.h"

#define AT_ONCE 32 /* questions that proxies have not answered yet; a class can have thousands of members */

struct target {
	bool one_session; /* only that of `hash` */
	uint8_t hash[SESSION_HASH_BYTES];
	char user[PPCE_USER_SIZE];
	char ceiling[PPCE_LABEL_SIZE]; /* "": nothing is left to the user */
};

struct revoke {
	struct auth *auth;
	int64_t now;
	struct target *targets;
	size_t n, cap;
	struct err *err; /* the caller's, while collecting */
	size_t next, under_way;
	bool telling;
	void (*done)(void *ctx);
	void *ctx;
};

/* ---- Collecting ---- */

static struct target *add_target(struct revoke *r)
{
	size_t cap = r->cap ? 2 * r->cap : 4;
	struct target *grown;

	if (r->n == r->cap) {
		grown = realloc(r->targets, cap * sizeof *grown);
		if (!grown) {
			err_set(r->err, ERR_INTERNAL, "out of memory");
			return NULL;
		}
		r->targets = grown;
		r->cap = cap;
	}
	memset(&r->targets[r->n], 0, sizeof *r->targets);
	return &r->targets[r->n++];
}

struct weighing { /* the sessions of one user */
	struct revoke *revoke;
	const struct user *user;
	const struct label *most; /* what no session of the user may be above; NULL: nothing is left */
	uint8_t (*dead)[SESSION_HASH_BYTES];
	size_t ndead;
};

/* Proxies are told of the user and `most`, by which they find the sessions to end. A session that lies below it and has
 * to end all the same, as its purpose has lost the grant, is named to them by its hash. */
static int name_session(struct weighing *w, const struct session *s)
{
	const struct policy *p = w->revoke->auth->policy;
	struct label ceiling;
	struct target *t;

	if (!w->most || label_parse(p, s->ceiling, &ceiling, w->revoke->err) || !label_leq(p, &ceiling, w->most))
		return 0;
	t = add_target(w->revoke);
	if (!t)
		return -1;
	t->one_session = true;
	memcpy(t->hash, s->token_hash, sizeof t->hash);
	return label_format(p, w->most, t->ceiling, w->revoke->err);
}

static int weigh_session(void *ctx, const struct session *s)
{
	struct weighing *w = ctx;
	struct auth *a = w->revoke->auth;

	if (!session_check(a->db, a->policy, s, w->user, w->revoke->now, w->revoke->err))
		return 0;
	if (w->revoke->err->kind != ERR_DENIED)
		return -1;
	if (w->ndead == SESSIONS_PER_USER)
		return err_set(w->revoke->err, ERR_INTERNAL, "a user has more than %d sessions", SESSIONS_PER_USER);
	memcpy(w->dead[w->ndead++], s->token_hash, SESSION_HASH_BYTES);
	return name_session(w, s);
}

static int remove_sessions(struct weighing *w)
{
	struct db *db = w->revoke->auth->db;

	if (session_list_user(db, w->user->id, weigh_session, w, w->revoke->err))
		return -1;
	for (size_t i = 0; i < w->ndead; i++)
		if (session_remove(db, w->dead[i], w->revoke->err) < 0)
			return -1;
	return 0;
}

/* `most` is what the user has left over all purposes. */
static int weigh_user_at(struct revoke *r, const struct user *u, const struct label *most)
{
	static uint8_t dead[SESSIONS_PER_USER][SESSION_HASH_BYTES];
	struct weighing w = { .revoke = r, .user = u, .most = most, .dead = dead };
	struct target *t = add_target(r);

	if (!t)
		return -1;
	memcpy(t->user, u->name, sizeof t->user);
	if (most && label_format(r->auth->policy, most, t->ceiling, r->err))
		return -1;
	return remove_sessions(&w);
}

static int weigh_user(void *ctx, const struct user *u)
{
	struct revoke *r = ctx;
	struct label most;

	if (!clearance_of(r->auth->db, r->auth->policy, u, NULL, r->now, &most, r->err))
		return weigh_user_at(r, u, &most);
	return r->err->kind == ERR_DENIED ? weigh_user_at(r, u, NULL) : -1;
}

struct revoke *revoke_new(struct auth *a, const char *to, int64_t now, struct err *err)
{
	struct revoke *r = calloc(1, sizeof *r);

	if (!r) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	r->auth = a;
	r->now = now;
	r->err = err;
	if (!db_raise_epoch(a->db, err) && !clearance_grantees(a->db, to, weigh_user, r, err))
		return r;
	revoke_free(r);
	return NULL;
}

void revoke_free(struct revoke *r)
{
	if (!r)
		return;
	free(r->targets);
	free(r);
}

/* ---- Telling ---- */

static void tell(struct revoke *r);

static void on_acknowledged(void *ctx)
{
	struct revoke *r = ctx;

	r->under_way--;
	if (!r->telling)
		tell(r);
}

static void tell_one(struct revoke *r, const struct target *t)
{
	struct lookup_target what = { .ceiling = t->ceiling };

	if (t->one_session)
		what.hash = t->hash;
	else
		what.user = t->user;
	r->under_way++;
	lookup_revoke(r->auth->lookup, &what, on_acknowledged, r);
}

/* on_acknowledged() may come back from within, when no proxy is there. */
static void tell(struct revoke *r)
{
	r->telling = true;
	while (r->next < r->n && r->under_way < AT_ONCE)
		tell_one(r, &r->targets[r->next++]);
	r->telling = false;
	if (r->under_way)
		return;
	r->done(r->ctx);
	revoke_free(r);
}

void revoke_run(struct revoke *r, void (*done)(void *ctx), void *ctx)
{
	r->done = done;
	r->ctx = ctx;
	r->auth->revocations++;
	tell(r);
}
