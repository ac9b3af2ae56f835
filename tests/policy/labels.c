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

struct policy *labels_policy_text(const char *text)
{
	struct err err = { 0 };
	struct policy *p = policy_parse("text", text, strlen(text), &err);
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

/* Tags of the owners axis that tests use, sorted: the canonical text of a set is some of them, in this order. */
struct pool {
	char tag[64][sizeof(struct label_tag) + 1];
	size_t n;
};

static int by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void pool_fill(struct pool *pool, const struct policy *p, const char *const *owners)
{
	pool->n = 0;
	for (; *owners; owners++)
		for (size_t i = 0; i < policy_categories(p); i++)
			snprintf(pool->tag[pool->n++], sizeof pool->tag[0], "%s/%s", *owners, policy_category(p, i));
	qsort(pool->tag, pool->n, sizeof pool->tag[0], by_bytes);
}

/* Bit i of the set: tag i. What does not fit any more is left out. */
static void pool_put(const struct pool *pool, uint64_t set, struct label *l)
{
	for (size_t i = 0; i < pool->n; i++) {
		size_t len = strlen(pool->tag[i]), comma = l->tags_len ? 1 : 0;
		if (!(set >> i & 1) || l->tags_len + comma + len > LABEL_TAGS_SIZE)
			continue;
		if (comma)
			l->tags[l->tags_len++] = ',';
		memcpy(l->tags + l->tags_len, pool->tag[i], len);
		l->tags_len = (uint16_t)(l->tags_len + len);
	}
}

static const char *const few_owners[] = { "p7", "p8", NULL };

/* How many values of the axis there are to try: levels of a chain, elements, sets of a subset (of fewer than 64 members),
 * sets of the tags of two owners and ALL. */
static uint64_t axis_values(const struct policy *p, size_t axis)
{
	size_t n = policy_axis_size(p, axis);
	switch (policy_axis_kind(p, axis)) {
	case AXIS_CHAIN:
	case AXIS_HASSE:
		return n;
	case AXIS_SUBSET:
		return UINT64_C(1) << n;
	default:
		return (UINT64_C(1) << 2 * n) + 1;
	}
}

static void set_value(const struct policy *p, size_t axis, uint64_t value, struct label *l)
{
	struct pool pool;
	if (policy_axis_kind(p, axis) != AXIS_OWNERS) {
		l->axis[axis] = value;
		return;
	}
	pool_fill(&pool, p, few_owners);
	if (value == axis_values(p, axis) - 1)
		l->axis[axis] = 1;
	else
		pool_put(&pool, value, l);
}

/* Counts through all combinations like an odometer. */
size_t labels_all(const struct policy *p, struct label out[LABELS_MAX])
{
	uint64_t value[POLICY_AXES_MAX] = { 0 };
	size_t n = 0, axis;
	do {
		assert_true(n < LABELS_MAX);
		out[n] = (struct label){ 0 };
		for (axis = 0; axis < policy_axes(p); axis++)
			set_value(p, axis, value[axis], &out[n]);
		n++;
		for (axis = 0; axis < policy_axes(p); axis++) {
			if (++value[axis] < axis_values(p, axis))
				break;
			value[axis] = 0;
		}
	} while (axis < policy_axes(p));
	return n;
}

/* The covers of the test policies' hasse axes, by the axis's name. */
static const struct {
	const char *axis, *low, *high;
} covers[] = {
	{ "dept", "public", "ward" }, { "dept", "public", "lab" }, { "dept", "ward", "chief" },
	{ "dept", "lab", "chief" },   { "n5", "o", "a" },	   { "n5", "a", "b" },
	{ "n5", "o", "c" },	      { "n5", "b", "i" },	   { "n5", "c", "i" },
	{ "m3", "o", "x" },	      { "m3", "o", "y" },	   { "m3", "o", "z" },
	{ "m3", "x", "i" },	      { "m3", "y", "i" },	   { "m3", "z", "i" },
};

static bool element_leq(const char *axis, const char *low, const char *high)
{
	if (!strcmp(low, high))
		return true;
	for (size_t i = 0; i < sizeof covers / sizeof *covers; i++)
		if (!strcmp(covers[i].axis, axis) && !strcmp(covers[i].low, low) &&
		    element_leq(axis, covers[i].high, high))
			return true;
	return false;
}

static bool has_tag(const struct label *l, const char *tag, size_t len)
{
	for (size_t at = 0; at + len <= l->tags_len; at++)
		if (!memcmp(l->tags + at, tag, len) && (!at || l->tags[at - 1] == ',') &&
		    (at + len == l->tags_len || l->tags[at + len] == ','))
			return true;
	return false;
}

static bool tags_leq(const struct label *a, const struct label *b)
{
	for (size_t at = 0, len; at < a->tags_len; at += len + 1) {
		for (len = 0; at + len < a->tags_len && a->tags[at + len] != ',';)
			len++;
		if (!has_tag(b, a->tags + at, len))
			return false;
	}
	return true;
}

static bool axis_leq(const struct policy *p, size_t axis, const struct label *a, const struct label *b)
{
	uint64_t low = a->axis[axis], high = b->axis[axis];
	switch (policy_axis_kind(p, axis)) {
	case AXIS_CHAIN:
		return low <= high;
	case AXIS_HASSE:
		return element_leq(policy_axis_name(p, axis), policy_axis_value(p, axis, low),
				   policy_axis_value(p, axis, high));
	case AXIS_OWNERS:
		return high == 1 || (low == 0 && tags_leq(a, b));
	default:
		break;
	}
	for (size_t i = 0; i < policy_axis_size(p, axis); i++)
		if ((low >> i) % 2 && !((high >> i) % 2))
			return false;
	return true;
}

bool labels_leq(const struct policy *p, const struct label *a, const struct label *b)
{
	for (size_t axis = 0; axis < policy_axes(p); axis++)
		if (!axis_leq(p, axis, a, b))
			return false;
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

uint64_t labels_next_random(uint64_t *state) /* splitmix64's steps */
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* So many and so long that all together do not fit; and names whose order by bytes is not that of their owners. */
static const char *const many_owners[] = { "p7",
					   "p8",
					   "p",
					   "P7",
					   "p-7",
					   "p.7",
					   "p@7",
					   "p_7",
					   "0",
					   "the-longest-name-that-an-owner-may-have-has-sixty-four-character",
					   "a-name-of-thirty-two-characters.",
					   "b-name-of-thirty-two-characters.",
					   "c-name-of-thirty-two-characters.",
					   "d-name-of-thirty-two-characters.",
					   "e-name-of-thirty-two-characters.",
					   "f-name-of-thirty-two-characters.",
					   NULL };

static void random_tags(const struct policy *p, size_t axis, uint64_t w, uint64_t *seed, struct label *l)
{
	struct pool pool;
	pool_fill(&pool, p, many_owners);
	if (labels_next_random(seed) % 16 == 0)
		l->axis[axis] = 1;
	else
		pool_put(&pool, w, l);
}

/* Half of the labels come out sparse or dense, so that comparable pairs occur. */
struct label labels_random(const struct policy *p, uint64_t *seed)
{
	struct label l = { 0 };
	uint64_t shape = labels_next_random(seed) % 4;
	for (size_t axis = 0; axis < policy_axes(p); axis++) {
		size_t n = policy_axis_size(p, axis);
		enum axis_kind kind = policy_axis_kind(p, axis);
		uint64_t w = labels_next_random(seed);
		for (int i = 0; i < 4 && shape < 2; i++)
			w = shape ? w | labels_next_random(seed) : w & labels_next_random(seed);
		if (kind == AXIS_OWNERS)
			random_tags(p, axis, w, seed, &l);
		else if (kind == AXIS_SUBSET)
			l.axis[axis] = n == 64 ? w : w & ((UINT64_C(1) << n) - 1);
		else
			l.axis[axis] = w % n;
	}
	return l;
}
