/* SPDX-License-Identifier: MIT
 *
 * The policy file: what a good one holds, and where a bad one is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "tests/lib/guard.h"
#include "tests/policy/labels.h"

#define AXES "axes:\n  level: {chain: [LOW, HIGH]}\n" /* two lines that are right */

static const struct {
	const char *text, *start, *part; /* the error starts with `start` and contains `part` */
} bad[] = {
	{ "", "p.yaml:1: ", "a policy needs axes" },
	{ "# nothing\n", "p.yaml:1: ", "a policy needs axes" },
	{ "classes:\n", "p.yaml:1: ", "axes: missing" },
	{ "text\n", "p.yaml:1: ", "expected `key: value`" },
	{ "- axes\n", "p.yaml:1: ", "expected `key: value`" },
	{ "axis:\n  level: {chain: [A]}\n", "p.yaml:1: axis", "did you mean axes?" },
	{ AXES "clases:\n", "p.yaml:3: clases", "did you mean classes?" },
	{ "axes:\n", "p.yaml:1: axes", "at least one axis" },
	{ "axes: {}\n", "p.yaml:1: axes", "at least one axis" },
	{ "axes: [a]\n", "p.yaml:1: axes", "at least one axis" },
	{ "axes:\n  level: {chain: []}\n", "p.yaml:2: axes: level: 0 values", "1 to 256" },
	{ "axes:\n  level: {subset: []}\n", "p.yaml:2: axes: level: 0 values", "1 to 64" },
	{ "axes:\n  level: {chain: A}\n", "p.yaml:2: axes: level", "expected chain: [NAME" },
	{ "axes:\n  level: {chain: {A: B}}\n", "p.yaml:2: axes: level", "expected chain: [NAME" },
	{ "axes:\n  level: [A, B]\n", "p.yaml:2: axes: level", "expected one of {chain: [...]}" },
	{ "axes:\n  level: A\n", "p.yaml:2: axes: level", "expected one of" },
	{ "axes:\n  level: {}\n", "p.yaml:2: axes: level", "expected one of" },
	{ "axes:\n  level: {chain: [A], subset: [B]}\n", "p.yaml:2: axes: level", "expected one of" },
	{ "axes:\n  level: {chian: [A]}\n", "p.yaml:2: chian", "did you mean chain?" },
	{ "axes:\n  level:\n    chain:\n      - A\n      - B\n      - A\n", "p.yaml:6: axes: level: A", "given twice" },
	{ "axes:\n  comp:\n    subset: [A,\n      B, B]\n", "p.yaml:4: axes: comp: B", "given twice" },
	{ "axes:\n  level: {chain: [A, [B]]}\n", "p.yaml:2: axes: level", "expected a name" },
	{ "axes:\n  level: {chain: [A, 1B]}\n", "p.yaml:2: axes: level: \"1B\"", "is not a name" },
	{ "axes:\n  level: {chain: [A, \"B C\"]}\n", "p.yaml:2: axes: level: \"B C\"", "is not a name" },
	{ "axes:\n  level: {chain: [A, \"B,C\"]}\n", "p.yaml:2: axes: level: \"B,C\"", "is not a name" },
	{ "axes:\n  level: {chain: [A, B-C]}\n", "p.yaml:2: axes: level: \"B-C\"", "is not a name" },
	{ "axes:\n  level: {chain: [A, ]}\n  x: {chain: [A, \"\"]}\n", "p.yaml:3: axes: x: \"\"", "is not a name" },
	{ "axes:\n  level: {chain: [A23456789_123456789_123456789_123]}\n", "p.yaml:2: axes: level", "is not a name" },
	{ "axes:\n  le-vel: {chain: [A]}\n", "p.yaml:2: axes: \"le-vel\"", "is not a name" },
	{ "axes:\n  _l: {chain: [A]}\n", "p.yaml:2: axes: \"_l\"", "is not a name" },
	{ AXES "  level: {chain: [A]}\n", "p.yaml:3: level", "given twice, first in line 2" },
#define HASSE(elements, covers) \
	"axes:\n  a: {chain: [A]}\n  d:\n    hasse:\n      elements: " elements "\n      covers: " covers "\n"
	{ "axes:\n  d: {hasse: [a, b]}\n", "p.yaml:2: ", "expected `key: value`" },
	{ "axes:\n  d: {hasse: {elements: [a]}}\n", "p.yaml:2: axes: d", "expected hasse: {elements: " },
	{ "axes:\n  d: {hasse: {element: [a], covers: []}}\n", "p.yaml:2: element", "did you mean elements?" },
	{ HASSE("[]", "[]"), "p.yaml:5: axes: d: 0 values", "hasse takes 1 to 256" },
	{ HASSE("[a, a]", "[]"), "p.yaml:5: axes: d: a", "given twice" },
	{ HASSE("[a, b]", "a"), "p.yaml:6: axes: d: covers", "expected [[LOWER, HIGHER]" },
	{ HASSE("[a, b]", "[a, b]"), "p.yaml:6: axes: d: covers", "expected [LOWER, HIGHER]" },
	{ HASSE("[a, b]", "[[a, b, b]]"), "p.yaml:6: axes: d: covers", "expected [LOWER, HIGHER]" },
	{ HASSE("[a, b]", "[[a, [b]]]"), "p.yaml:6: axes: d: covers", "expected [LOWER, HIGHER]" },
	{ HASSE("[a, b]", "[[a, c]]"), "p.yaml:6: axes: d: covers: \"c\"", "not among the elements" },
	{ HASSE("[a, b]", "[[a, b],\n        [a, b]]"), "p.yaml:7: axes: d: covers: [a, b]", "given twice" },
	{ HASSE("[a, b]", "[[a, b], [b, b]]"), "p.yaml:6: axes: d: b is below itself", "" },
	{ HASSE("[o, x, y, z]", "[[o, x],\n        [x, y],\n        [y, x], [x, z]]"),
	  "p.yaml:", "axes: d: y and x are each below the other" },
	{ HASSE("[o, x, y, z, t]", "[[o, x], [x, y], [y, z], [z, x], [z, t]]"),
	  "p.yaml:6: ", "are each below the other" },
	{ HASSE("\n        - a\n        - t\n        - b", "[[a, t], [b, t]]"),
	  "p.yaml:8: axes: d: there must be one lowest", "a and b have nothing below" },
	{ HASSE("[o, l, r]", "[[o, l], [o, r]]"), "p.yaml:5: axes: d", "l and r have no upper bound" },
	{ HASSE("[o, l, r, s, u, t]", "[[o, l], [o, r], [l, s], [l, u], [r, s], [r, u], [s, t], [u, t]]"),
	  "p.yaml:5: axes: d: l and r have no least upper bound: s and u are both above them", "neither" },
	{ "axes:\n  own: {owners: []}\n", "p.yaml:2: axes: own: 0 values", "owners takes 1 to 64" },
	{ "axes:\n  own: {owners: training}\n", "p.yaml:2: axes: own", "expected owners: [CATEGORY" },
	{ "axes:\n  own: {owners: [a/b]}\n", "p.yaml:2: axes: own: \"a/b\"", "is not a name" },
	{ "axes:\n  own: {owners: [a]}\n  who: {owners: [b]}\n", "p.yaml:3: axes: who",
	  "own is an owners axis already" },
	{ "axes:\n  a: {chain: [A]}\n  b: {chain: [A]}\n  c: {chain: [A]}\n  d: {chain: [A]}\n  e: {chain: [A]}\n"
	  "  f: {chain: [A]}\n  g: {chain: [A]}\n  h: {chain: [A]}\n  i: {chain: [A]}\n",
	  "p.yaml:2: axes: 9 of them", "at most 8" },
	{ "axes:\n  level: &l {chain: [A]}\n  b: *l\n", "p.yaml:2: ", "aliases" },
	{ "axes:\n  level: {chain: [!!str A]}\n", "p.yaml:2: ", "tags" },
	{ "axes:\n  level: {chain: [A, B}\n", "p.yaml:2: ", "" },
	{ AXES "classes: trainer\n", "p.yaml:3: classes", "expected NAME" },
	{ AXES "classes: [trainer]\n", "p.yaml:3: classes", "expected NAME" },
	{ AXES "classes:\n  trainer: level=HIGH\n", "p.yaml:4: ", "expected `key: value`" },
	{ AXES "classes:\n  trainer: {}\n", "p.yaml:4: classes: trainer", "expected {clearance" },
	{ AXES "classes:\n  trainer: {clearance: [x]}\n", "p.yaml:4: classes: trainer", "expected {clearance" },
	{ AXES "classes:\n  trainer: {clearence: \"level=HIGH\"}\n", "p.yaml:4: clearence", "did you mean clearance?" },
	{ AXES "classes:\n  a: {clearance: level=LOW}\n  b:\n    clearance: level=HIHG\n", "p.yaml:6: classes: b",
	  "did you mean HIGH?" },
	{ AXES "classes:\n  a: {clearance: \"\"}\n", "p.yaml:4: classes: a", "expected axis=value" },
	{ AXES "classes:\n  a: {clearance: \"own={p7/training}\"}\n", "p.yaml:4: classes: a", "no axis \"own\"" },
	{ AXES "classes:\n  9a: {clearance: level=LOW}\n", "p.yaml:4: classes: \"9a\"", "is not a name" },
	{ AXES "classes:\n  a: {clearance: level=LOW}\n  a: {clearance: level=LOW}\n", "p.yaml:5: a", "given twice" },
};

