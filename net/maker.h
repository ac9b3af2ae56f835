/* SPDX-License-Identifier: MIT
 *
 * The worker thread: one job at a time, with a netlink socket of its own. A job carries copies; while it runs, its tap is
 * left alone by everybody else, whatever list it is on.
 */
#ifndef NET_MAKER_H
#define NET_MAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/err.h"
#include "net/port.h"

#define MAKER_REMOVE_MAX 64

struct net;
struct tap;

enum job_kind {
	JOB_MAKE,    /* a new tap with an address */
	JOB_RECYCLE, /* attach a new queue (if it has none), change the address */
	JOB_LEND,    /* close our descriptor, let another user attach */
	JOB_REMOVE,  /* taps, all at once */
};

struct job {
	enum job_kind kind;
	struct tap *tap;
	struct port port;
	uint32_t uid, gid; /* LEND */
	struct link_doomed doomed[MAKER_REMOVE_MAX];
	struct tap *removed[MAKER_REMOVE_MAX];
	unsigned ndoomed;
	/* results */
	int rc;
	struct err err;
	uint64_t us;
};

struct maker {
	uv_work_t work;
	struct nl nl;
	struct job job;
	bool busy;
};

int maker_start(struct net *n, struct err *err);
/* Runs n->maker.job, which the caller has filled; !n->maker.busy. plan_done() is called when it is done. */
void maker_run(struct net *n);
void maker_end(struct net *n); /* not busy */

#endif
