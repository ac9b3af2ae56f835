/* SPDX-License-Identifier: MIT */
#include "proxy/session.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"

static struct session *find(const struct sessions *s, const uint8_t hash[SESSION_HASH_BYTES])
{
	uint64_t h = table_hash(hash, SESSION_HASH_BYTES);
	for (struct table_link *l = table_first(&s->cached, h); l; l = table_next(l)) {
		struct session *e = table_entry(l, struct session, link);
		if (memcmp(e->hash, hash, SESSION_HASH_BYTES) == 0)
			return e;
	}
	return NULL;
}

void sessions_put(struct session *session)
{
	if (session && --session->refs == 0)
		free(session);
}

static void forget(struct sessions *s, struct session *e, enum session_state state)
{
	e->state = state;
	table_remove(&s->cached, &e->link);
	TAILQ_REMOVE(&s->recent, e, recent);
	sessions_put(e);
}

static int take_level(const struct policy *p, const char *text, struct session_level *out, struct err *err)
{
	if (label_parse(p, text, &out->label, err) < 0)
		return -1;
	return label_format(p, &out->label, out->text, err);
}

static int take_levels(const struct policy *p, const struct session_message *m, struct session *e, struct err *err)
{
	if (take_level(p, m->floor, &e->floor, err) < 0 || take_level(p, m->ceiling, &e->ceiling, err) < 0)
		return -1;
	label_drop_tags(p, &e->ceiling.label, &e->plain.label);
	label_join(p, &e->plain.label, &e->floor.label, &e->plain.label);
	return label_format(p, &e->plain.label, e->plain.text, err);
}

/* SESSION_FOUND became a session, or NULL if its labels mean nothing under our policy. */
static struct session *session_from(const struct sessions *s, const struct session_message *m)
{
	struct err err = { 0 };
	struct session *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	if (take_levels(s->policy, m, e, &err) < 0) {
		log_error("auth and proxy have different policies: %s", err.text);
		free(e);
		return NULL;
	}
	e->expires = m->expires;
	e->epoch = m->epoch;
	memcpy(e->hash, m->token_hash, sizeof e->hash);
	memcpy(e->uuid, m->session, sizeof e->uuid);
	memcpy(e->user, m->user, sizeof e->user);
	memcpy(e->class_name, m->class_name, sizeof e->class_name);
	memcpy(e->purpose, m->purpose, sizeof e->purpose);
	return e;
}

/* Makes room in the cache. A session that a request is under way for stays: a revocation has to find it. */
static void make_room(struct sessions *s)
{
	struct session *e;
	TAILQ_FOREACH (e, &s->recent, recent) {
		if (e->refs == 1) {
			forget(s, e, SESSION_LIVE);
			return;
		}
	}
}

/* Takes `e` over; returns the cached one, which is another when two requests asked at the same time. */
static struct session *remember(struct sessions *s, struct session *e)
{
	struct session *known = find(s, e->hash);
	if (known) {
		free(e);
		return known;
	}
	if (s->cached.count >= SESSIONS_CACHED)
		make_room(s);
	e->refs = 1;
	table_insert(&s->cached, &e->link, table_hash(e->hash, sizeof e->hash));
	TAILQ_INSERT_TAIL(&s->recent, e, recent);
	return e;
}

static void lookup_end(struct sessions *s, struct session_lookup *lookup, struct session *found, enum err_kind kind)
{
	table_remove(&s->pending, &lookup->link);
	TAILQ_REMOVE(&s->lookups, lookup, all);
	if (found)
		found->refs++;
	lookup->done(lookup, found, kind);
}

static struct session_lookup *lookup_by_id(const struct sessions *s, uint64_t id)
{
	for (struct table_link *l = table_first(&s->pending, table_hash(&id, sizeof id)); l; l = table_next(l)) {
		struct session_lookup *lookup = table_entry(l, struct session_lookup, link);
		if (lookup->id == id)
			return lookup;
	}
	return NULL;
}

static void on_answer(struct sessions *s, const struct session_message *m)
{
	struct session_lookup *lookup = lookup_by_id(s, m->id);
	struct session *e = NULL;
	if (!lookup)
		return; /* given up meanwhile */
	if (m->type == SESSION_UNKNOWN) {
		lookup_end(s, lookup, NULL, ERR_UNAUTHENTICATED);
		return;
	}
	if (memcmp(m->token_hash, lookup->hash, sizeof lookup->hash) == 0)
		e = session_from(s, m);
	else
		log_error("auth answered for another token than asked");
	if (e)
		e = remember(s, e);
	lookup_end(s, lookup, e, ERR_UNAVAILABLE);
}

/* Is the session's ceiling at or below the one that is left to the user? Nothing is at or below "", nor below what is no
 * label of our policy. */
