/* SPDX-License-Identifier: MIT
 *
 * One axis of the label lattice and what its kind does with a label's word. Internal to policy/. A new kind is a new
 * entry of the table in axis.c and a new value of enum axis_kind; nothing else switches on the kind.
 */
#ifndef POLICY_AXIS_H
#define POLICY_AXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "policy/policy.h"

#define AXIS_NAME_SIZE 33

struct axis {
	char name[AXIS_NAME_SIZE];
	enum axis_kind kind;
	size_t size;   /* entries of .values, without the NULL at their end */
	char **values; /* owned, as are the strings */
};

/* Where label text is written; a full one stays full. */
struct axis_text {
	char *out;
	size_t len, size;
};

struct axis_ops {
	const char *key;		       /* in the policy file */
	size_t values_max;		       /* at least one is always needed */
	uint64_t (*top)(const struct axis *x); /* the bottom is 0 in every kind */
	bool (*leq)(uint64_t a, uint64_t b);
	uint64_t (*join)(uint64_t a, uint64_t b);
	uint64_t (*meet)(uint64_t a, uint64_t b);
	/* Untrusted text of the value, from after the '=' up to the comma or end, NUL-terminated. */
	int (*parse)(const struct axis *x, char *text, uint64_t *out, struct err *err);
	void (*format)(const struct axis *x, uint64_t word, struct axis_text *out);
	size_t (*longest)(const struct axis *x); /* bytes of the longest value that format writes */
};

const struct axis_ops *axis_ops(const struct axis *x);
/* By the policy file's key; false if there is no such kind. */
bool axis_kind_find(const char *key, enum axis_kind *out);
/* [A-Za-z][A-Za-z0-9_]{0,31}, the form of all names of axes and values. */
bool axis_name_valid(const char *text);
void axis_text_add(struct axis_text *t, const char *text);

#endif
