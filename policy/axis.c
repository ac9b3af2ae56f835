/* SPDX-License-Identifier: MIT */
#include "policy/axis.h"

#include <stdlib.h>
#include <string.h>

#include "lib/rest.h" /* text_nearest */

void axis_text_add_bytes(struct axis_text *t, const char *bytes, size_t len)
{
	if (len >= t->size - t->len) {
		t->len = t->size; /* full: the caller sees it at the end */
		return;
	}
	memcpy(t->out + t->len, bytes, len);
	t->len += len;
	t->out[t->len] = '\0';
}

void axis_text_add(struct axis_text *t, const char *text)
{
	axis_text_add_bytes(t, text, strlen(text));
}

bool axis_name_valid(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	size_t len = strnlen(text, AXIS_NAME_SIZE);
	return len > 0 && len < AXIS_NAME_SIZE && strspn(text, letters) == len && *text != '_' &&
	       !(*text >= '0' && *text <= '9');
}

int axis_find_value(const struct axis *x, const char *text, size_t *out, struct err *err)
{
	for (size_t i = 0; i < x->size; i++) {
		if (!strcmp(x->values[i], text)) {
			*out = i;
			return 0;
		}
	}
	const char *near = text_nearest(text, (const char *const *)x->values);
	if (near)
		return err_set(err, ERR_INVALID, "label: %s has no value %.40s; did you mean %s?", x->name, text, near);
	return err_set(err, ERR_INVALID, "label: %s has no value \"%.40s\"", x->name, text);
}

static int add_value(struct axis *x, const struct yaml_value *v, struct err *err)
{
	if (yaml_kind(v) != YAML_SCALAR)
		return yaml_error(v, err, "axes: %s: expected a name, not a list or a map", x->name);
	const char *text = yaml_text(v);
	if (!axis_name_valid(text))
		return yaml_error(v, err,
				  "axes: %s: \"%.40s\" is not a name: a letter, then up to 31 letters, digits or _",
				  x->name, text);
	for (size_t i = 0; i < x->size; i++)
		if (!strcmp(x->values[i], text))
			return yaml_error(v, err, "axes: %s: %s is given twice", x->name, text);
	x->values[x->size] = strdup(text);
	if (!x->values[x->size])
		return err_set(err, ERR_INTERNAL, "out of memory");
	x->size++;
	return 0;
}

int axis_read_values(struct axis *x, const struct yaml_value *list, struct err *err)
{
	const struct axis_ops *ops = axis_ops(x);
	if (yaml_kind(list) != YAML_LIST)
		return yaml_error(list, err, "axes: %s: expected %s: %s", x->name, ops->key, ops->example);
	size_t n = yaml_count(list);
	if (!n || n > ops->values_max)
		return yaml_error(list, err, "axes: %s: %zu values; %s takes 1 to %zu", x->name, n, ops->key,
				  ops->values_max);
	x->values = calloc(n + 1, sizeof *x->values);
	if (!x->values)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (add_value(x, yaml_item(list, i), err) < 0)
			return -1;
	return 0;
}

void axis_free(struct axis *x)
{
	for (size_t i = 0; i < x->size; i++)
		free(x->values[i]);
	free(x->values);
	free(x->join);
	free(x->meet);
}

size_t axis_longest_value(const struct axis *x)
{
	size_t longest = 0;
	for (size_t i = 0; i < x->size; i++)
		if (strlen(x->values[i]) > longest)
			longest = strlen(x->values[i]);
	return longest;
}

bool axis_word_valid(const struct axis *x, const struct label *l)
{
	return l->axis[x->at] < x->size;
}

bool axis_word_low(const struct axis *x, const struct label *l)
{
	return l->axis[x->at] == 0;
}

void axis_word_top(const struct axis *x, struct label *out)
{
	out->axis[x->at] = x->size - 1;
}

int axis_word_parse(const struct axis *x, char *text, struct label *out, struct err *err)
{
	size_t i;
	if (*text == '{')
		return err_set(err, ERR_INVALID, "label: %s takes one value without braces, as in %s=%s", x->name,
			       x->name, x->values[0]);
	if (axis_find_value(x, text, &i, err) < 0)
		return -1;
	out->axis[x->at] = i;
	return 0;
}

void axis_word_format(const struct axis *x, const struct label *l, struct axis_text *out)
{
	axis_text_add(out, x->values[l->axis[x->at]]);
}