static bool stays(const struct sessions *s, const struct session *e, const struct session_message *m)
{
	struct label left;
	if (!m->ceiling[0])
		return false;
	return label_parse(s->policy, m->ceiling, &left, NULL) == 0 &&
	       flow_revoked(s->policy, &e->ceiling.label, &left).allowed;
}

static void on_revoke(struct sessions *s, const struct session_message *m)
{
	struct session *e, *next;
	if (m->user[0] == '\0') {
		e = find(s, m->token_hash);
		if (e)
			forget(s, e, SESSION_ENDED);
	} else {
		for (e = TAILQ_FIRST(&s->recent); e; e = next) {
			next = TAILQ_NEXT(e, recent);
			if (strcmp(e->user, m->user) == 0 && !stays(s, e, m))
				forget(s, e, SESSION_ENDED);
		}
	}
	s->revoke(s->ctx, m);
}

void sessions_revoked(struct sessions *s, uint64_t id, uint64_t connection)
{
	struct session_message ok = { .type = SESSION_REVOKED_OK, .id = id };
	if (connection == s->connection)
		link_send(&s->auth, &ok);
}

static int on_packet(void *ctx, const void *data, size_t size, int fd)
{
	struct sessions *s = ctx;
	const struct session_message *m = data;
	if (fd >= 0 || !session_valid(m, size)) {
		log_error("auth sent a malformed message");
		return -1;
	}
	if (m->epoch > s->epoch)
		s->epoch = m->epoch;
	if (m->type == SESSION_REVOKE)
		on_revoke(s, m);
	else if (m->type == SESSION_FOUND || m->type == SESSION_UNKNOWN)
		on_answer(s, m);
	return 0;
}

static void on_up(void *ctx)
{
	(void)ctx;
}

static void give_up(struct sessions *s, int64_t asked_before)
{
	struct session_lookup *lookup;
	while ((lookup = TAILQ_FIRST(&s->lookups)) && lookup->since < asked_before)
		lookup_end(s, lookup, NULL, ERR_UNAVAILABLE);
}

static void on_down(void *ctx)
{
	struct sessions *s = ctx;
	s->connection++;
	while (!TAILQ_EMPTY(&s->recent))
		forget(s, TAILQ_FIRST(&s->recent), SESSION_UNSURE);
	give_up(s, INT64_MAX);
}

int sessions_start(struct sessions *s, uv_loop_t *loop, const struct policy *policy, const char *path,
		   sessions_revoke_fn *revoke, void *ctx, struct err *err)
{
	static const struct link_events events = { on_up, on_down, on_packet };
	_Static_assert(sizeof(struct session_message) <= LINK_PACKET_MAX, "a message fits a packet");
	*s = (struct sessions){ .policy = policy, .revoke = revoke, .ctx = ctx };
	TAILQ_INIT(&s->recent);
	TAILQ_INIT(&s->lookups);
	if (table_init(&s->cached) < 0 || table_init(&s->pending) < 0)
		return err_set(err, ERR_INTERNAL, "out of memory");
	return link_start(&s->auth, loop, "auth", path, sizeof(struct session_message), &events, s, err);
}

void sessions_stop(struct sessions *s)
{
	link_stop(&s->auth);
	on_down(s);
	table_free(&s->cached);
	table_free(&s->pending);
}

bool sessions_ready(const struct sessions *s)
{
	return link_up(&s->auth);
}

static int ask(struct sessions *s, const uint8_t hash[SESSION_HASH_BYTES], struct session_lookup *lookup)
{
	struct session_message m = { .type = SESSION_LOOKUP, .id = ++s->last_id };
	memcpy(m.token_hash, hash, sizeof m.token_hash);
	if (link_send(&s->auth, &m) < 0)
		return -1;
	lookup->id = m.id;
	lookup->since = clock_unix();
	memcpy(lookup->hash, hash, sizeof lookup->hash);
	table_insert(&s->pending, &lookup->link, table_hash(&m.id, sizeof m.id));
	TAILQ_INSERT_TAIL(&s->lookups, lookup, all);
	return 0;
}

struct session *sessions_get(struct sessions *s, const uint8_t hash[SESSION_HASH_BYTES], struct session_lookup *lookup,
			     enum err_kind *kind)
{
	struct session *e = find(s, hash);
	*kind = ERR_NONE;
	if (e && e->expires <= clock_unix()) {
		forget(s, e, SESSION_ENDED);
		*kind = ERR_UNAUTHENTICATED;
		return NULL;
	}
	if (e) {
		s->hits++;
		TAILQ_REMOVE(&s->recent, e, recent);
		TAILQ_INSERT_TAIL(&s->recent, e, recent);
		e->refs++;
		return e;
	}
	s->misses++;
	if (ask(s, hash, lookup) < 0)
		*kind = ERR_UNAVAILABLE;
	return NULL;
}

void sessions_tick(struct sessions *s)
{
	give_up(s, clock_unix() - SESSIONS_LOOKUP_S);
}
