/* SPDX-License-Identifier: MIT
 *
 * Labels: points of a product of finite lattices, one factor ("axis") per line of the policy file's `axes` (Denning
 * 1976, "A lattice model of secure information flow"). Pure functions over a parsed policy; no I/O, no allocation.
 *
 * Text form: `axis=value` joined by commas, sets in braces: level=NATO_SECRET,comp={A,B}. An absent axis is its bottom.
 * Canonical: axes in the policy's order, bottoms left out, set members in the policy's order; where nothing would be
 * left, the first axis is written with its bottom. Labels are public: an error may quote them.
 */
#ifndef POLICY_LABEL_H
#define POLICY_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/limits.h>
#include "lib/err.h"

#define POLICY_AXES_MAX 8
#define POLICY_NODES_MAX 256 /* elements of a chain */
#define POLICY_SET_MAX 64    /* members of a subset axis */

struct policy; /* policy/policy.h */

/* One word per axis: chain: the level's index, 0 lowest; subset: bit i = member i. The axes `hasse` and `owners` will
 * be a node index and an index of an interned set. Compare by functions, not by memcmp: unused words are zero. */
struct label {
	uint64_t axis[POLICY_AXES_MAX];
};

void label_bottom(const struct policy *p, struct label *out);
void label_top(const struct policy *p, struct label *out);
bool label_leq(const struct policy *p, const struct label *a, const struct label *b); /* a may flow to b: a <= b */
bool label_equal(const struct policy *p, const struct label *a, const struct label *b);
void label_join(const struct policy *p, const struct label *a, const struct label *b,
		struct label *out); /* least upper bound */
void label_meet(const struct policy *p, const struct label *a, const struct label *b, struct label *out);

/* Untrusted text (at most PPCE_LABEL_SIZE - 1 bytes). ERR_INVALID names the axis or value and the one probably meant. */
int label_parse(const struct policy *p, const char *text, struct label *out, struct err *err);
/* Canonical text; label_parse of it gives the same label. -1 (ERR_TOO_LARGE) if it does not fit; no policy that
 * policy_parse accepts has such a label. */
int label_format(const struct policy *p, const struct label *l, char out[PPCE_LABEL_SIZE], struct err *err);

#endif
