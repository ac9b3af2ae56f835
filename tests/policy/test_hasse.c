/* SPDX-License-Identifier: MIT
 *
 * The hasse axis against brute force: random orders are accepted exactly if they are lattices, and what is computed in
 * accepted ones is what the definition says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "tests/policy/labels.h"

#define N_MAX 8

struct order {
	size_t n;
	bool cover[N_MAX][N_MAX];
	bool leq[N_MAX][N_MAX]; /* reflexive, transitive closure of the covers */
};

static void close_order(struct order *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t j = 0; j < o->n; j++)
			o->leq[i][j] = i == j || o->cover[i][j];
	for (size_t k = 0; k < o->n; k++)
		for (size_t i = 0; i < o->n; i++)
			for (size_t j = 0; j < o->n; j++)
				o->leq[i][j] |= o->leq[i][k] && o->leq[k][j];
}

/* Mostly upwards in the numbering, or nearly all would have circles; sometimes with bottom and top added, or nearly none
 * would be lattices. */
static void random_order(struct order *o, uint64_t *seed)
{
	uint64_t shape = labels_next_random(seed);
	unsigned density = 10 + (unsigned)(shape % 50);
	memset(o, 0, sizeof *o);
	o->n = 1 + (size_t)(shape >> 8) % N_MAX;
	for (size_t i = 0; i < o->n; i++) {
		for (size_t j = 0; j < o->n; j++) {
			unsigned chance = j > i ? density : shape >> 16 & 7 ? 0 : 2;
			o->cover[i][j] = labels_next_random(seed) % 100 < chance;
			if (i != j && ((shape >> 20 & 3 && i == 0) || (shape >> 24 & 3 && j == o->n - 1)))
				o->cover[i][j] |= i < j;
		}
	}
	close_order(o);
}

static bool has_circle(const struct order *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t j = 0; j < o->n; j++)
			if (o->cover[i][j] && o->leq[j][i])
				return true;
	return false;
}

/* The element that is above both and below everything that is; -1: none. `up` false: the other way round. */
static int bound(const struct order *o, size_t a, size_t b, bool up)
{
	for (size_t c = 0; c < o->n; c++) {
		bool fits = up ? o->leq[a][c] && o->leq[b][c] : o->leq[c][a] && o->leq[c][b];
		for (size_t d = 0; d < o->n && fits; d++) {
			bool other = up ? o->leq[a][d] && o->leq[b][d] : o->leq[d][a] && o->leq[d][b];
			fits = !other || (up ? o->leq[c][d] : o->leq[d][c]);
		}
		if (fits)
			return (int)c;
	}
	return -1;
}

static bool is_lattice(const struct order *o)
{
	if (has_circle(o))
		return false;
	for (size_t i = 0; i < o->n; i++)
		for (size_t j = 0; j < o->n; j++)
			if (bound(o, i, j, true) < 0 || bound(o, i, j, false) < 0)
				return false;
	return true;
}

/* In an order of the file that has nothing to do with that of the elements. */
static struct policy *parse(const struct order *o, uint64_t *seed, struct err *err)
{
	struct buf b = { .cap = 1u << 16 };
	size_t start = (size_t)labels_next_random(seed) % o->n;
	const char *comma = "";
	buf_puts(&b, "axes:\n  d:\n    hasse:\n      elements: [");
	for (size_t i = 0; i < o->n; i++)
		buf_printf(&b, "%se%zu", i ? "," : "", (start + 3 * i) % o->n);
	buf_puts(&b, "]\n      covers: [");
	for (size_t i = o->n * o->n; i-- > 0;) {
		if (!o->cover[i / o->n][i % o->n])
			continue;
		buf_printf(&b, "%s[e%zu,e%zu]", comma, i / o->n, i % o->n);
		comma = ",";
	}
	buf_puts(&b, "]\n");
	struct policy *p = policy_parse("p", buf_text(&b), b.len, err);
	buf_free(&b);
	return p;
}

static struct label element(const struct policy *p, int i)
{
	char text[16];
	snprintf(text, sizeof text, "d=e%d", i);
	return labels_parse(p, text);
}

static void check_lattice(const struct order *o, const struct policy *p)
{
	for (size_t i = 0; i < o->n; i++) {
		for (size_t j = 0; j < o->n; j++) {
			struct label a = element(p, (int)i), b = element(p, (int)j), out;
			struct label join = element(p, bound(o, i, j, true)), meet = element(p, bound(o, i, j, false));
			assert_int_equal(label_leq(p, &a, &b), o->leq[i][j]);
			label_join(p, &a, &b, &out);
			assert_true(label_equal(p, &out, &join));
			label_meet(p, &a, &b, &out);
			assert_true(label_equal(p, &out, &meet));
		}
	}
}

static void test_random(void **state)
{
	(void)state;
	uint64_t seed = labels_seed();
	unsigned lattices = 0, others = 0;
	for (int round = 0; round < 10000; round++) {
		struct order o;
		struct err err = { 0 };
		random_order(&o, &seed);
		if (o.n % 3 == 0) /* steps of 3 would not visit every element */
			continue;
		struct policy *p = parse(&o, &seed, &err);
		assert_int_equal(p != NULL, is_lattice(&o));
		if (p) {
			check_lattice(&o, p);
			lattices++;
		} else {
			assert_int_equal(err.kind, ERR_CONFIG);
			others++;
		}
		policy_free(p);
	}
	assert_true(lattices > 500 && others > 500);
}

/* The largest: the subsets of eight members, 256 elements with 1024 covers, where join is "or" and meet is "and". */
static void test_largest(void **state)
{
	(void)state;
	struct buf b = { .cap = 1u << 20 };
	buf_puts(&b, "axes:\n  d:\n    hasse:\n      elements: [");
	for (unsigned i = 0; i < 256; i++)
		buf_printf(&b, "%se%u", i ? "," : "", i * 77 % 256);
	buf_puts(&b, "]\n      covers: [");
	for (unsigned i = 0; i < 256; i++)
		for (unsigned bit = 0; bit < 8; bit++)
			if (!(i >> bit & 1))
				buf_printf(&b, "%s[e%u,e%u]", i || bit ? "," : "", i, i | 1u << bit);
	buf_puts(&b, "]\n");
	struct policy *p = labels_policy_text(buf_text(&b));
	struct label e[256], out;
	for (int i = 0; i < 256; i++)
		e[i] = element(p, i);
	for (unsigned i = 0; i < 256; i++) {
		for (unsigned j = 0; j < 256; j++) {
			assert_int_equal(label_leq(p, &e[i], &e[j]), (i & ~j) == 0);
			label_join(p, &e[i], &e[j], &out);
			assert_true(label_equal(p, &out, &e[i | j]));
			label_meet(p, &e[i], &e[j], &out);
			assert_true(label_equal(p, &out, &e[i & j]));
		}
	}
	policy_free(p);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random), cmocka_unit_test(test_largest) };
	return cmocka_run_group_tests_name("hasse", tests, NULL, NULL);
}
