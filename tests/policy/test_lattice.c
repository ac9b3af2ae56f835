/* SPDX-License-Identifier: MIT
 *
 * The laws of a lattice: on every combination of labels of the small policies, on random ones of the large policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/policy/labels.h"

static const char *const small_policies[] = { "figure-2.1.yaml", "figure-2.2.yaml", "product.yaml",
					      "small.yaml",	 "single.yaml",	    "one-member.yaml",
					      "two-chains.yaml", "three-axes.yaml", "hasse.yaml",
					      "hasse-odd.yaml",	 "owners.yaml",	    "all-kinds.yaml" };

static struct label join(const struct policy *p, const struct label *a, const struct label *b)
{
	struct label out;
	memset(&out, 0xa5, sizeof out); /* whatever stood there must not matter */
	label_join(p, a, b, &out);
	return out;
}

static struct label meet(const struct policy *p, const struct label *a, const struct label *b)
{
	struct label out;
	memset(&out, 0xa5, sizeof out);
	label_meet(p, a, b, &out);
	return out;
}

#define same(p, x, y) assert_true(label_equal(p, &(struct label[]){ x }[0], &(struct label[]){ y }[0]))

static void check_one(const struct policy *p, const struct label *a)
{
	struct label bottom, top;
	label_bottom(p, &bottom);
	label_top(p, &top);
	assert_true(label_leq(p, a, a)); /* reflexive */
	same(p, join(p, a, a), *a);	 /* idempotent */
	same(p, meet(p, a, a), *a);
	assert_true(label_leq(p, &bottom, a)); /* bounds */
	assert_true(label_leq(p, a, &top));
	same(p, join(p, a, &bottom), *a);
	same(p, meet(p, a, &top), *a);
	same(p, join(p, a, &top), top);
	same(p, meet(p, a, &bottom), bottom);
}

static void check_two(const struct policy *p, const struct label *a, const struct label *b)
{
	struct label j = join(p, a, b), m = meet(p, a, b), out = *a;
	bool leq = label_leq(p, a, b), geq = label_leq(p, b, a);
	assert_int_equal(leq, labels_leq(p, a, b));
	assert_int_equal(label_equal(p, a, b), leq && geq); /* antisymmetric */
	same(p, j, join(p, b, a));			    /* commutative */
	same(p, m, meet(p, b, a));
	assert_true(label_leq(p, a, &j) && label_leq(p, b, &j)); /* an upper bound, a lower bound */
	assert_true(label_leq(p, &m, a) && label_leq(p, &m, b));
	same(p, join(p, a, &m), *a); /* absorption */
	same(p, meet(p, a, &j), *a);
	assert_int_equal(leq, label_equal(p, &j, b)); /* the order and the operations agree */
	assert_int_equal(leq, label_equal(p, &m, a));
	label_join(p, &out, b, &out); /* the result may overwrite an argument */
	same(p, out, j);
	out = *b;
	label_meet(p, a, &out, &out);
	same(p, out, m);
}

static void check_three(const struct policy *p, const struct label *a, const struct label *b, const struct label *c)
{
	struct label ab = join(p, a, b), bc = join(p, b, c), mab = meet(p, a, b), mbc = meet(p, b, c);
	bool above = label_leq(p, a, c) && label_leq(p, b, c), below = label_leq(p, c, a) && label_leq(p, c, b);
	if (label_leq(p, a, b) && label_leq(p, b, c)) /* transitive */
		assert_true(label_leq(p, a, c));
	assert_int_equal(label_leq(p, &ab, c), above);	/* the least upper bound */
	assert_int_equal(label_leq(p, c, &mab), below); /* the greatest lower bound */
	same(p, join(p, &ab, c), join(p, a, &bc));	/* associative */
	same(p, meet(p, &mab, c), meet(p, a, &mbc));
}

