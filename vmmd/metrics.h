/* SPDX-License-Identifier: MIT
 *
 * Counters and histograms for `/metrics` (Prometheus text format). All times in microseconds.
 */
#ifndef VMMD_METRICS_H
#define VMMD_METRICS_H

#include <stdint.h>

#include "lib/buf.h"

#define HISTOGRAM_BOUNDS 18

struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* the last: above all bounds */
	uint64_t total, sum_us;
};

struct metrics {
	struct histogram spawn, create, bind, boot;
	struct histogram need; /* from reading a proxy's question to sending the channel */
	struct histogram tap;  /* ppce-net's time for one, as it says */
	uint64_t starts_shell, starts_cold;
	uint64_t starts_restore, starts_boot;
	uint64_t taps_pool, taps_fresh;
	uint64_t ends, ends_failed; /* failed: ended by itself, not on our or its own orderly wish */
	uint64_t refused;
	uint64_t boots_failed;
	uint64_t shell_failures, warm_failures;
	uint64_t log_lines, log_dropped;
	uint64_t proxy_connects, proxy_faults;
};

struct vmmd;
void histogram_add(struct histogram *h, uint64_t us);
void metrics_write(void *vmmd, struct buf *out); /* for struct rest_config */

#endif
