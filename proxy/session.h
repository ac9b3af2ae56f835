/* SPDX-License-Identifier: MIT
 *
 * Who is asking: sessions by the hash of their token. auth owns them (ppce/session.h); here is a bounded cache of them,
 * filled by SESSION_LOOKUP. It is emptied whenever auth cannot be heard, because a revocation might be missed then.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <ppce/session.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "policy/label.h"
#include "proxy/link.h"
#include "proxy/table.h"

#define SESSIONS_CACHED \
	8192u		    /* more: the one that was used longest ago is forgotten, and looked up again when needed */
#define SESSIONS_LOOKUP_S 5 /* longest wait for auth's answer */

enum session_state {
	SESSION_LIVE,
	SESSION_ENDED,	/* revoked: whatever is under way for it must not be delivered */
	SESSION_UNSURE, /* the connection to auth was lost after it was found */
};

struct session {
	struct table_link link;
	TAILQ_ENTRY(session) recent;
	unsigned refs; /* the cache's own and one for each request under way */
	enum session_state state;
	uint8_t hash[SESSION_HASH_BYTES];
	int64_t expires; /* Unix time, s */
	uint64_t epoch;	 /* of the clearance that its ceiling was checked against */
	char uuid[PPCE_UUID_SIZE], user[PPCE_USER_SIZE], class_name[PPCE_CLASS_SIZE], purpose[PPCE_PURPOSE_SIZE];
	/* L and C of the session (R0), and C without anybody's data: the levels at which requests run that name none */
	struct session_level {
		struct label label;
		char text[PPCE_LABEL_SIZE]; /* canonical */
	} floor, ceiling, plain;
};

/* A question under way; part of the asker's memory until done() or sessions_cancel(). */
struct session_lookup {
	TAILQ_ENTRY(session_lookup) all;
	struct table_link link;
	uint64_t id;
	int64_t since; /* Unix time, s */
	uint8_t hash[SESSION_HASH_BYTES];
	/* Exactly once. `s` with a reference for the caller, or NULL: ERR_UNAUTHENTICATED or ERR_UNAVAILABLE */
	void (*done)(struct session_lookup *lookup, struct session *s, enum err_kind kind);
};

/* Ends what else may not live on after a SESSION_REVOKE, whose sessions have ended when it is called, and leads to
 * sessions_revoked() when that is done. */
typedef void sessions_revoke_fn(void *ctx, const struct session_message *m);

TAILQ_HEAD(session_list, session);
struct sessions {
	struct link auth;
	const struct policy *policy;
	struct table cached, pending;
	struct session_list recent;	      /* least recently used first */
	TAILQ_HEAD(, session_lookup) lookups; /* in the order of asking */
	uint64_t last_id, hits, misses;
	uint64_t epoch;	     /* the newest that auth has spoken of */
	uint64_t connection; /* counts the connections to auth that were lost */
	sessions_revoke_fn *revoke;
	void *ctx;
};

/* Connects to auth's socket and stays connected. */
int sessions_start(struct sessions *s, uv_loop_t *loop, const struct policy *policy, const char *path,
		   sessions_revoke_fn *revoke, void *ctx, struct err *err);
/* Tells auth that revocation `id` is done. `connection`: the value of .connection when it came; after another one
 * nothing is sent, as auth's numbers begin anew. */
void sessions_revoked(struct sessions *s, uint64_t id, uint64_t connection);
void sessions_stop(struct sessions *s); /* no request may hold a session any more */
bool sessions_ready(const struct sessions *s);
/* The session of a token's hash. Returned at once with a reference for the caller if it is cached. Else NULL with
 * *kind ERR_NONE: lookup->done() follows; or *kind says why not: ERR_UNAUTHENTICATED, ERR_UNAVAILABLE. */
struct session *sessions_get(struct sessions *s, const uint8_t hash[SESSION_HASH_BYTES], struct session_lookup *lookup,
			     enum err_kind *kind);
void sessions_put(struct session *session); /* gives a reference back */
void sessions_tick(struct sessions *s);	    /* once a second: gives up lookups that wait too long */

#endif