static void test_laws(void **state)
{
	(void)state;
	static struct label all[LABELS_MAX];
	for (size_t file = 0; file < sizeof small_policies / sizeof *small_policies; file++) {
		struct policy *p = labels_policy(small_policies[file]);
		size_t n = labels_all(p, all);
		for (size_t i = 0; i < n; i++) {
			check_one(p, &all[i]);
			for (size_t j = 0; j < n; j++) {
				check_two(p, &all[i], &all[j]);
				for (size_t k = 0; k < n; k++)
					check_three(p, &all[i], &all[j], &all[k]);
			}
		}
		policy_free(p);
	}
}

static void test_laws_random(void **state)
{
	(void)state;
	struct policy *p = labels_policy("large.yaml");
	uint64_t seed = labels_seed();
	for (int i = 0; i < 20000; i++) {
		struct label a = labels_random(p, &seed), b = labels_random(p, &seed), c = labels_random(p, &seed);
		struct label low = meet(p, &a, &b), high = join(p, &b, &c);
		check_one(p, &a);
		check_two(p, &a, &b);
		check_two(p, &low, &high); /* random labels are seldom comparable: these are */
		check_three(p, &a, &b, &c);
		check_three(p, &low, &b, &high);
	}
	policy_free(p);
}

static void test_sizes(void **state)
{
	(void)state;
	static const size_t sizes[] = { 5, 8, 40, 12, 1, 2, 12, 32, 4, 25, 17, 80 };
	static struct label all[LABELS_MAX];
	for (size_t file = 0; file < sizeof small_policies / sizeof *small_policies; file++) {
		struct policy *p = labels_policy(small_policies[file]);
		assert_int_equal(labels_all(p, all), sizes[file]);
		policy_free(p);
	}
}

/* Figure 2.1, by name. */
static void test_figure_chain(void **state)
{
	(void)state;
	static const char *const levels[] = { "level=UNCLASSIFIED", "level=NATO_RESTRICTED", "level=NATO_CONFIDENTIAL",
					      "level=NATO_SECRET", "level=COSMIC_TOP_SECRET" };
	struct policy *p = labels_policy("figure-2.1.yaml");
	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 5; j++) {
			struct label a = labels_parse(p, levels[i]), b = labels_parse(p, levels[j]);
			assert_int_equal(label_leq(p, &a, &b), i <= j);
			same(p, join(p, &a, &b), labels_parse(p, levels[i > j ? i : j]));
			same(p, meet(p, &a, &b), labels_parse(p, levels[i < j ? i : j]));
		}
	}
	policy_free(p);
}

/* Figure 2.2 and the product, by name. */
static void test_figure_subsets(void **state)
{
	(void)state;
	struct policy *p = labels_policy("figure-2.2.yaml");
	struct label a = labels_parse(p, "comp={A}"), b = labels_parse(p, "comp={B}"),
		     ac = labels_parse(p, "comp={A,C}"), ab = labels_parse(p, "comp={A,B}");
	assert_false(label_leq(p, &a, &b));
	assert_false(label_leq(p, &b, &a));
	assert_true(label_leq(p, &a, &ac));
	same(p, join(p, &a, &b), ab);
	same(p, join(p, &ac, &b), labels_parse(p, "comp={A,B,C}"));
	same(p, meet(p, &ac, &ab), a);
	same(p, meet(p, &a, &b), labels_parse(p, "comp={}"));
	policy_free(p);

	p = labels_policy("product.yaml");
	a = labels_parse(p, "level=NATO_SECRET,comp={A}");
	b = labels_parse(p, "level=NATO_RESTRICTED,comp={B}");
	assert_false(label_leq(p, &b, &a)); /* lower level, other compartment */
	same(p, join(p, &a, &b), labels_parse(p, "level=NATO_SECRET,comp={A,B}"));
	same(p, meet(p, &a, &b), labels_parse(p, "level=NATO_RESTRICTED"));
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	       cmocka_unit_test(test_laws),
		cmocka_unit_test(test_laws_random),    cmocka_unit_test(test_figure_chain),
		cmocka_unit_test(test_figure_subsets),
	};
	return cmocka_run_group_tests_name("lattice", tests, NULL, NULL);
}