static void refuse(const char *text, size_t len, const char *start, const char *part)
{
	struct err err = { 0 };
	struct policy *p = policy_parse("p.yaml", text, len, &err);
	if (p)
		fail_msg("accepted: %s", text);
	assert_int_equal(err.kind, ERR_CONFIG);
	if (strncmp(err.text, start, strlen(start)) != 0 || !strstr(err.text, part))
		fail_msg("got \"%s\", expected \"%s ... %s\"", err.text, start, part);
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refuse(bad[i].text, strlen(bad[i].text), bad[i].start, bad[i].part);
}

/* One axis with n values of `width` letters. */
static void build(struct buf *b, const char *kind, int n, int width)
{
	b->len = 0;
	buf_printf(b, "axes:\n  x:\n    %s: [", kind);
	for (int i = 0; i < n; i++)
		buf_printf(b, "%sv%0*d", i ? "," : "", width - 1, i);
	buf_puts(b, "]\n");
}

static void check_size(const char *kind, int n, int width, const char *part)
{
	struct buf b = { .cap = 1u << 20 };
	struct err err = { 0 };
	build(&b, kind, n, width);
	if (part) {
		refuse(buf_text(&b), b.len, "p.yaml:", part);
	} else {
		struct policy *p = policy_parse("p.yaml", buf_text(&b), b.len, &err);
		if (!p)
			fail_msg("%s", err.text);
		struct label top;
		char text[PPCE_LABEL_SIZE];
		label_top(p, &top);
		assert_int_equal(label_format(p, &top, text, &err), 0); /* the longest label can be written */
		policy_free(p);
	}
	buf_free(&b);
}

