/* SPDX-License-Identifier: MIT
 *
 * The records of grants: who may see a category of somebody's data. A grant gives its grantee the owner's tag in their
 * clearance while it lives (auth/clearance.h), or authorises a certificate of declassification. Callers validate what
 * they store; what is read back is checked again where it is used, because the policy may have changed since.
 *
 * A grant lives from its creation to its end: `until`, a revocation, or the removal of the grantee's account. A consent
 * is gone then; a break-glass stays on record, ended, until somebody has reviewed it.
 */
#ifndef AUTH_GRANTS_H
#define AUTH_GRANTS_H

#include <ppce/limits.h>
#include "auth/db.h"

#define GRANT_ID_SIZE 65 /* [a-z0-9][a-z0-9-]{0,63} */
#define GRANT_CATEGORY_SIZE 33
#define GRANT_TO_SIZE 80      /* a user's name, "class:NAME" or "certificate:SHA-256 in hex" */
#define GRANT_REASON_SIZE 513 /* printable UTF-8 */
#define GRANTS_LISTED 10000
#define GRANTS_PER_OWNER 1000 /* live ones: anybody with an account can make some */

#define GRANT_CLASS "class:"
#define GRANT_CERTIFICATE "certificate:"

enum grant_kind { GRANT_CONSENT, GRANT_BREAK_GLASS };
const char *grant_kind_name(enum grant_kind kind); /* "consent", "break-glass" */

struct grant {
	char id[GRANT_ID_SIZE];
	char owner[PPCE_USER_SIZE], category[GRANT_CATEGORY_SIZE];
	char to[GRANT_TO_SIZE];
	char purpose[PPCE_PURPOSE_SIZE]; /* "": in sessions of every purpose */
	enum grant_kind kind;
	char reason[GRANT_REASON_SIZE];
	char actor[PPCE_USER_SIZE]; /* who made it; "operator" */
	int64_t created, until;	    /* Unix seconds; until 0: no end */
	int64_t ended;		    /* 0: it lives */
	int64_t reviewed;	    /* 0: not yet; break-glass only */
	char reviewer[PPCE_USER_SIZE];
};

bool grant_id_valid(const char *text);
bool grant_for_certificate(const struct grant *g);

/* 1 found, 0 not, -1 the database failed. Ended ones are found too. */
int grant_find(struct db *db, const char *id, struct grant *out, struct err *err);
int grant_insert(struct db *db, const struct grant *g, struct err *err); /* ERR_CONFLICT: the id is taken */
/* Ends a live grant; a consent's record goes, as does that of a reviewed break-glass. */
int grant_end(struct db *db, const struct grant *g, int64_t now, struct err *err);
/* The same for all grants to a user whose account goes. */
int grant_end_of_user(struct db *db, const char *user, int64_t now, struct err *err);
/* Marks a break-glass as reviewed; the record of one that has ended goes. */
int grant_review(struct db *db, const struct grant *g, const char *reviewer, int64_t now, struct err *err);
int grant_count(struct db *db, const char *owner, struct err *err); /* live ones of an owner; -1 */

/* In order of owner, category and creation; stops when `each` returns non-zero. `each` may use other functions of this
 * file, but not list. */
typedef int grant_each(void *ctx, const struct grant *g);
/* The first GRANTS_LISTED, ended ones included; "" for owner or to: any. */
int grant_list(struct db *db, const char *owner, const char *to, grant_each *each, void *ctx, struct err *err);
/* Those that live at `now` and are for this user or class ("" for none of the two), of all purposes. */
int grant_list_live(struct db *db, const char *user, const char *class_name, int64_t now, grant_each *each, void *ctx,
		    struct err *err);
/* A live one with until <= now: 1, none: 0, -1. */
int grant_expired(struct db *db, int64_t now, struct grant *out, struct err *err);
/* The earliest `until` of all live ones; 0: there is none. */
int grant_next_until(struct db *db, int64_t *out, struct err *err);

#endif
