/* SPDX-License-Identifier: MIT
 *
 * Instances made ahead (`PUT /v1/pools` with "warm"): so many instances of one key (app, label, owner) are kept alive. They
 * are told to the proxy with .keep, so that idleness does not end them; whatever else ends one, another is made. Those
 * that die at once are made again after growing gaps, as in shells.h.
 *
 * What counts is the key that an instance is bound to at its start. An instance of lifetime `user` that has read moves to a
 * higher label in the proxy, and still counts here until it ends: there are never more than were asked for. The sum over
 * an app's keys is bounded by its max_instances, and instances that requests started count against that too; while the
 * app is full, its pools wait.
 *
 * The entries are in the database; after a restart of the daemon they are filled as soon as their image has booted.
 */
#ifndef VMMD_POOLS_H
#define VMMD_POOLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/limits.h>
#include "lib/err.h"

#define POOLS_MAX 256 /* entries */

struct vmmd;
struct app;
struct instance;

struct pool_record { /* what the database keeps */
	char app[PPCE_NAME_SIZE];
	char label[PPCE_LABEL_SIZE]; /* canonical */
	char owner[PPCE_USER_SIZE];  /* for lifetime `user`, else empty */
	uint32_t warm;
};

struct pool {
	TAILQ_ENTRY(pool) link;
	struct pool_record r;
	struct app *app;
	unsigned alive;		   /* instances whose .pool this is, none of them ending */
	struct instance *starting; /* the one of them that is not bound yet */
	bool waiting;		   /* for the image's snapshot */
	unsigned failures;	   /* in a row */
	uint64_t retry_ns;	   /* nothing is tried before */
	char reason[480];	   /* of the last failure */
};

struct pools {
	TAILQ_HEAD(pool_list, pool) list; /* in the order in which they were asked for */
	unsigned count, starting;
	uv_timer_t timer;
};

int pools_load(struct vmmd *v, struct err *err); /* after apps_load() */
void pools_start(struct vmmd *v);
void pools_end(struct vmmd *v); /* before instances_end() */
/* Keeps so many instances of the record's key from now on; surplus ones end, those that were used least recently first.
 * 0 removes the entry. The label must be canonical; of an entry that is to be removed it need not be valid any more. */
int pools_set(struct vmmd *v, const struct pool_record *r, struct err *err);
void pools_app_gone(struct vmmd *v, const struct app *app); /* its rows in the database go with the app's */
/* The instance is not living any more. Does nothing for one that is in no pool. */
void pools_lost(struct vmmd *v, struct instance *i, const char *reason);
/* Instances that are ready, and that are to be, over all entries. */
void pools_total(const struct vmmd *v, unsigned *ready, unsigned *want);

#endif
