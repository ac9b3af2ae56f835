/* SPDX-License-Identifier: MIT
 *
 * Shells: tenders with an empty VM, made ahead so that a cold request needs no process and no VM to be created. The
 * pool is refilled one at a time and a little after a shell was taken, so that the refill does not compete with the
 * request that took it; when shells die at once, refilling backs off up to half a minute.
 */
#ifndef VMMD_SHELLS_H
#define VMMD_SHELLS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "lib/err.h"

#define SHELLS_MAX 64

struct vmmd;
struct tender;

struct shells {
	unsigned want, ready;
	TAILQ_HEAD(shell_list, tender) list;
	struct tender *starting;
	uv_timer_t timer;
	bool timer_active;
	unsigned failures; /* in a row */
	char reason[200];  /* of the last failure */
};

void shells_init(struct vmmd *v);
void shells_set(struct vmmd *v, unsigned want);	      /* surplus ones are ended; lasts until the daemon ends */
struct tender *shells_take(struct vmmd *v);	      /* NULL when none is ready. The caller gives it a new owner */
bool shells_working(struct vmmd *v, struct err *why); /* false when the last few all died */
void shells_end(struct vmmd *v);

#endif
