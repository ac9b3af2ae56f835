/* SPDX-License-Identifier: MIT
 *
 * R9 on the side of the instances: when auth revokes, those that are bound to the user, or work for one of the sessions
 * that have ended, end too unless they lie at or below what is left to the user. auth gets its answer when vmmd has said
 * of the last of them that it is gone; if vmmd does not, auth gets none, hangs up, and every session is forgotten.
 */
#ifndef PROXY_REVOKE_H
#define PROXY_REVOKE_H

#include <ppce/session.h>
#include <sys/queue.h>

struct proxy;
struct revocation;

struct revocations {
	TAILQ_HEAD(, revocation) all; /* those that wait for instances to go */
};

void revoke_init(struct proxy *p);
void revoke_free(struct proxy *p);
/* A SESSION_REVOKE whose sessions have ended: ends instances, and answers auth, now or later. ctx: the struct proxy. */
void revoke_instances(void *ctx, const struct session_message *m);
void revoke_gone(struct proxy *p, const char *uuid); /* ROUTING_GONE */
void revoke_lost(struct proxy *p);		     /* vmmd is gone, and will tell nothing of them any more */

#endif
