/* SPDX-License-Identifier: MIT
 *
 * A second, plain model of labels for the tests: a label is a set of facts per axis, one bit each. What a chain's level,
 * an element, a set's member or a tag stands for is the facts at or below it; a may flow to b if a's facts are among b's.
 * Nothing here calls the library under test.
 */
#ifndef TESTS_SHADOW_H
#define TESTS_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

#define SHADOW_AXES 4
#define SHADOW_VALUES 16
#define SHADOW_ALL UINT64_MAX /* the facts of every owner there may be */

struct shadow_axis {
	enum axis_kind kind;
	size_t n; /* levels, members, elements or tags */
	char name[8];
	char value[SHADOW_VALUES][100]; /* tags: sorted by bytes */
	uint64_t down[SHADOW_VALUES];	/* hasse: the facts of each element */
};

struct shadow_policy {
	size_t naxes;
	struct shadow_axis axes[SHADOW_AXES];
	char text[8192]; /* the policy file */
};

struct facts {
	uint64_t on[SHADOW_AXES];
};

void shadow_policy_random(struct shadow_policy *p, uint64_t *seed);
struct facts shadow_random(const struct shadow_policy *p, uint64_t *seed); /* of some label */
struct facts shadow_bottom(const struct shadow_policy *p);
struct facts shadow_top(const struct shadow_policy *p);
bool shadow_within(const struct facts *a, const struct facts *b); /* are a's facts among b's? */
struct facts shadow_union(const struct facts *a, const struct facts *b);
/* The facts of the least label that has all of these. */
struct facts shadow_close(const struct shadow_policy *p, const struct facts *f);
/* The canonical text of a label's facts. */
void shadow_format(const struct shadow_policy *p, const struct facts *f, char out[PPCE_LABEL_SIZE]);

#endif
