/* SPDX-License-Identifier: MIT */
#include "tests/policy/shadow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/policy/labels.h"

static uint64_t pick(uint64_t *seed, uint64_t n)
{
	return labels_next_random(seed) % n;
}

static uint64_t low_bits(size_t n)
{
	return (UINT64_C(1) << n) - 1;
}

static void add(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t len = strlen(out);
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(out + len, size - len, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size - len)
		abort();
}

#define ADD(...) add(p->text, sizeof p->text, __VA_ARGS__)

static void list_values(struct shadow_policy *p, const struct shadow_axis *x)
{
	for (size_t i = 0; i < x->n; i++)
		ADD("%s%s", i ? ", " : "[", x->value[i]);
	ADD("]");
}

static void random_names(struct shadow_axis *x, size_t n)
{
	x->n = n;
	for (size_t i = 0; i < n; i++)
		snprintf(x->value[i], sizeof x->value[i], "%c%zu", x->name[0], i);
}

/* Sets that are closed under intersection, with the whole among them, are a lattice: random ones of four members. */
static size_t random_family(uint64_t sets[SHADOW_VALUES], uint64_t *seed)
{
	bool in[16] = { [15] = true };
	size_t n = 0;
	for (uint64_t i = pick(seed, 6); i; i--)
		in[pick(seed, 16)] = true;
	for (unsigned round = 0; round < 4; round++)
		for (unsigned a = 0; a < 16; a++)
			for (unsigned b = 0; b < 16; b++)
				in[a & b] |= in[a] && in[b];
	for (unsigned a = 0; a < 16; a++)
		if (in[a])
			sets[n++] = a;
	return n;
}

