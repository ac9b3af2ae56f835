/* SPDX-License-Identifier: MIT
 *
 * Who calls a route that both operators and users may call. Over auth's socket without an Authorization field it is an
 * operator; with one it is the user of that session, and never anything else. The proxy passes users' calls on and
 * always sends the field.
 */
#ifndef AUTH_CALLER_H
#define AUTH_CALLER_H

#include "auth/auth.h"
#include "auth/sessions.h"

#define CALLER_OPERATOR "operator" /* as actor in records */

struct caller {
	bool is_operator;
	const char *name;	/* of the user, or CALLER_OPERATOR; points into this structure or is static */
	struct session session; /* of a user; else empty */
	bool officer;		/* may review */
};

/* ERR_UNAUTHENTICATED, or the database failed. */
int caller_find(struct auth *a, const struct rest_call *call, struct caller *out, struct err *err);
/* Refuses the call. What of our inside went wrong is for operators and the log only. */
void caller_fail(const struct caller *c, struct rest_call *call, const struct err *err);
/* Fills in what a record says of the caller. */
void caller_record(const struct caller *c, struct audit_record *r);

#endif
