/* SPDX-License-Identifier: MIT */
#include "policy/axis.h"

#include <string.h>

#include "lib/rest.h" /* text_nearest */

void axis_text_add(struct axis_text *t, const char *text)
{
	size_t len = strlen(text);
	if (len >= t->size - t->len) {
		t->len = t->size; /* full: the caller sees it at the end */
		return;
	}
	memcpy(t->out + t->len, text, len + 1);
	t->len += len;
}

bool axis_name_valid(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	size_t len = strnlen(text, AXIS_NAME_SIZE);
	return len > 0 && len < AXIS_NAME_SIZE && strspn(text, letters) == len && *text != '_' &&
	       !(*text >= '0' && *text <= '9');
}

static int find_value(const struct axis *x, const char *text, size_t *out, struct err *err)
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

/* chain: the word is the level's index, 0 lowest */

static uint64_t chain_top(const struct axis *x)
{
	return x->size - 1;
}

static bool chain_leq(uint64_t a, uint64_t b)
{
	return a <= b;
}

static uint64_t chain_join(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t chain_meet(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int chain_parse(const struct axis *x, char *text, uint64_t *out, struct err *err)
{
	size_t i;
	if (*text == '{')
		return err_set(err, ERR_INVALID, "label: %s takes one value without braces, as in %s=%s", x->name,
			       x->name, x->values[0]);
	if (find_value(x, text, &i, err) < 0)
		return -1;
	*out = i;
	return 0;
}

static void chain_format(const struct axis *x, uint64_t word, struct axis_text *out)
{
	axis_text_add(out, x->values[word]);
}

static size_t chain_longest(const struct axis *x)
{
	size_t longest = 0;
	for (size_t i = 0; i < x->size; i++)
		if (strlen(x->values[i]) > longest)
			longest = strlen(x->values[i]);
	return longest;
}

/* subset: bit i of the word is member i */

static uint64_t subset_top(const struct axis *x)
{
	return x->size >= 64 ? UINT64_MAX : (UINT64_C(1) << x->size) - 1;
}

static bool subset_leq(uint64_t a, uint64_t b)
{
	return (a & ~b) == 0;
}

static uint64_t subset_join(uint64_t a, uint64_t b)
{
	return a | b;
}

static uint64_t subset_meet(uint64_t a, uint64_t b)
{
	return a & b;
}

static int subset_parse(const struct axis *x, char *text, uint64_t *out, struct err *err)
{
	size_t len = strlen(text), i;
	*out = 0;
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
		if (find_value(x, member, &i, err) < 0)
			return -1;
		if (*out & UINT64_C(1) << i)
			return err_set(err, ERR_INVALID, "label: %s is in %s twice", member, x->name);
		*out |= UINT64_C(1) << i;
	}
	return 0;
}

static void subset_format(const struct axis *x, uint64_t word, struct axis_text *out)
{
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

static const struct axis_ops kinds[] = {
	[AXIS_CHAIN] = { "chain", POLICY_NODES_MAX, chain_top, chain_leq, chain_join, chain_meet, chain_parse,
			 chain_format, chain_longest },
	[AXIS_SUBSET] = { "subset", POLICY_SET_MAX, subset_top, subset_leq, subset_join, subset_meet, subset_parse,
			  subset_format, subset_longest },
};

const struct axis_ops *axis_ops(const struct axis *x)
{
	return &kinds[x->kind];
}

bool axis_kind_find(const char *key, enum axis_kind *out)
{
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!strcmp(kinds[i].key, key)) {
			*out = (enum axis_kind)i;
			return true;
		}
	}
	return false;
}
