/* SPDX-License-Identifier: MIT
 *
 * A platform in miniature, twice: two runs of the same requests over stores that are equal below a label and differ above
 * it. The monitor, the rows, the permits, the certificates and the flow rules are the real ones; routing, the guest and the
 * proxy's part are written down here a second time. Whatever somebody at that label can see must be equal in both.
 */
#ifndef TESTS_TWO_RUNS_H
#define TESTS_TWO_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define RUN_OPS 12u
#define RUN_STEPS 24u

enum run_op_kind {	      /* of a guest's script, which works on one number */
		   RUN_READ,  /* a query with one label */
		   RUN_ALL,   /* one whose rows have each their own */
		   RUN_OWNED, /* one whose rows differ in the owner */
		   RUN_INSERT,
		   RUN_UPDATE, /* tells how many rows it has changed */
		   RUN_HERE,   /* a write at the instance's own label */
		   RUN_SKIP,   /* the next operations, if the number is odd (or even) */
		   RUN_KEEP,   /* in memory, for a later request */
		   RUN_RECALL,
		   RUN_STATUS,
		   RUN_RELEASE, /* the last bit of the number, under the certificate */
		   RUN_CRASH,
		   RUN_OP_COUNT
};

struct run_op {
	enum run_op_kind kind;
	unsigned a, b;
};

struct run_step { /* one request */
	unsigned user, ceiling, level, app;
	struct run_op op[RUN_OPS];
};

/* What is left out or done wrong, so that a test can see that it would be noticed. */
enum run_fault {
	RUN_RIGHT,
	RUN_NO_RAISE,	   /* reading does not raise */
	RUN_ROWS_ONLY,	   /* a query with labels per row raises to those of the rows that came */
	RUN_WRITE_SILENT,  /* the answer of a write does not raise */
	RUN_WRITE_DOWN,	   /* R3 is not asked */
	RUN_ANY_ANSWER,	   /* R4 is not asked */
	RUN_FAILURE_SHOWN, /* a tainted instance's crash is told */
	RUN_NOT_REFILED,   /* an instance with a memory is found under its old label */
	RUN_LIVES_ON,	   /* an instance that has read what its session may not see serves others, unless it crashed */
	RUN_FAULTS
};

struct run_counts {
	unsigned long steps, low_answers, low_blocked, releases, high_reads, denied_writes;
};

void run_random_step(uint64_t *seed, struct run_step *out);
/* -1: both runs looked alike; else the step after which they did not, and what differed. */
int run_both(uint64_t seed, enum run_fault fault, const struct run_step *steps, size_t n, struct run_counts *counts,
	     char why[512]);
void run_describe(uint64_t seed, const struct run_step *steps, size_t n, struct buf *out);

#endif