static void random_hasse(struct shadow_policy *p, struct shadow_axis *x, uint64_t *seed)
{
	uint64_t sets[SHADOW_VALUES];
	const char *comma = "";
	random_names(x, random_family(sets, seed));
	for (size_t i = x->n; i > 1; i--) { /* the file's order says nothing about the elements' */
		size_t j = pick(seed, i);
		uint64_t swap = sets[i - 1];
		sets[i - 1] = sets[j];
		sets[j] = swap;
	}
	ADD("{hasse: {elements: ");
	list_values(p, x);
	ADD(", covers: [");
	for (size_t i = 0; i < x->n; i++) {
		x->down[i] = 0;
		for (size_t j = 0; j < x->n; j++) {
			if (sets[j] & ~sets[i])
				continue;
			x->down[i] |= UINT64_C(1) << j;
			if (i == j)
				continue;
			ADD("%s[%s, %s]", comma, x->value[j], x->value[i]);
			comma = ", ";
		}
	}
	ADD("]}}\n");
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Short names, or names of which all tags together do not fit. */
static void random_owners(struct shadow_policy *p, struct shadow_axis *x, uint64_t *seed)
{
	static const char *const short_names[] = { "p7", "p-7", "p", "Q" };
	static const char pad[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	bool longer = pick(seed, 3) == 0;
	const char *c[] = { longer ? "a_category_of_thirty_two_letters" : "training", "medical" };
	x->n = 0;
	for (size_t owner = 0; owner < 4; owner++)
		for (size_t i = 0; i < 2; i++)
			snprintf(x->value[x->n++], sizeof x->value[0], "%s%.*s/%s", short_names[owner], longer ? 61 : 0,
				 pad, c[i]);
	qsort(x->value, x->n, sizeof x->value[0], by_bytes);
	ADD("{owners: [%s, %s]}\n", c[0], c[1]);
}

static void random_axis(struct shadow_policy *p, struct shadow_axis *x, bool owners, uint64_t *seed)
{
	x->kind = owners ? AXIS_OWNERS : (enum axis_kind)pick(seed, 3);
	ADD("  %s: ", x->name);
	switch (x->kind) {
	case AXIS_HASSE:
		random_hasse(p, x, seed);
		return;
	case AXIS_OWNERS:
		random_owners(p, x, seed);
		return;
	default:
		random_names(x, 1 + pick(seed, 5));
		ADD("{%s: ", x->kind == AXIS_CHAIN ? "chain" : "subset");
		list_values(p, x);
		ADD("}\n");
	}
}

void shadow_policy_random(struct shadow_policy *p, uint64_t *seed)
{
	memset(p, 0, sizeof *p);
	p->naxes = 1 + pick(seed, SHADOW_AXES);
	size_t owners = pick(seed, SHADOW_AXES); /* which axis, if there are that many */
	ADD("axes:\n");
	for (size_t i = 0; i < p->naxes; i++) {
		snprintf(p->axes[i].name, sizeof p->axes[i].name, "%c", (int)('a' + i));
		random_axis(p, &p->axes[i], i == owners, seed);
	}
}

static uint64_t lowest(const struct shadow_axis *x)
{
	for (size_t i = 0; x->kind == AXIS_HASSE && i < x->n; i++)
		if (x->down[i] == UINT64_C(1) << i)
			return x->down[i];
	return 0;
}

static uint64_t random_facts(const struct shadow_axis *x, uint64_t *seed)
{
	switch (x->kind) {
	case AXIS_CHAIN:
		return low_bits(pick(seed, x->n)); /* a level stands for itself and those below, the lowest for none */
	case AXIS_HASSE:
		return x->down[pick(seed, x->n)];
	default:
		return labels_next_random(seed) & labels_next_random(seed) & low_bits(x->n);
	}
}

/* Too many tags are ALL: closing sees to that. */
struct facts shadow_random(const struct shadow_policy *p, uint64_t *seed)
{
	struct facts f = { { 0 } };
	for (size_t i = 0; i < p->naxes; i++)
		f.on[i] = random_facts(&p->axes[i], seed);
	return shadow_close(p, &f);
}

struct facts shadow_bottom(const struct shadow_policy *p)
{
	struct facts f = { { 0 } };
	for (size_t i = 0; i < p->naxes; i++)
		f.on[i] = lowest(&p->axes[i]);
	return f;
}

struct facts shadow_top(const struct shadow_policy *p)
{
	struct facts f = { { 0 } };
	for (size_t i = 0; i < p->naxes; i++) {
		const struct shadow_axis *x = &p->axes[i];
		f.on[i] = x->kind == AXIS_OWNERS ? SHADOW_ALL : low_bits(x->kind == AXIS_CHAIN ? x->n - 1 : x->n);
	}
	return f;
}

bool shadow_within(const struct facts *a, const struct facts *b)
{
	for (size_t i = 0; i < SHADOW_AXES; i++)
		if (a->on[i] & ~b->on[i])
			return false;
	return true;
}

struct facts shadow_union(const struct facts *a, const struct facts *b)
{
	struct facts f;
	for (size_t i = 0; i < SHADOW_AXES; i++)
		f.on[i] = a->on[i] | b->on[i];
	return f;
}

static size_t tags_length(const struct shadow_axis *x, uint64_t on)
{
	size_t len = 0;
	for (size_t i = 0; i < x->n; i++)
		if (on >> i & 1)
			len += strlen(x->value[i]) + (len ? 1 : 0);
	return len;
}

static uint64_t close_axis(const struct shadow_axis *x, uint64_t on)
{
	uint64_t best = SHADOW_ALL;
	if (x->kind == AXIS_OWNERS)
		return tags_length(x, on) > LABEL_TAGS_SIZE ? SHADOW_ALL : on;
	if (x->kind != AXIS_HASSE)
		return on;
	for (size_t i = 0; i < x->n; i++)
		if (!(on & ~x->down[i]) && __builtin_popcountll(x->down[i]) < __builtin_popcountll(best))
			best = x->down[i];
	return best;
}

struct facts shadow_close(const struct shadow_policy *p, const struct facts *f)
{
	struct facts out = *f;
	for (size_t i = 0; i < p->naxes; i++)
		out.on[i] = close_axis(&p->axes[i], f->on[i]);
	return out;
}

static void format_axis(const struct shadow_axis *x, uint64_t on, char out[PPCE_LABEL_SIZE])
{
	const char *comma = "";
	add(out, PPCE_LABEL_SIZE, "%s%s=", *out ? "," : "", x->name);
	if (x->kind == AXIS_OWNERS && on == SHADOW_ALL) {
		add(out, PPCE_LABEL_SIZE, "ALL");
		return;
	}
	if (x->kind == AXIS_CHAIN || x->kind == AXIS_HASSE) {
		size_t i = 0;
		while (i < x->n && (x->kind == AXIS_CHAIN ? low_bits(i) : x->down[i]) != on)
			i++;
		if (i == x->n)
			abort(); /* facts of no label */
		add(out, PPCE_LABEL_SIZE, "%s", x->value[i]);
		return;
	}
	add(out, PPCE_LABEL_SIZE, "{");
	for (size_t i = 0; i < x->n; i++) {
		if (!(on >> i & 1))
			continue;
		add(out, PPCE_LABEL_SIZE, "%s%s", comma, x->value[i]);
		comma = ",";
	}
	add(out, PPCE_LABEL_SIZE, "}");
}

void shadow_format(const struct shadow_policy *p, const struct facts *f, char out[PPCE_LABEL_SIZE])
{
	out[0] = '\0';
	for (size_t i = 0; i < p->naxes; i++)
		if (f->on[i] != lowest(&p->axes[i]))
			format_axis(&p->axes[i], f->on[i], out);
	if (!*out)
		format_axis(&p->axes[0], f->on[0], out);
}
