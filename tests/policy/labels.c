/* SPDX-License-Identifier: MIT */
#include "tests/policy/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/names.h"

struct policy *labels_policy(const char *file)
{
	char path[512];
	struct err err = { 0 };
	snprintf(path, sizeof path, "%s/%s", POLICIES, file);
	struct policy *p = policy_load(path, &err);
	if (!p)
		fail_msg("%s", err.text);
	return p;
}

struct label labels_parse(const struct policy *p, const char *text)
{
	struct label l = { 0 };
	struct err err = { 0 };
	if (label_parse(p, text, &l, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return l;
}

/* How many values the axis has: levels of a chain, sets of a subset (of fewer than 64 members). */
static uint64_t axis_values(const struct policy *p, size_t axis)
{
	size_t n = policy_axis_size(p, axis);
	return policy_axis_kind(p, axis) == AXIS_CHAIN ? n : UINT64_C(1) << n;
}

/* Counts through all combinations like an odometer. */
size_t labels_all(const struct policy *p, struct label out[LABELS_MAX])
{
	struct label l = { 0 };
	size_t n = 0, axis;
	do {
		assert_true(n < LABELS_MAX);
		out[n++] = l;
		for (axis = 0; axis < policy_axes(p); axis++) {
			if (++l.axis[axis] < axis_values(p, axis))
				break;
			l.axis[axis] = 0;
		}
	} while (axis < policy_axes(p));
	return n;
}

bool labels_leq(const struct policy *p, const struct label *a, const struct label *b)
{
	for (size_t axis = 0; axis < policy_axes(p); axis++) {
		if (policy_axis_kind(p, axis) == AXIS_CHAIN) {
			if (b->axis[axis] < a->axis[axis])
				return false;
			continue;
		}
		for (size_t i = 0; i < policy_axis_size(p, axis); i++)
			if ((a->axis[axis] >> i) % 2 && !((b->axis[axis] >> i) % 2))
				return false;
	}
	return true;
}

uint64_t labels_seed(void)
{
	uint64_t seed;
	const char *text = getenv("PPCE_TEST_SEED");
	random_bytes(&seed, sizeof seed);
	if (text)
		seed = strtoull(text, NULL, 0);
	print_message("PPCE_TEST_SEED=0x%llx\n", (unsigned long long)seed);
	return seed;
}

static uint64_t next_random(uint64_t *state) /* splitmix64's steps */
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Half of the labels come out sparse or dense, so that comparable pairs occur. */
struct label labels_random(const struct policy *p, uint64_t *seed)
{
	struct label l = { 0 };
	uint64_t shape = next_random(seed) % 4;
	for (size_t axis = 0; axis < policy_axes(p); axis++) {
		size_t n = policy_axis_size(p, axis);
		uint64_t w = next_random(seed);
		if (policy_axis_kind(p, axis) == AXIS_CHAIN) {
			l.axis[axis] = w % n;
			continue;
		}
		for (int i = 0; i < 4 && shape < 2; i++)
			w = shape ? w | next_random(seed) : w & next_random(seed);
		l.axis[axis] = n == 64 ? w : w & ((UINT64_C(1) << n) - 1);
	}
	return l;
}