/* chain: the word is the level's index, 0 lowest */

static bool chain_leq(const struct axis *x, const struct label *a, const struct label *b)
{
	return a->axis[x->at] <= b->axis[x->at];
}

static void chain_join(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = (chain_leq(x, a, b) ? b : a)->axis[x->at];
}

static void chain_meet(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = (chain_leq(x, a, b) ? a : b)->axis[x->at];
}

/* subset: bit i of the word is member i */

static uint64_t subset_all(const struct axis *x)
{
	return x->size >= 64 ? UINT64_MAX : (UINT64_C(1) << x->size) - 1;
}

static bool subset_valid(const struct axis *x, const struct label *l)
{
	return (l->axis[x->at] & ~subset_all(x)) == 0;
}

static void subset_top(const struct axis *x, struct label *out)
{
	out->axis[x->at] = subset_all(x);
}

static bool subset_leq(const struct axis *x, const struct label *a, const struct label *b)
{
	return (a->axis[x->at] & ~b->axis[x->at]) == 0;
}

static void subset_join(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = a->axis[x->at] | b->axis[x->at];
}

static void subset_meet(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = a->axis[x->at] & b->axis[x->at];
}

static int subset_parse(const struct axis *x, char *text, struct label *out, struct err *err)
{
	size_t len = strlen(text), i;
	uint64_t *word = &out->axis[x->at];
	if (len < 2 || text[0] != '{' || text[len - 1] != '}')
		return err_set(err, ERR_INVALID, "label: %s takes a set in braces, as in %s={%s}", x->name, x->name,
			       x->values[0]);
	text[len - 1] = '\0';
	if (len == 2) /* {}: the bottom, written out */
		return 0;
	for (char *member = text + 1, *next; member; member = next) {
		next = strchr(member, ',');
		if (next)
			*next++ = '\0';
		if (axis_find_value(x, member, &i, err) < 0)
			return -1;
		if (*word & UINT64_C(1) << i)
			return err_set(err, ERR_INVALID, "label: %s is in %s twice", member, x->name);
		*word |= UINT64_C(1) << i;
	}
	return 0;
}

static void subset_format(const struct axis *x, const struct label *l, struct axis_text *out)
{
	uint64_t word = l->axis[x->at];
	const char *before = "{";
	for (size_t i = 0; i < x->size; i++) {
		if (!(word & UINT64_C(1) << i))
			continue;
		axis_text_add(out, before);
		axis_text_add(out, x->values[i]);
		before = ",";
	}
	axis_text_add(out, word ? "}" : "{}");
}

static size_t subset_longest(const struct axis *x)
{
	size_t len = strlen("{}") + x->size - 1;
	for (size_t i = 0; i < x->size; i++)
		len += strlen(x->values[i]);
	return len;
}

#define LIST_EXAMPLE "[NAME, NAME, ...]"

static const struct axis_ops axis_chain = {
	.key = "chain",
	.example = LIST_EXAMPLE,
	.values_max = POLICY_NODES_MAX,
	.load = axis_read_values,
	.valid = axis_word_valid,
	.low = axis_word_low,
	.top = axis_word_top,
	.leq = chain_leq,
	.join = chain_join,
	.meet = chain_meet,
	.parse = axis_word_parse,
	.format = axis_word_format,
	.longest = axis_longest_value,
};

static const struct axis_ops axis_subset = {
	.key = "subset",
	.example = LIST_EXAMPLE,
	.values_max = POLICY_SET_MAX,
	.load = axis_read_values,
	.valid = subset_valid,
	.low = axis_word_low,
	.top = subset_top,
	.leq = subset_leq,
	.join = subset_join,
	.meet = subset_meet,
	.parse = subset_parse,
	.format = subset_format,
	.longest = subset_longest,
};

static const struct axis_ops *const kinds[] = {
	[AXIS_CHAIN] = &axis_chain,
	[AXIS_SUBSET] = &axis_subset,
	[AXIS_HASSE] = &axis_hasse,
	[AXIS_OWNERS] = &axis_owners,
};

const struct axis_ops *axis_ops(const struct axis *x)
{
	return kinds[x->kind];
}

bool axis_kind_find(const char *key, enum axis_kind *out)
{
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!strcmp(kinds[i]->key, key)) {
			*out = (enum axis_kind)i;
			return true;
		}
	}
	return false;
}
