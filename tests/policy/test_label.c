/* SPDX-License-Identifier: MIT
 *
 * Label texts: what is accepted, what the canonical form is, and what hostile text gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/guard.h"
#include "tests/policy/labels.h"

static const struct {
	const char *text, *canonical;
} good[] = {
	{ "level=NATO_SECRET,comp={A,B}", "level=NATO_SECRET,comp={A,B}" },
	{ "comp={B,A},level=NATO_SECRET", "level=NATO_SECRET,comp={A,B}" },
	{ "level=NATO_SECRET", "level=NATO_SECRET" },
	{ "level=NATO_SECRET,comp={}", "level=NATO_SECRET" },
	{ "comp={C}", "comp={C}" },
	{ "level=UNCLASSIFIED,comp={C}", "comp={C}" },
	{ "comp={}", "level=UNCLASSIFIED" },
	{ "level=UNCLASSIFIED", "level=UNCLASSIFIED" },
	{ "comp={},level=UNCLASSIFIED", "level=UNCLASSIFIED" },
	{ "comp={C,A,B}", "comp={A,B,C}" },
};

static const struct {
	const char *text, *part; /* of the error's text */
} bad[] = {
	{ "", "expected axis=value, as in level=UNCLASSIFIED" },
	{ ",", "expected axis=value" },
	{ "level", "expected axis=value" },
	{ "level=NATO_SECRET,", "expected axis=value" },
	{ ",level=NATO_SECRET", "expected axis=value" },
	{ "=", "no axis \"\"" },
	{ "level=", "level has no value \"\"" },
	{ "comp=", "comp takes a set in braces, as in comp={A}" },
	{ "comp=A", "comp takes a set in braces" },
	{ "comp={A", "comp takes a set in braces" },
	{ "comp=A}", "comp takes a set in braces" },
	{ "comp={", "comp takes a set in braces" },
	{ "comp=}", "comp takes a set in braces" },
	{ "comp={A}}", "comp has no value A}; did you mean A?" },
	{ "comp={{A}", "comp has no value {A; did you mean A?" },
	{ "comp={A,}", "comp has no value \"\"" },
	{ "comp={,A}", "comp has no value \"\"" },
	{ "comp={,}", "comp has no value \"\"" },
	{ "comp={A,A}", "A is in comp twice" },
	{ "comp={D}", "comp has no value \"D\"" },
	{ "comp={a}", "comp has no value a; did you mean A?" },
	{ "level={NATO_SECRET}", "level takes one value without braces" },
	{ "level=NATO_SECRET,level=NATO_SECRET", "level is given twice" },
	{ "comp={A},comp={B}", "comp is given twice" },
	{ "level=NATO_SECRT", "level has no value NATO_SECRT; did you mean NATO_SECRET?" },
	{ "level=nato_secret", "did you mean NATO_SECRET?" },
	{ "levl=NATO_SECRET", "no axis levl; did you mean level?" },
	{ "dept=ward", "no axis \"dept\"" },
	{ "level=NATO_SECRET, comp={A}", "no axis  comp; did you mean comp?" },
	{ "level= NATO_SECRET", "did you mean NATO_SECRET?" },
	{ "comp={A, B}", "has no value  B; did you mean B?" },
	{ "level=NATO_SECRET\n", "did you mean NATO_SECRET?" },
	{ "level==NATO_SECRET", "did you mean NATO_SECRET?" },
	{ "\xff\xfe=\x01", "no axis" },
};

static void test_good(void **state)
{
	(void)state;
	struct policy *p = labels_policy("product.yaml");
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		char text[PPCE_LABEL_SIZE];
		struct err err;
		struct label l = labels_parse(p, good[i].text);
		assert_int_equal(label_format(p, &l, text, &err), 0);
		assert_string_equal(text, good[i].canonical);
	}
	policy_free(p);
}

