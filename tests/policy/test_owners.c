/* SPDX-License-Identifier: MIT
 *
 * Tags: their texts, the functions that add and list them, what happens when they do not fit, and the binary encoding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/guard.h"
#include "tests/policy/labels.h"

static const char policy_text[] = "axes:\n"
				  "  level: {chain: [LOW, HIGH]}\n"
				  "  own: {owners: [training, medical]}\n"
				  "classes:\n"
				  "  medic: {clearance: level=HIGH, break_glass: [medical]}\n"
				  "  officer: {clearance: level=HIGH, officer: true}\n"
				  "  staff: {clearance: \"level=HIGH,own=ALL\", officer: false, break_glass: []}\n";

static const struct {
	const char *text, *canonical;
} good[] = {
	{ "own={p7/training}", "own={p7/training}" },
	{ "own={p8/medical,p7/training}", "own={p7/training,p8/medical}" },
	{ "own={p7/training,p7/medical},level=HIGH", "level=HIGH,own={p7/medical,p7/training}" },
	{ "own={}", "level=LOW" },
	{ "own=ALL", "own=ALL" },
	{ "own={a/medical,a-b/medical,a.b/medical,A/medical,0/medical}",
	  "own={0/medical,A/medical,a-b/medical,a.b/medical,a/medical}" }, /* by bytes of the whole tag */
	{ "own={x@example.org/training}", "own={x@example.org/training}" },
	{ "own={the-longest-name-that-an-owner-may-have-has-sixty-four-character/medical}",
	  "own={the-longest-name-that-an-owner-may-have-has-sixty-four-character/medical}" },
};

