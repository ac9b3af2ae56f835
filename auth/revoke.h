/* SPDX-License-Identifier: MIT
 *
 * R9: when a grant ends, whatever rested on it ends before that is acknowledged: the sessions above the new clearance,
 * and the instances that proxies then may not keep (SESSION_REVOKE in ppce/session.h).
 */
#ifndef AUTH_REVOKE_H
#define AUTH_REVOKE_H

#include "auth/auth.h"

struct revoke;

/* First step, in the caller's transaction and after the grant has ended in it: raises the epoch, removes the sessions of
 * everybody whom the grant was `to` that are above their clearance now, and notes whom the proxies have to be told of.
 * NULL with err: roll back. */
struct revoke *revoke_new(struct auth *a, const char *to, int64_t now, struct err *err);
void revoke_free(struct revoke *r); /* instead of revoke_run() */
/* Second step, after the commit: tells the proxies. `done` runs when all of them have acknowledged. Frees itself. */
void revoke_run(struct revoke *r, void (*done)(void *ctx), void *ctx);

#endif
