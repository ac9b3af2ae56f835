/* SPDX-License-Identifier: MIT */
#include "proxy/histogram.h"

unsigned histogram_bucket(uint64_t ns)
{
	if (ns < (1u << HISTOGRAM_FIRST))
		return 0;
	unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
	if (octave >= HISTOGRAM_FIRST + HISTOGRAM_OCTAVES)
		return HISTOGRAM_BUCKETS - 1;
	unsigned step = (unsigned)(ns >> (octave - 2)) & (HISTOGRAM_STEPS - 1); /* the two bits after the leading one */
	return 1 + (octave - HISTOGRAM_FIRST) * HISTOGRAM_STEPS + step;
}

uint64_t histogram_bound(unsigned bucket)
{
	if (bucket == 0)
		return 1u << HISTOGRAM_FIRST;
	if (bucket >= HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	unsigned octave = HISTOGRAM_FIRST + (bucket - 1) / HISTOGRAM_STEPS;
	unsigned step = (bucket - 1) % HISTOGRAM_STEPS;
	return (uint64_t)(HISTOGRAM_STEPS + step + 1) << (octave - 2);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->bucket[histogram_bucket(ns)]++;
	h->count++;
	h->sum_ns += ns;
}

void histogram_write(const struct histogram *h, const char *metric, const char *key, const char *value, struct buf *out)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		sum += h->bucket[i];
		buf_printf(out, "%s_bucket{%s=\"%s\",le=\"%.9g\"} %llu\n", metric, key, value,
			   (double)histogram_bound(i) / 1e9, (unsigned long long)sum);
	}
	buf_printf(out, "%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n", metric, key, value, (unsigned long long)h->count);
	buf_printf(out, "%s_sum{%s=\"%s\"} %.9f\n", metric, key, value, (double)h->sum_ns / 1e9);
	buf_printf(out, "%s_count{%s=\"%s\"} %llu\n", metric, key, value, (unsigned long long)h->count);
}
