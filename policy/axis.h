/* SPDX-License-Identifier: MIT
 *
 * One axis of the label lattice and what its kind does with a label. Internal to policy/. A new kind is a new entry of
 * the table in axis.c and a new value of enum axis_kind; nothing else switches on the kind.
 *
 * An operation reads and writes only its own axis's part of a label: the word .axis[x->at], and for owners the tags.
 */
#ifndef POLICY_AXIS_H
#define POLICY_AXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/yaml.h"
#include "policy/policy.h"

#define AXIS_NAME_SIZE 33

struct axis {
	char name[AXIS_NAME_SIZE];
	enum axis_kind kind;
	size_t at;	      /* its place in the policy, and of its word in a label */
	size_t size;	      /* entries of .values, without the NULL at their end */
	char **values;	      /* owned, as are the strings */
	uint8_t *join, *meet; /* hasse: size * size indices, owned; else NULL */
};

/* Where label text is written; a full one stays full. */
struct axis_text {
	char *out;
	size_t len, size;
};

struct axis_ops {
	const char *key;     /* in the policy file */
	const char *example; /* of what stands after the key, for errors */
	size_t values_max;   /* at least one is always needed */
	/* Fills the axis from its value in the policy file. */
	int (*load)(struct axis *x, const struct yaml_value *v, struct err *err);
	bool (*valid)(const struct axis *x, const struct label *l); /* has the axis's part a meaning and one form? */
	bool (*low)(const struct axis *x, const struct label *l);   /* is it the bottom? Zeros are, in every kind */
	void (*top)(const struct axis *x, struct label *out);
	bool (*leq)(const struct axis *x, const struct label *a, const struct label *b);
	/* `out` is neither a nor b, and has zeros in the axis's part. */
	void (*join)(const struct axis *x, const struct label *a, const struct label *b, struct label *out);
	void (*meet)(const struct axis *x, const struct label *a, const struct label *b, struct label *out);
	/* Untrusted text of the value, from after the '=' up to the comma or end, NUL-terminated. `out` as for join. */
	int (*parse)(const struct axis *x, char *text, struct label *out, struct err *err);
	void (*format)(const struct axis *x, const struct label *l, struct axis_text *out);
	size_t (*longest)(const struct axis *x); /* bytes of the longest value that format writes */
};

const struct axis_ops *axis_ops(const struct axis *x);
/* By the policy file's key; false if there is no such kind. */
bool axis_kind_find(const char *key, enum axis_kind *out);
void axis_free(struct axis *x);
/* [A-Za-z][A-Za-z0-9_]{0,31}, the form of all names of axes and values. */
bool axis_name_valid(const char *text);

/* For the kinds. The index of a value by its name; -1 with "did you mean". */
int axis_find_value(const struct axis *x, const char *text, size_t *out, struct err *err);
int axis_read_values(struct axis *x, const struct yaml_value *list, struct err *err);
size_t axis_longest_value(const struct axis *x);
void axis_text_add(struct axis_text *t, const char *text);
void axis_text_add_bytes(struct axis_text *t, const char *bytes, size_t len);
/* What a label has one value of: a chain's level, an element. */
bool axis_word_valid(const struct axis *x, const struct label *l);
bool axis_word_low(const struct axis *x, const struct label *l);
void axis_word_top(const struct axis *x, struct label *out);
int axis_word_parse(const struct axis *x, char *text, struct label *out, struct err *err);
void axis_word_format(const struct axis *x, const struct label *l, struct axis_text *out);

extern const struct axis_ops axis_hasse;  /* hasse.c */
extern const struct axis_ops axis_owners; /* owners.c */

#endif
