/* SPDX-License-Identifier: MIT
 *
 * The hasse axis: any finite lattice, given by its elements and covers (pairs low, high). The file's covers are turned
 * into tables of joins and meets once; a file whose order is no lattice is refused with the elements that show it.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/axis.h"

#define WORDS (POLICY_NODES_MAX / 64)

struct bits { /* a set of elements */
	uint64_t w[WORDS];
};

static bool bit(const struct bits *b, size_t i)
{
	return b->w[i / 64] >> (i % 64) & 1;
}

static void bit_set(struct bits *b, size_t i)
{
	b->w[i / 64] |= UINT64_C(1) << (i % 64);
}

static void bits_add(struct bits *to, const struct bits *from)
{
	for (size_t i = 0; i < WORDS; i++)
		to->w[i] |= from->w[i];
}

static struct bits bits_and(const struct bits *a, const struct bits *b)
{
	struct bits out;
	for (size_t i = 0; i < WORDS; i++)
		out.w[i] = a->w[i] & b->w[i];
	return out;
}

static struct bits bits_without(const struct bits *a, const struct bits *b)
{
	struct bits out;
	for (size_t i = 0; i < WORDS; i++)
		out.w[i] = a->w[i] & ~b->w[i];
	return out;
}

/* The lowest and highest element of the set; false if it is empty. */
static bool bits_ends(const struct bits *b, size_t *first, size_t *last)
{
	bool any = false;
	for (size_t i = 0; i < WORDS; i++) {
		if (!b->w[i])
			continue;
		if (!any)
			*first = 64 * i + (size_t)__builtin_ctzll(b->w[i]);
		*last = 64 * i + 63 - (size_t)__builtin_clzll(b->w[i]);
		any = true;
	}
	return any;
}

/* What is known while an axis is read. Elements are numbered as in the file up to sort(), in the sorted order after it. */
struct order {
	struct axis *x;
	const struct yaml_value *elements, *covers;
	size_t file_index[POLICY_NODES_MAX]; /* by sorted number */
	struct bits lower[POLICY_NODES_MAX]; /* direct ones, as the covers say */
	struct bits up[POLICY_NODES_MAX];    /* all that are at or above */
	struct bits down[POLICY_NODES_MAX];  /* all that are at or below */
};

static int find_element(const struct order *o, const struct yaml_value *v, size_t *out, struct err *err)
{
	struct err why;
	if (yaml_kind(v) != YAML_SCALAR)
		return yaml_error(v, err, "axes: %s: covers: expected [LOWER, HIGHER]", o->x->name);
	if (axis_find_value(o->x, yaml_text(v), out, &why) == 0)
		return 0;
	return yaml_error(v, err, "axes: %s: covers: \"%.40s\" is not among the elements", o->x->name, yaml_text(v));
}

static int read_cover(struct order *o, const struct yaml_value *v, struct err *err)
{
	size_t low = 0, high = 0;
	if (yaml_kind(v) != YAML_LIST || yaml_count(v) != 2)
		return yaml_error(v, err, "axes: %s: covers: expected [LOWER, HIGHER]", o->x->name);
	if (find_element(o, yaml_item(v, 0), &low, err) < 0 || find_element(o, yaml_item(v, 1), &high, err) < 0)
		return -1;
	if (bit(&o->lower[high], low))
		return yaml_error(v, err, "axes: %s: covers: [%s, %s] is given twice", o->x->name, o->x->values[low],
				  o->x->values[high]);
	bit_set(&o->lower[high], low);
	return 0;
}

static int read_covers(struct order *o, struct err *err)
{
	if (yaml_kind(o->covers) != YAML_LIST)
		return yaml_error(o->covers, err, "axes: %s: covers: expected [[LOWER, HIGHER], ...]", o->x->name);
	for (size_t i = 0; i < yaml_count(o->covers); i++)
		if (read_cover(o, yaml_item(o->covers, i), err) < 0)
			return -1;
	return 0;
}