static const struct {
	const char *text, *part;
} bad[] = {
	{ "own=", "own takes ALL or tags in braces" },
	{ "own=all", "own takes ALL or tags in braces" },
	{ "own=p7/training", "own takes ALL or tags in braces, as in own={p7/training}" },
	{ "own={p7}", "own takes tags owner/category, as in own={p7/training}, not \"p7\"" },
	{ "own={ALL}", "own takes tags owner/category" },
	{ "own={/training}", "own takes tags owner/category" },
	{ "own={p7/}", "own has no value \"\"" },
	{ "own={p7/trainin}", "own has no value trainin; did you mean training?" },
	{ "own={p7/x/training}", "own has no value x/training" },
	{ "own={-p7/training}", "own takes tags owner/category" },
	{ "own={p 7/training}", "own takes tags owner/category" },
	{ "own={$user/training}", "own takes tags owner/category" },
	{ "own={p7/training,}", "own takes tags owner/category" },
	{ "own={,}", "own takes tags owner/category" },
	{ "own={p7/training,p8/medical,p7/training}", "p7/training is in own twice" },
	{ "own={the-longest-name-that-an-owner-may-have-has-sixty-four-characters/medical}", "own takes tags" },
	{ "own={p7/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "own takes tags" },
	{ "own={p7/training", "own takes ALL or tags in braces" },
	{ "own=ALL,own=ALL", "own is given twice" },
};

static void format(const struct policy *p, const struct label *l, char out[PPCE_LABEL_SIZE])
{
	struct err err = { 0 };
	if (label_format(p, l, out, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_texts(void **state)
{
	char text[PPCE_LABEL_SIZE];
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct label l = labels_parse(*state, good[i].text);
		format(*state, &l, text);
		assert_string_equal(text, good[i].canonical);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = { 0 };
		struct label l;
		if (label_parse(*state, bad[i].text, &l, &err) == 0)
			fail_msg("accepted: \"%s\"", bad[i].text);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.text, bad[i].part))
			fail_msg("\"%s\": got \"%s\", expected \"%s\"", bad[i].text, err.text, bad[i].part);
	}
}

static void test_add(void **state)
{
	const struct policy *p = *state;
	struct label l = labels_parse(p, "level=HIGH,own={p7/training}"), out, expected;
	struct err err = { 0 };
	assert_int_equal(label_add_tag(p, &l, "p8", "medical", &out, &err), 0);
	expected = labels_parse(p, "level=HIGH,own={p7/training,p8/medical}");
	assert_true(label_equal(p, &out, &expected));
	assert_int_equal(label_add_tag(p, &out, "p8", "medical", &out, &err), 0); /* again, in place: nothing new */
	assert_true(label_equal(p, &out, &expected));
	assert_int_equal(label_add_owner(p, &l, "a", &out, &err), 0);
	expected = labels_parse(p, "level=HIGH,own={a/medical,a/training,p7/training}");
	assert_true(label_equal(p, &out, &expected));
	label_drop_tags(p, &out, &out);
	expected = labels_parse(p, "level=HIGH");
	assert_true(label_equal(p, &out, &expected));

	struct label all = labels_parse(p, "level=HIGH,own=ALL");
	assert_int_equal(label_add_tag(p, &all, "p8", "medical", &out, &err), 0);
	assert_true(label_equal(p, &out, &all));
	assert_true(label_all_owners(p, &all) && !label_all_owners(p, &l));
	label_drop_tags(p, &all, &out);
	assert_true(label_equal(p, &out, &expected));

	memset(&out, 0x5a, sizeof out);
	struct label before = out;
	assert_int_equal(label_add_tag(p, &l, "p/8", "medical", &out, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(label_add_tag(p, &l, "", "medical", &out, &err), -1);
	assert_int_equal(label_add_tag(p, &l, "p8", "medcal", &out, &err), -1);
	assert_non_null(strstr(err.text, "did you mean medical?"));
	assert_int_equal(label_add_owner(p, &l, "p8,p9", &out, &err), -1);
	assert_memory_equal(&out, &before, sizeof out);
}

static void test_next(void **state)
{
	const struct policy *p = *state;
	static const char *const tags[][2] = { { "0", "medical" }, { "a-b", "training" }, { "a", "medical" } };
	struct label l = labels_parse(p, "own={a/medical,a-b/training,0/medical}");
	struct label_tag tag;
	size_t at = 0;
	for (size_t i = 0; i < 3; i++) {
		assert_true(label_next_tag(&l, &at, &tag));
		assert_string_equal(tag.owner, tags[i][0]);
		assert_string_equal(tag.category, tags[i][1]);
	}
	assert_false(label_next_tag(&l, &at, &tag));
	assert_false(label_next_tag(&l, &at, &tag));
	l = labels_parse(p, "own=ALL");
	at = 0;
	assert_false(label_next_tag(&l, &at, &tag));
}

static void test_owner_names(void **state)
{
	(void)state;
	assert_true(label_owner_valid("p7") && label_owner_valid("0") && label_owner_valid("A.b_c@d-e"));
	static const char *const names[] = { "", ".a", "-a", "@a", "a/b", "a,b", "a b", "a}", "a\n", "\xc3\xa9" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_false(label_owner_valid(names[i]));
}

/* A policy without owners: tags are refused, and what concerns all users alike does nothing. */
static void test_no_axis(void **state)
{
	(void)state;
	struct policy *p = labels_policy("product.yaml");
	struct label l = labels_parse(p, "level=NATO_SECRET"), out;
	struct err err = { 0 };
	assert_int_equal(label_add_tag(p, &l, "p7", "training", &out, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(label_add_owner(p, &l, "p7", &out, &err), 0);
	assert_true(label_equal(p, &l, &out));
	label_drop_tags(p, &l, &out);
	assert_true(label_equal(p, &l, &out));
	assert_false(label_all_owners(p, &l));
	assert_int_equal(policy_categories(p), 0);
	assert_false(policy_class_breaks_glass(p, "chief", "medical"));
	policy_free(p);
}

static void test_classes(void **state)
{
	const struct policy *p = *state;
	assert_int_equal(policy_categories(p), 2);
	assert_string_equal(policy_category(p, 0), "training");
	assert_true(policy_class_breaks_glass(p, "medic", "medical"));
	assert_false(policy_class_breaks_glass(p, "medic", "training"));
	assert_false(policy_class_breaks_glass(p, "medic", "none"));
	assert_false(policy_class_breaks_glass(p, "staff", "medical"));
	assert_false(policy_class_breaks_glass(p, "nobody", "medical"));
	assert_true(policy_class_officer(p, "officer"));
	assert_false(policy_class_officer(p, "staff") || policy_class_officer(p, "medic"));
	assert_false(policy_class_officer(p, "nobody") || policy_class_officer(p, ""));
}

/* Tags of `n` owners NAME00, NAME01, ... that take `len` bytes each, without the comma. */
static struct label fill(const struct policy *p, char first, int n, int len)
{
	struct label l = labels_parse(p, "level=HIGH");
	struct err err = { 0 };
	for (int i = 0; i < n; i++) {
		char owner[PPCE_USER_SIZE];
		snprintf(owner, sizeof owner, "%c%0*d", first, len - (int)strlen("/medical") - 1, i);
		if (label_add_tag(p, &l, owner, "medical", &l, &err) < 0)
			fail_msg("%s", err.text);
	}
	return l;
}

/* Sets that fit, and ALL above them: the join of what does not fit together is ALL, and nothing lower would do. */
static void test_capacity(void **state)
{
	const struct policy *p = *state;
	struct label full = fill(p, 'a', 20, 31), other = fill(p, 'b', 1, 31), one = labels_parse(p, "own={z/medical}");
	struct label out, before, bottom = labels_parse(p, "own={}"), high = labels_parse(p, "level=HIGH");
	struct label top = labels_parse(p, "level=HIGH,own=ALL");
	struct err err = { 0 };
	assert_int_equal(full.tags_len, 20 * 32 - 1);

	label_join(p, &full, &other, &out); /* 671 bytes */
	assert_true(label_equal(p, &out, &top));
	assert_true(label_leq(p, &full, &out) && label_leq(p, &other, &out) && !label_leq(p, &out, &full));
	label_join(p, &full, &one, &out);
	assert_true(label_equal(p, &out, &top));
	label_join(p, &full, &full, &out);
	assert_true(label_equal(p, &out, &full));
	label_join(p, &full, &bottom, &out);
	assert_true(label_equal(p, &out, &full));
	label_meet(p, &top, &full, &out);
	assert_true(label_equal(p, &out, &full));
	label_meet(p, &full, &other, &out);
	assert_true(label_equal(p, &out, &high));

	memset(&out, 0x5a, sizeof out);
	before = out;
	assert_int_equal(label_add_tag(p, &full, "z", "medical", &out, &err), -1); /* at the end */
	assert_int_equal(err.kind, ERR_TOO_LARGE);
	assert_int_equal(label_add_tag(p, &full, "0", "medical", &out, &err), -1); /* at the start */
	assert_int_equal(err.kind, ERR_TOO_LARGE);
	assert_int_equal(label_add_owner(p, &full, "z", &out, &err), -1);
	assert_int_equal(err.kind, ERR_TOO_LARGE);
	assert_memory_equal(&out, &before, sizeof out);
}

/* To the byte: 640 fit, 641 do not; by join, by add and by text. */
static void test_capacity_exact(void **state)
{
	const struct policy *p = *state;
	struct label most = fill(p, 'a', 19, 31), out; /* 607 bytes: room for a comma and 32 */
	struct err err = { 0 };
	static const char *const owners[] = { "b23456789012345678901234", "b234567890123456789012345" };
	char text[PPCE_LABEL_SIZE], longer[PPCE_LABEL_SIZE];
	for (int i = 0; i < 2; i++) {
		struct label one = labels_parse(p, "own={}");
		assert_int_equal(label_add_tag(p, &one, owners[i], "medical", &one, &err), 0);
		assert_int_equal(label_add_tag(p, &most, owners[i], "medical", &out, &err), i ? -1 : 0);
		label_join(p, &most, &one, &out);
		assert_int_equal(label_all_owners(p, &out), i);
		assert_int_equal(out.tags_len, i ? 0 : LABEL_TAGS_SIZE);
		format(p, &most, text);
		snprintf(longer, sizeof longer, "%.*s,%s/medical}", (int)strlen(text) - 1, text, owners[i]);
		assert_int_equal(label_parse(p, longer, &out, &err), i ? -1 : 0);
		if (!i) {
			format(p, &out, text);
			assert_string_equal(text, longer);
		}
	}
	assert_non_null(strstr(err.text, "more than 640 bytes"));
}

/* Random labels whose unions often do not fit. */
static void test_overflow_random(void **state)
{
	(void)state;
	struct policy *p = labels_policy("large.yaml");
	uint64_t seed = labels_seed();
	unsigned overflows = 0;
	for (int i = 0; i < 5000; i++) {
		struct label a = labels_random(p, &seed), b = labels_random(p, &seed), out;
		label_join(p, &a, &b, &out);
		overflows += label_all_owners(p, &out) && !label_all_owners(p, &a) && !label_all_owners(p, &b);
	}
	assert_true(overflows > 100);
	policy_free(p);
}

static void round_trip(const struct policy *p, const struct label *l)
{
	uint8_t bytes[LABEL_ENCODED_MAX], again[LABEL_ENCODED_MAX];
	struct label back, copy = *l;
	struct err err = { 0 };
	size_t len = label_encode(p, l, bytes);
	assert_true(len <= sizeof bytes);
	if (label_decode(p, bytes, len, &back, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(label_equal(p, l, &back));
	memset(copy.tags + copy.tags_len, 0xa5, LABEL_TAGS_SIZE - copy.tags_len); /* bytes that do not count */
	assert_int_equal(label_encode(p, &copy, again), len);
	assert_memory_equal(bytes, again, len);
	assert_true(label_equal(p, l, &copy));
}

static void test_encoding(void **state)
{
	(void)state;
	static struct label all[LABELS_MAX];
	static uint8_t bytes[LABELS_MAX][LABEL_ENCODED_MAX];
	size_t len[LABELS_MAX];
	struct policy *p = labels_policy("all-kinds.yaml");
	size_t n = labels_all(p, all);
	for (size_t i = 0; i < n; i++) {
		round_trip(p, &all[i]);
		len[i] = label_encode(p, &all[i], bytes[i]);
		for (size_t j = 0; j < i; j++) /* only equal labels have equal bytes */
			assert_false(len[i] == len[j] && !memcmp(bytes[i], bytes[j], len[i]));
	}
	policy_free(p);
	p = labels_policy("large.yaml");
	uint64_t seed = labels_seed();
	for (int i = 0; i < 2000; i++) {
		struct label l = labels_random(p, &seed);
		round_trip(p, &l);
	}
	policy_free(p);
}

/* Bytes that are decoded are those that the label is encoded to: there is one encoding. Each input ends at an unreadable
 * page. */
static void try_decode(const struct policy *p, struct guard *g, const uint8_t *bytes, size_t len)
{
	struct label l;
	struct err err = { 0 };
	uint8_t again[LABEL_ENCODED_MAX];
	if (label_decode(p, (const uint8_t *)guard_place(g, bytes, len), len, &l, &err) < 0) {
		assert_int_equal(err.kind, ERR_INVALID);
		return;
	}
	assert_int_equal(label_encode(p, &l, again), len);
	assert_memory_equal(again, bytes, len);
}

static void test_decode_hostile(void **state)
{
	(void)state;
	struct policy *p = labels_policy("all-kinds.yaml");
	struct guard g;
	uint8_t bytes[LABEL_ENCODED_MAX + 8] = { 0 };
	uint64_t seed = labels_seed();
	guard_init(&g);
	struct label l = labels_parse(p, "level=HIGH,own={p7/training,p8/training},comp={A},dept=chief");
	size_t len = label_encode(p, &l, bytes);
	for (size_t cut = 0; cut < len; cut++)
		try_decode(p, &g, bytes, cut);
	try_decode(p, &g, bytes, len + 1);
	try_decode(p, &g, bytes, sizeof bytes);
	for (int i = 0; i < 200000; i++) {
		uint8_t copy[LABEL_ENCODED_MAX];
		memcpy(copy, bytes, len);
		for (uint64_t n = 1 + labels_next_random(&seed) % 3; n; n--) {
			uint64_t w = labels_next_random(&seed);
			static const char likely[] = "\0\1\2,/}{pt-";
			copy[w % len] = w >> 16 & 1 ? (uint8_t)likely[(w >> 20) % 10] : (uint8_t)(w >> 32);
		}
		try_decode(p, &g, copy, len);
	}
	guard_free(&g);
	policy_free(p);
}

struct edit {
	const char *tags; /* instead of those of the label, with the length set to match */
	int length;
};

static void test_decode_tags(void **state)
{
	const struct policy *p = *state;
	static const struct edit edits[] = {
		{ "p8/training,p7/training", 23 },
		{ "p7/training,p7/training", 23 },
		{ "p7/training,", 12 },
		{ ",p7/training", 12 },
		{ ",", 1 },
		{ "p7/training,,p8/training", 24 },
		{ "p7/nothing", 10 },
		{ "p7", 2 },
		{ "/training", 9 },
		{ "p\0/training", 11 },
		{ "p7/training\0", 12 },
		{ "p7/train\0ng", 11 },
	};
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		struct label l = { .tags_len = (uint16_t)edits[i].length }, out;
		uint8_t bytes[LABEL_ENCODED_MAX];
		struct err err;
		memcpy(l.tags, edits[i].tags, (size_t)edits[i].length);
		size_t len = label_encode(p, &l, bytes);
		assert_int_equal(label_decode(p, bytes, len, &out, &err), -1);
	}
	struct label l = { .axis = { 0, 1 }, .tags_len = 11, .tags = "p7/training" }, out; /* ALL and a tag */
	uint8_t bytes[LABEL_ENCODED_MAX];
	struct err err;
	size_t len = label_encode(p, &l, bytes);
	assert_int_equal(label_decode(p, bytes, len, &out, &err), -1);
	struct policy *without = labels_policy("small.yaml"); /* two axes too, but none of owners */
	l.axis[1] = 0;
	len = label_encode(without, &l, bytes);
	assert_int_equal(label_decode(without, bytes, len, &out, &err), -1);
	policy_free(without);
}

static int load(void **state)
{
	*state = labels_policy_text(policy_text);
	return 0;
}

static int unload(void **state)
{
	policy_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_owner_names),
		cmocka_unit_test(test_no_axis),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_capacity_exact),
		cmocka_unit_test(test_overflow_random),
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_decode_hostile),
		cmocka_unit_test(test_decode_tags),
	};
	return cmocka_run_group_tests_name("owners", tests, load, unload);
}
