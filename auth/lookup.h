/* SPDX-License-Identifier: MIT
 *
 * The session socket (include/ppce/session.h): answers proxies' look-ups and tells them what was revoked. A peer that is
 * neither root nor of our user is refused; one that sends anything but a valid packet, takes no answers or leaves a
 * revocation without an answer is disconnected, which makes a correct proxy forget all it has cached.
 */
#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

#include <ppce/session.h>
#include <uv.h>

#include "auth/db.h"
#include "policy/policy.h"

#define LOOKUP_PEERS 64 /* proxies connected at once */

struct lookup;

/* Serves the listening socket `fd`, which it takes over. */
struct lookup *lookup_new(uv_loop_t *loop, int fd, struct db *db, const struct policy *policy, struct err *err);

/* What is to be forgotten: one session (hash), or those of a user (user) that are not at or below `ceiling`, "" meaning
 * all of them; see SESSION_REVOKE in ppce/session.h. The other members are NULL. */
struct lookup_target {
	const uint8_t *hash;
	const char *user, *ceiling;
};
/* Makes every connected proxy forget that, and end the instances that may not live on. Call it after the database no
 * longer has the sessions. `done` (may be NULL) runs when no proxy can have them any more: at once when
 * none is connected, after LOOKUP_ACK_MS at the latest. */
#define LOOKUP_ACK_MS 2000
void lookup_revoke(struct lookup *l, const struct lookup_target *target, void (*done)(void *ctx), void *ctx);

unsigned lookup_peers(const struct lookup *l);
uint64_t lookup_answered(const struct lookup *l);
/* Disconnects everybody, which completes all revocations, and frees itself once the loop has closed its handles. */
void lookup_stop(struct lookup *l);

#endif