/* The cover [low, high] in the file. */
static const struct yaml_value *find_cover(const struct order *o, const char *low, const char *high)
{
	for (size_t i = 0; i < yaml_count(o->covers); i++) {
		const struct yaml_value *v = yaml_item(o->covers, i);
		if (!strcmp(yaml_text(yaml_item(v, 0)), low) && !strcmp(yaml_text(yaml_item(v, 1)), high))
			return v;
	}
	return o->covers;
}

/* Each element that is left has a lower one that is left: going down often enough ends on a cycle. */
static int fail_cycle(const struct order *o, const struct bits *placed, struct err *err)
{
	struct axis *x = o->x;
	size_t high = 0, low = 0, last;
	while (bit(placed, high))
		high++;
	for (size_t i = 0; i <= x->size; i++) {
		struct bits left = bits_without(&o->lower[high], placed);
		bits_ends(&left, &low, &last);
		if (i < x->size)
			high = low;
	}
	const struct yaml_value *at = find_cover(o, x->values[low], x->values[high]);
	if (low == high)
		return yaml_error(at, err, "axes: %s: %s is below itself", x->name, x->values[low]);
	return yaml_error(at, err, "axes: %s: %s and %s are each below the other: the covers go round in a circle",
			  x->name, x->values[low], x->values[high]);
}

