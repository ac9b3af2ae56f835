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

/* One word per axis: chain: the level's index, 0 lowest; subset: bit i = member i; hasse: the element's index in a linear
 * extension, 0 the bottom; owners: 0 = the set in .tags, 1 = ALL (then .tags is empty). A policy has at most one owners axis.
 *
 * The set of tags is its own canonical text: "owner/category" sorted by bytes, joined by commas, each once. A set whose
 * text does not fit LABEL_TAGS_SIZE is not a label; the least label above it is ALL. So a join that grows too large is
 * ALL, and that is exact: sets that fit, and ALL above them, are a lattice under inclusion.
 *
 * Compare by functions, not by memcmp: only tags_len bytes of .tags count. */
#define LABEL_TAGS_SIZE 640
struct label {
	uint64_t axis[POLICY_AXES_MAX];
	uint16_t tags_len; /* bytes of .tags, without a NUL; 0 = the empty set */
	char tags[LABEL_TAGS_SIZE];
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

/* Canonical binary encoding, for hashing and signing: equal labels, and only they, have equal bytes. Returns its length,
 * at most LABEL_ENCODED_MAX. */
#define LABEL_ENCODED_MAX (8 * POLICY_AXES_MAX + 2 + LABEL_TAGS_SIZE)
size_t label_encode(const struct policy *p, const struct label *l, uint8_t out[LABEL_ENCODED_MAX]);
int label_decode(const struct policy *p, const uint8_t *bytes, size_t len, struct label *out, struct err *err);

/* Tags of the owners axis. All of them fail with ERR_INVALID on a malformed owner or category, or without such an axis. */
struct label_tag {
	char owner[PPCE_USER_SIZE];
	char category[33];
};
/* out := l with the tag added; ERR_TOO_LARGE when the set would not fit (a clearance must never become ALL by growth). */
int label_add_tag(const struct policy *p, const struct label *l, const char *owner, const char *category,
		  struct label *out, struct err *err);
/* out := l with every tag of the owner added, one per category of the policy. Without an owners axis: out := l, 0. */
int label_add_owner(const struct policy *p, const struct label *l, const char *owner, struct label *out,
		    struct err *err);
/* out := l with the empty set of tags. */
void label_drop_tags(const struct policy *p, const struct label *l, struct label *out);
/* The tags of a label in order: start with *at = 0; false at the end. ALL has none: ask label_all_owners(). */
bool label_next_tag(const struct label *l, size_t *at, struct label_tag *out);
bool label_all_owners(const struct policy *p, const struct label *l);
/* Is `text` of the form of an owner's name? [A-Za-z0-9][A-Za-z0-9._@-]{0,63} */
bool label_owner_valid(const char *text);

#endif