static void test_limits(void **state)
{
	(void)state;
	check_size("chain", 256, 32, NULL);
	check_size("chain", 257, 4, "257 values; chain takes 1 to 256");
	check_size("subset", 64, 6, NULL); /* x={v00000,...}: 64 * 7 + 3 = 451 bytes */
	check_size("subset", 65, 3, "65 values; subset takes 1 to 64");
	check_size("subset", 64, 14, NULL);
	check_size("subset", 64, 15, "the longest label would have 1027 bytes, more than 1023");
	check_size("subset", 60, 16, NULL); /* exactly 1023 */
	check_size("subset", 31, 32, "the longest label would have 1026 bytes");
	check_size("owners", 64, 32, NULL);
	check_size("owners", 65, 3, "65 values; owners takes 1 to 64");
}

static void test_contents(void **state)
{
	(void)state;
	struct policy *p = labels_policy("product.yaml");
	assert_int_equal(policy_axes(p), 2);
	assert_string_equal(policy_axis_name(p, 0), "level");
	assert_string_equal(policy_axis_name(p, 1), "comp");
	assert_int_equal(policy_axis_kind(p, 0), AXIS_CHAIN);
	assert_int_equal(policy_axis_kind(p, 1), AXIS_SUBSET);
	assert_int_equal(policy_axis_size(p, 0), 5);
	assert_string_equal(policy_axis_value(p, 0, 4), "COSMIC_TOP_SECRET");
	assert_string_equal(policy_axis_value(p, 1, 2), "C");
	assert_int_equal(policy_classes(p), 3);
	assert_string_equal(policy_class_name(p, 1), "trainer");
	struct label expected = labels_parse(p, "level=NATO_SECRET,comp={A}"), top;
	assert_true(label_equal(p, policy_class_clearance(p, "trainer"), &expected));
	label_top(p, &top);
	assert_true(label_equal(p, policy_class_clearance(p, "chief"), &top));
	assert_null(policy_class_clearance(p, "Trainer"));
	assert_null(policy_class_clearance(p, ""));
	policy_free(p);
	policy_free(NULL);
}

static void test_example(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct policy *p = policy_parse("policy.yaml", policy_example(), strlen(policy_example()), &err);
	if (!p)
		fail_msg("%s", err.text);
	assert_true(policy_classes(p) >= 2);
	assert_non_null(policy_class_clearance(p, "trainer"));
	policy_free(p);
}

static void test_load(void **state)
{
	(void)state;
	struct err err = { 0 };
	assert_null(policy_load("/nonexistent/policy.yaml", &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent/policy.yaml"));
}

/* Every prefix of the example, each ending at an unreadable page: parsed or refused, never read past. */
static void test_guard(void **state)
{
	(void)state;
	const char *text = policy_example();
	size_t all = strlen(text);
	struct guard g;
	struct err err;
	guard_init(&g);
	for (size_t len = 0; len <= all; len++)
		policy_free(policy_parse("p", guard_place(&g, text, len), len, &err));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_null(policy_parse("p", guard_place(&g, bad[i].text, strlen(bad[i].text)), strlen(bad[i].text),
					 &err));
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),	cmocka_unit_test(test_limits), cmocka_unit_test(test_contents),
		cmocka_unit_test(test_example), cmocka_unit_test(test_load),   cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
