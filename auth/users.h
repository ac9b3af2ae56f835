/* SPDX-License-Identifier: MIT
 *
 * The records of users. Callers validate names, labels and classes of what they store; what is read back is checked
 * again where it is used, because the policy may have changed since.
 */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include <sodium.h>

#include <ppce/limits.h>
#include "auth/db.h"
#include "policy/policy.h"

struct user {
	int64_t id;
	char name[PPCE_USER_SIZE];
	char class_name[PPCE_CLASS_SIZE]; /* "" : none */
	char clearance[PPCE_LABEL_SIZE];  /* canonical; "" : what the policy gives the class, today and later */
	char hash[crypto_pwhash_STRBYTES];
	int64_t created, changed; /* Unix seconds */
};

/* 1 found, 0 no such user, -1 the database failed. */
int user_find(struct db *db, const char *name, struct user *out, struct err *err);
/* The stored hash of some user, the same one for the same `pick`; see login.c for what it is good for. 1, 0 or -1. */
int user_sample_hash(struct db *db, uint64_t pick, char out[crypto_pwhash_STRBYTES], struct err *err);
int user_insert(struct db *db, const struct user *u, struct err *err); /* ERR_CONFLICT: the name is taken */
/* Stores hash, class and clearance of user u->id, ends all sessions of it and raises the epoch; all or nothing. */
int user_update(struct db *db, const struct user *u, struct err *err);
/* A new hash of the same password; does nothing when the stored one is no longer `old`. Sessions stay. */
int user_rehash(struct db *db, int64_t id, const char *old, const char *fresh, struct err *err);
/* And all its sessions; grants to it end. ERR_NOT_FOUND: it is gone already. */
int user_remove(struct db *db, const struct user *u, int64_t now, struct err *err);
/* In order of names; stops when `each` returns non-zero. */
int user_list(struct db *db, int (*each)(void *ctx, const struct user *u), void *ctx, struct err *err);

/* The same for one class. Returns what `each` returned, 0 at the end, -1 when the database failed. */
int user_list_class(struct db *db, const char *class_name, int (*each)(void *ctx, const struct user *u), void *ctx,
		    struct err *err);

/* What the record or the class says that the user is cleared for under this policy: one part of the clearance, see
 * auth/clearance.h. ERR_DENIED, in words for the operator and without the name, when class or clearance are not in the
 * policy any more: then the user cannot log in. */
int user_clearance(const struct policy *p, const struct user *u, struct label *out, struct err *err);

#endif
