/* SPDX-License-Identifier: MIT */
#include "proxy/revoke.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"
#include "proxy/forward.h"

struct revocation {
	TAILQ_ENTRY(revocation) all;
	uint64_t id, connection; /* for the answer */
	size_t n, cap;
	char (*uuids)[PPCE_UUID_SIZE]; /* of instances that have to go first */
};

void revoke_init(struct proxy *p)
{
	TAILQ_INIT(&p->revocations.all);
}

static void drop(struct proxy *p, struct revocation *r)
{
	TAILQ_REMOVE(&p->revocations.all, r, all);
	free(r->uuids);
	free(r);
}

void revoke_free(struct proxy *p)
{
	while (!TAILQ_EMPTY(&p->revocations.all))
		drop(p, TAILQ_FIRST(&p->revocations.all));
}

/* --- which instances ----------------------------------------------------------------------------------------- */

/* Does it work for a session that this revocation has ended? */
static bool works_for(const struct instance *i, const struct session_message *m)
{
	const struct request *r = table_entry(i, const struct backend, instance)->request;
	if (!r || !r->session || r->session->state != SESSION_ENDED)
		return false;
	if (m->user[0])
		return strcmp(r->session->user, m->user) == 0;
	return m->ceiling[0] && memcmp(r->session->hash, m->token_hash, SESSION_HASH_BYTES) == 0;
}

static bool concerns(const struct instance *i, const struct session_message *m)
{
	return (m->user[0] && strcmp(i->owner, m->user) == 0) || works_for(i, m);
}

/* `left` NULL: nothing is left. */
static bool lives_on(const struct proxy *p, const struct instance *i, const struct session_message *m,
		     const struct label *left)
{
	struct label now;
	struct err err;
	if (!left || (i->slot != TAINT_NONE && works_for(i, m))) /* it may still rise, up to the old ceiling */
		return false;
	if (backend_label(table_entry(i, const struct backend, instance), &now, &err) < 0)
		return false;
	return flow_revoked(p->policy, &now, left).allowed;
}

/* --- ending them --------------------------------------------------------------------------------------------- */

static int note(struct revocation *r, const char *uuid)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 8;
		void *grown = realloc(r->uuids, cap * sizeof *r->uuids);
		if (!grown)
			return -1;
		r->uuids = grown;
		r->cap = cap;
	}
	memcpy(r->uuids[r->n++], uuid, PPCE_UUID_SIZE);
	return 0;
}

static void end_instance(struct proxy *p, struct instance *i)
{
	struct backend *b = backend_of(i);
	struct request *request = backend_take_request(b);
	route_end(&p->routes, i, "ended by a revocation (R9)", clock_ns());
	if (request)
		forward_lost(request, ERR_UNAUTHENTICATED, "session-ended");
}

/* Those that are ENDING already are only waited for. -1: out of memory. */
static int end_all(struct proxy *p, struct revocation *r, const struct session_message *m, const struct label *left)
{
	struct instance *i, *next;
	for (i = TAILQ_FIRST(&p->routes.instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		if (!concerns(i, m) || lives_on(p, i, m, left))
			continue;
		if (note(r, i->uuid) < 0)
			return -1;
		if (i->state != INSTANCE_ENDING)
			end_instance(p, i);
	}
	return 0;
}

static void settle(struct proxy *p, struct revocation *r)
{
	if (r->n > 0)
		return;
	sessions_revoked(&p->sessions, r->id, r->connection);
	drop(p, r);
}

/* Those that auth does not wait for any more. */
static void drop_stale(struct proxy *p)
{
	struct revocation *r, *next;
	for (r = TAILQ_FIRST(&p->revocations.all); r; r = next) {
		next = TAILQ_NEXT(r, all);
		if (r->connection != p->sessions.connection)
			drop(p, r);
	}
}

void revoke_instances(void *ctx, const struct session_message *m)
{
	struct proxy *p = ctx;
	struct revocation *r = calloc(1, sizeof *r);
	struct label left;
	struct err err = { 0 };
	bool some = m->ceiling[0] && label_parse(p->policy, m->ceiling, &left, &err) == 0;
	drop_stale(p);
	if (err.kind)
		log_error("auth and proxy have different policies: %s", err.text);
	if (!r) {
		log_error("a revocation: out of memory"); /* no answer, so that auth hangs up */
		return;
	}
	r->id = m->id;
	r->connection = p->sessions.connection;
	TAILQ_INSERT_TAIL(&p->revocations.all, r, all);
	if (end_all(p, r, m, some ? &left : NULL) < 0) {
		log_error("a revocation: out of memory");
		drop(p, r);
		return;
	}
	settle(p, r);
}

/* --- their end ----------------------------------------------------------------------------------------------- */

static void strike(struct revocation *r, const char *uuid)
{
	for (size_t k = 0; k < r->n;) {
		if (strcmp(r->uuids[k], uuid) == 0)
			memmove(r->uuids[k], r->uuids[--r->n], PPCE_UUID_SIZE);
		else
			k++;
	}
}

void revoke_gone(struct proxy *p, const char *uuid)
{
	struct revocation *r, *next;
	for (r = TAILQ_FIRST(&p->revocations.all); r; r = next) {
		next = TAILQ_NEXT(r, all);
		strike(r, uuid);
		settle(p, r);
	}
}

void revoke_lost(struct proxy *p)
{
	revoke_free(p);
}
