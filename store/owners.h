/* SPDX-License-Identifier: MIT
 *
 * Whose data it is: a sorted set of "owner/category" tags, for the audit log and for the size of a group. Pure. */
#ifndef STORE_OWNERS_H
#define STORE_OWNERS_H

#include "lib/buf.h"
#include "policy/label.h"

#define OWNERS_COHORT_BYTES 16

struct owners {
	struct label_tag *tag;
	size_t n, size;
	bool all, failed; /* a label had ALL; out of memory */
	bool sorted;
};

void owners_add(struct owners *o, const char *owner, const char *category);
void owners_add_label(struct owners *o, const struct policy *p, const struct label *l);
void owners_free(struct owners *o);
/* How many different owners, and a hash that is equal for equal sets of them only. */
uint64_t owners_count(struct owners *o, uint8_t cohort[OWNERS_COHORT_BYTES]);
/* "p7/training,p8/medical": tags from number *at on, as many as fit `max` bytes; *at moves on. False when there are none
 * left. A set with ALL is "ALL". */
bool owners_text(struct owners *o, size_t *at, size_t max, struct buf *out);

#endif
