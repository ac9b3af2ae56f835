/* SPDX-License-Identifier: MIT
 *
 * clr(u): what a user is cleared for at this moment. On the owners axis it is the user's own tags and those of the live
 * grants to the user or the user's class; a set there in the record or the class counts for nothing. On the other axes
 * it is what the record, or else the policy for the class, says.
 */
#ifndef AUTH_CLEARANCE_H
#define AUTH_CLEARANCE_H

#include "auth/grants.h"
#include "auth/users.h"

/* Of a session with this purpose ("" : none was stated). NULL: with the grants of all purposes, which no session of
 * the user can be above. ERR_DENIED, in words for the operator and without the name, when class or clearance are not
 * in the policy any more or the tags do not fit a label: then the user cannot log in. Other kinds: the database
 * failed. */
int clearance_of(struct db *db, const struct policy *p, const struct user *u, const char *purpose, int64_t now,
		 struct label *out, struct err *err);

/* Do the tags of a user fit a label? ERR_CONFLICT: not, so that such a user could not log in. */
int clearance_check_tags(struct db *db, const struct policy *p, const struct user *u, int64_t now, struct err *err);

/* Would the clearances of everybody whom this grant is to still fit? ERR_TOO_LARGE: not; the text says whose. */
int clearance_fits(struct db *db, const struct policy *p, const struct grant *g, int64_t now, struct err *err);

/* The users whom a grant is to: one, all of a class, or none for a certificate. Stops when `each` returns non-zero, and
 * returns that; -1 the database failed. */
int clearance_grantees(struct db *db, const char *to, int (*each)(void *ctx, const struct user *u), void *ctx,
		       struct err *err);

#endif
