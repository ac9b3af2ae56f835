/* SPDX-License-Identifier: MIT
 *
 * A log-linear histogram of durations: HISTOGRAM_STEPS equal buckets in each power of two of nanoseconds, from 128 ns to
 * 17 s, so that any quantile read from it is at most a quarter too high. Constant size, constant time, pure.
 */
#ifndef PROXY_HISTOGRAM_H
#define PROXY_HISTOGRAM_H

#include <stdint.h>

#include "lib/buf.h"

#define HISTOGRAM_FIRST 7    /* 2^7 ns: everything below falls into bucket 0 */
#define HISTOGRAM_OCTAVES 27 /* up to 2^34 ns; everything above falls into the last bucket */
#define HISTOGRAM_STEPS 4
#define HISTOGRAM_BUCKETS (1 + HISTOGRAM_OCTAVES * HISTOGRAM_STEPS + 1)

struct histogram {
	uint64_t bucket[HISTOGRAM_BUCKETS];
	uint64_t count, sum_ns;
};

void histogram_add(struct histogram *h, uint64_t ns);
unsigned histogram_bucket(uint64_t ns);	   /* the bucket that `ns` falls into */
uint64_t histogram_bound(unsigned bucket); /* smallest ns beyond it; UINT64_MAX for the last */
/* Prometheus text: cumulative buckets in seconds, _sum and _count, with the label `key="value"`. */
void histogram_write(const struct histogram *h, const char *metric, const char *key, const char *value,
		     struct buf *out);

#endif