static void test_bad(void **state)
{
	(void)state;
	struct policy *p = labels_policy("product.yaml");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct label l, before;
		struct err err = { 0 };
		memset(&l, 0x5a, sizeof l);
		before = l;
		if (label_parse(p, bad[i].text, &l, &err) == 0)
			fail_msg("accepted: \"%s\"", bad[i].text);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_memory_equal(&l, &before, sizeof l); /* untouched */
		if (!strstr(err.text, bad[i].part))
			fail_msg("\"%s\": got \"%s\", expected \"%s\"", bad[i].text, err.text, bad[i].part);
	}
	policy_free(p);
}

static void round_trip(const struct policy *p, const struct label *l)
{
	char text[PPCE_LABEL_SIZE], again[PPCE_LABEL_SIZE];
	struct err err = { 0 };
	assert_int_equal(label_format(p, l, text, &err), 0);
	assert_true(*text);
	struct label back = labels_parse(p, text);
	assert_true(label_equal(p, l, &back));
	assert_int_equal(label_format(p, &back, again, &err), 0);
	assert_string_equal(text, again);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const char *const files[] = { "figure-2.1.yaml", "figure-2.2.yaml", "product.yaml",    "single.yaml",
					     "one-member.yaml", "two-chains.yaml", "three-axes.yaml", "hasse-odd.yaml",
					     "owners.yaml",	"all-kinds.yaml" };
	static struct label all[LABELS_MAX];
	for (size_t file = 0; file < sizeof files / sizeof *files; file++) {
		struct policy *p = labels_policy(files[file]);
		size_t n = labels_all(p, all);
		for (size_t i = 0; i < n; i++)
			round_trip(p, &all[i]);
		policy_free(p);
	}
	struct policy *p = labels_policy("large.yaml");
	struct label top;
	uint64_t seed = labels_seed();
	label_top(p, &top);
	round_trip(p, &top);
	for (int i = 0; i < 2000; i++) {
		struct label l = labels_random(p, &seed);
		round_trip(p, &l);
	}
	policy_free(p);
}

/* 511 bytes are read, then it is too long, whatever stands there. */
static void test_too_long(void **state)
{
	(void)state;
	char text[2 * PPCE_LABEL_SIZE];
	struct policy *p = labels_policy("product.yaml");
	struct label l;
	struct err err;
	memset(text, ',', sizeof text);
	text[PPCE_LABEL_SIZE - 1] = '\0';
	assert_int_equal(label_parse(p, text, &l, &err), -1);
	assert_null(strstr(err.text, "longer than"));
	text[PPCE_LABEL_SIZE - 1] = ',';
	text[PPCE_LABEL_SIZE] = '\0';
	assert_int_equal(label_parse(p, text, &l, &err), -1);
	assert_non_null(strstr(err.text, "longer than 1023 bytes"));
	assert_int_equal(err.kind, ERR_INVALID);
	policy_free(p);
}

/* Texts whose NUL is the last readable byte; and PPCE_LABEL_SIZE bytes without any NUL at all. */
static void test_guard(void **state)
{
	(void)state;
	struct policy *p = labels_policy("product.yaml");
	struct guard g;
	struct label l;
	struct err err;
	char text[PPCE_LABEL_SIZE];
	guard_init(&g);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		for (size_t len = 0; len <= strlen(good[i].text); len++) {
			memcpy(text, good[i].text, len);
			text[len] = '\0';
			label_parse(p, guard_place(&g, text, len + 1), &l, &err);
		}
		assert_int_equal(label_parse(p, guard_place(&g, good[i].text, strlen(good[i].text) + 1), &l, &err), 0);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(label_parse(p, guard_place(&g, bad[i].text, strlen(bad[i].text) + 1), &l, &err), -1);
	static const char fill[] = "{},=A";
	for (size_t i = 0; fill[i]; i++) {
		memset(text, fill[i], sizeof text);
		assert_int_equal(label_parse(p, guard_place(&g, text, sizeof text), &l, &err), -1);
		text[sizeof text - 1] = '\0';
		assert_int_equal(label_parse(p, guard_place(&g, text, sizeof text), &l, &err), -1);
	}
	guard_free(&g);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	 cmocka_unit_test(test_bad),   cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("label", tests, NULL, NULL);
}