/* The first in the file's order whose lower elements all have their place. */
static bool find_ready(const struct order *o, const struct bits *placed, size_t *out)
{
	for (size_t i = 0; i < o->x->size; i++) {
		struct bits left = bits_without(&o->lower[i], placed);
		size_t first, last;
		if (!bit(placed, i) && !bits_ends(&left, &first, &last)) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* Numbers the elements anew, by o->file_index. */
static int renumber(struct order *o, struct err *err)
{
	size_t n = o->x->size, sorted[POLICY_NODES_MAX] = { 0 };
	char **values = calloc(n + 1, sizeof *values);
	struct bits *lower = calloc(n, sizeof *lower);
	if (!values || !lower) {
		free(values);
		free(lower);
		return err_set(err, ERR_INTERNAL, "out of memory");
	}
	for (size_t i = 0; i < n; i++)
		sorted[o->file_index[i]] = i;
	for (size_t i = 0; i < n; i++) {
		values[i] = o->x->values[o->file_index[i]];
		for (size_t j = 0; j < n; j++)
			if (bit(&o->lower[o->file_index[i]], j))
				bit_set(&lower[i], sorted[j]);
	}
	memcpy(o->lower, lower, n * sizeof *lower);
	free(lower);
	free(o->x->values);
	o->x->values = values;
	return 0;
}

/* A linear extension: lower elements have lower numbers. */
static int sort(struct order *o, struct err *err)
{
	struct bits placed = { 0 };
	for (size_t i = 0; i < o->x->size; i++) {
		if (!find_ready(o, &placed, &o->file_index[i]))
			return fail_cycle(o, &placed, err);
		bit_set(&placed, o->file_index[i]);
	}
	return renumber(o, err);
}

static const struct yaml_value *element_at(const struct order *o, size_t i)
{
	return yaml_item(o->elements, o->file_index[i]);
}

static int check_bottom(const struct order *o, struct err *err)
{
	size_t first, last;
	for (size_t i = 1; i < o->x->size; i++)
		if (!bits_ends(&o->lower[i], &first, &last))
			return yaml_error(element_at(o, i), err,
					  "axes: %s: there must be one lowest element; %s and %s have nothing below",
					  o->x->name, o->x->values[0], o->x->values[i]);
	return 0;
}

static void close_order(struct order *o)
{
	size_t n = o->x->size;
	for (size_t i = 0; i < n; i++) {
		bit_set(&o->down[i], i);
		for (size_t j = 0; j < i; j++)
			if (bit(&o->lower[i], j))
				bits_add(&o->down[i], &o->down[j]);
		for (size_t j = 0; j <= i; j++)
			if (bit(&o->down[i], j))
				bit_set(&o->up[j], i);
	}
}

/* The least upper bound, if there is one, is the upper bound with the lowest number. */
static int find_join(const struct order *o, size_t a, size_t b, uint8_t *out, struct err *err)
{
	const struct axis *x = o->x;
	struct bits bounds = bits_and(&o->up[a], &o->up[b]);
	size_t least = 0, other = 0, last = 0;
	if (!bits_ends(&bounds, &least, &last))
		return yaml_error(element_at(o, b), err, "axes: %s: %s and %s have no upper bound", x->name,
				  x->values[a], x->values[b]);
	struct bits rest = bits_without(&bounds, &o->up[least]);
	if (bits_ends(&rest, &other, &last)) /* the lowest of them is minimal too: what is below it is no bound */
		return yaml_error(element_at(o, b), err,
				  "axes: %s: %s and %s have no least upper bound: %s and %s are both above them, and "
				  "neither of the two is below the other",
				  x->name, x->values[a], x->values[b], x->values[least], x->values[other]);
	*out = (uint8_t)least;
	return 0;
}

/* With a bottom and all joins there are all meets: the lower bound with the highest number. */
static void find_meet(const struct order *o, size_t a, size_t b, uint8_t *out)
{
	struct bits bounds = bits_and(&o->down[a], &o->down[b]);
	size_t first = 0, greatest = 0;
	bits_ends(&bounds, &first, &greatest);
	*out = (uint8_t)greatest;
}

static int fill_tables(const struct order *o, struct err *err)
{
	struct axis *x = o->x;
	size_t n = x->size;
	x->join = malloc(n * n);
	x->meet = malloc(n * n);
	if (!x->join || !x->meet)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t a = 0; a < n; a++) {
		for (size_t b = a; b < n; b++) {
			if (find_join(o, a, b, &x->join[a * n + b], err) < 0)
				return -1;
			find_meet(o, a, b, &x->meet[a * n + b]);
			x->join[b * n + a] = x->join[a * n + b];
			x->meet[b * n + a] = x->meet[a * n + b];
		}
	}
	return 0;
}

static int read_order(struct order *o, struct err *err)
{
	if (read_covers(o, err) < 0 || sort(o, err) < 0 || check_bottom(o, err) < 0)
		return -1;
	close_order(o);
	return fill_tables(o, err);
}

static int hasse_read(struct axis *x, const struct yaml_value *v, struct err *err)
{
	static const char *const keys[] = { "elements", "covers", NULL };
	if (yaml_check_keys(v, keys, err) < 0)
		return -1;
	const struct yaml_value *elements = yaml_get(v, "elements"), *covers = yaml_get(v, "covers");
	if (!elements || !covers)
		return yaml_error(v, err, "axes: %s: expected hasse: %s", x->name, axis_hasse.example);
	if (axis_read_values(x, elements, err) < 0)
		return -1;
	struct order *o = calloc(1, sizeof *o);
	if (!o)
		return err_set(err, ERR_INTERNAL, "out of memory");
	*o = (struct order){ .x = x, .elements = elements, .covers = covers };
	int rc = read_order(o, err);
	free(o);
	return rc;
}

static bool hasse_leq(const struct axis *x, const struct label *a, const struct label *b)
{
	uint64_t low = a->axis[x->at], high = b->axis[x->at];
	return low <= high && x->join[low * x->size + high] == high;
}

static void hasse_join(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = x->join[a->axis[x->at] * x->size + b->axis[x->at]];
}

static void hasse_meet(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	out->axis[x->at] = x->meet[a->axis[x->at] * x->size + b->axis[x->at]];
}

const struct axis_ops axis_hasse = {
	.key = "hasse",
	.example = "{elements: [NAME, ...], covers: [[LOWER, HIGHER], ...]}",
	.values_max = POLICY_NODES_MAX,
	.load = hasse_read,
	.valid = axis_word_valid,
	.low = axis_word_low,
	.top = axis_word_top,
	.leq = hasse_leq,
	.join = hasse_join,
	.meet = hasse_meet,
	.parse = axis_word_parse,
	.format = axis_word_format,
	.longest = axis_longest_value,
};
