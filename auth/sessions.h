/* SPDX-License-Identifier: MIT
 *
 * The records of sessions, in the database only: a look-up is one B-tree search in cached pages, a restart loses none,
 * and there is no second copy that could disagree.
 */
#ifndef AUTH_SESSIONS_H
#define AUTH_SESSIONS_H

#include <ppce/session.h>
#include "auth/users.h"

#define SESSION_ADDRESS_SIZE 64
#define SESSIONS_PER_USER 256 /* the oldest ends when one more begins */
#define SESSIONS_LISTED 10000

struct session {
	uint8_t token_hash[SESSION_HASH_BYTES];
	char uuid[PPCE_UUID_SIZE];
	int64_t user_id;
	char user[PPCE_USER_SIZE];	  /* from the user's record */
	char class_name[PPCE_CLASS_SIZE]; /* from the user's record */
	char floor[PPCE_LABEL_SIZE], ceiling[PPCE_LABEL_SIZE];
	char purpose[PPCE_PURPOSE_SIZE];
	char address[SESSION_ADDRESS_SIZE]; /* where the login came from; "" unknown */
	int64_t created, expires;	    /* Unix seconds */
};

int session_insert(struct db *db, const struct session *s, struct err *err);

/* 1 found, 0 not (or expired at `now`), -1 the database failed. `owner` may be NULL. */
int session_by_token(struct db *db, const uint8_t hash[SESSION_HASH_BYTES], int64_t now, struct session *out,
		     struct user *owner, struct err *err);
int session_by_uuid(struct db *db, const char *uuid, int64_t now, struct session *out, struct err *err);

/* 1 when it was there, 0 when not, -1 on failure. */
int session_remove(struct db *db, const uint8_t hash[SESSION_HASH_BYTES], struct err *err);
int session_remove_all(struct db *db, int64_t user_id, struct err *err); /* number of removed ones, -1 */
int session_sweep(struct db *db, int64_t now, struct err *err);		 /* removes expired ones; their number */
/* The user's oldest session if it has SESSIONS_PER_USER of them: 1, else 0, or -1. */
int session_surplus(struct db *db, int64_t user_id, uint8_t hash[SESSION_HASH_BYTES], struct err *err);
int64_t session_count(struct db *db, struct err *err); /* -1 on failure */
/* The newest SESSIONS_LISTED live ones, newest first; stops when `each` returns non-zero. */
int session_list(struct db *db, int64_t now, int (*each)(void *ctx, const struct session *s), void *ctx,
		 struct err *err);

/* All of a user, expired ones included. Returns what `each` returned, 0 at the end, -1 when the database failed. */
int session_list_user(struct db *db, int64_t user_id, int (*each)(void *ctx, const struct session *s), void *ctx,
		      struct err *err);

/* Does the session still hold under today's policy and the user's clearance at `now` (R0)? -1: ERR_DENIED with why not,
 * for operators; other kinds: the database failed and nobody can tell. */
int session_check(struct db *db, const struct policy *p, const struct session *s, const struct user *owner, int64_t now,
		  struct err *err);

#endif
