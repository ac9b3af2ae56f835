// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "store/owners.h"
#include "store/rows.h"

static const char policy_text[] = "axes:\n  level: {chain: [L0, L1, L2]}\n  own: {owners: [c]}\n";
static const char queries_text[] =
	"queries:\n"
	"  q: {read: 'SELECT 1', label: 'level=L1,own={@who/c}', apps: [a], rows: 20000, bytes: 1000000}\n"
	"  few: {read: 'SELECT 1', label: 'level=L1,own={@who/c}', apps: [a], rows: 3}\n";
static struct policy *policy;
static struct queries *queries;

static struct rows_rules rules_for(const char *query, const char *ceiling)
{
	struct rows_rules r = {
		.policy = policy, .query = queries_find(queries, query), .mode = FLOW_FLOAT, .bytes = 1000000
	};
	assert_int_equal(label_parse(policy, ceiling, &r.ceiling, NULL), 0);
	return r;
}

static int add(struct rows *r, const char *who, int64_t n)
{
	struct call_value v[] = { { .type = who ? DATA_TEXT : DATA_NULL, .bytes = who, .len = who ? strlen(who) : 0 },
				  { .type = DATA_INT, .integer = n } };
	return rows_add(r, v);
}

static void begin(struct rows *r, const struct rows_rules *rules)
{
	static const char *const names[] = { "who", "n" };
	rows_init(r, rules);
	assert_int_equal(rows_begin(r, 2, names), 0);
}

static void test_hides_what_is_above_and_what_has_no_label(void **state)
{
	(void)state;
	struct rows r;
	struct label join, want;
	struct rows_rules rules = rules_for("q", "level=L1,own={ann/c,bob/c}");
	begin(&r, &rules);
	const char *who[] = { "ann", "eve", "bob", "ann", "", NULL, "no one", "ann/c,eve", "bob" };
	for (size_t i = 0; i < sizeof who / sizeof *who; i++)
		assert_int_equal(add(&r, who[i], (int64_t)i), 0);
	assert_int_equal(rows_left(&r, &join), 4);
	assert_int_equal(r.hidden, 5);
	assert_int_equal(r.unlabelled, 4);
	assert_int_equal(label_parse(policy, "level=L1,own={ann/c,bob/c}", &want, NULL), 0);
	assert_true(label_equal(policy, &join, &want));
	rows_free(&r);
}

static void test_what_is_hidden_never_fills_anything(void **state)
{
	(void)state;
	struct rows r;
	char name[32];
	struct rows_rules rules = rules_for("few", "level=L1,own={ann/c}");
	begin(&r, &rules);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof name, "p%d", i);
		assert_int_equal(add(&r, name, i), 0);
	}
	assert_int_equal(r.ngroups, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(&r, "ann", i), 0);
	assert_int_equal(add(&r, "eve", 1), 0);
	assert_false(r.too_large);
	assert_int_equal(add(&r, "ann", 4), -1);
	assert_true(r.too_large);
	rows_free(&r);
}

static void test_many_owners_become_all(void **state)
{
	(void)state;
	struct rows r;
	struct label join;
	char name[32];
	struct rows_rules rules = rules_for("q", "level=L2,own=ALL");
	begin(&r, &rules);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "p%d", i % 2500);
		assert_int_equal(add(&r, name, i), 0);
	}
	assert_int_equal(r.ngroups, 2500);
	assert_int_equal(rows_left(&r, &join), 5000);
	assert_true(label_all_owners(policy, &join));
	rows_free(&r);
}

static void test_denied_groups_leave_no_bytes(void **state)
{
	(void)state;
	struct rows r;
	struct buf out = { .cap = 1 << 20 };
	struct label join, want;
	struct rows_rules rules = rules_for("q", "level=L1,own={ann/c,bob/c}");
	begin(&r, &rules);
	add(&r, "ann", 1);
	add(&r, "bob", 2);
	add(&r, "ann", 3);
	r.group[0].denied = true;
	assert_int_equal(rows_encode(&r, &out), 0);
	assert_null(memmem(out.data, out.len, "ann", 3));
	assert_non_null(memmem(out.data, out.len, "bob", 3));
	assert_int_equal(rows_left(&r, &join), 1);
	assert_int_equal(label_parse(policy, "level=L1,own={bob/c}", &want, NULL), 0);
	assert_true(label_equal(policy, &join, &want));
	buf_free(&out);
	r.rules.bytes = 50;
	assert_int_equal(rows_encode(&r, &out), -1);
	buf_free(&out);
	rows_free(&r);
}

static void test_owners(void **state)
{
	(void)state;
	struct owners o = { 0 }, p = { 0 };
	uint8_t one[OWNERS_COHORT_BYTES], two[OWNERS_COHORT_BYTES];
	struct buf text = { .cap = 1000 };
	size_t at = 0;
	owners_add(&o, "bob", "x");
	owners_add(&o, "ann", "y");
	owners_add(&o, "ann", "x");
	owners_add(&o, "bob", "x");
	assert_int_equal(owners_count(&o, one), 2);
	assert_true(owners_text(&o, &at, 8, &text));
	assert_string_equal(buf_text(&text), "ann/x");
	buf_free(&text);
	assert_true(owners_text(&o, &at, 100, &text));
	assert_string_equal(buf_text(&text), "ann/y,bob/x");
	assert_false(owners_text(&o, &at, 100, &text));
	owners_add(&p, "ann", "z");
	assert_int_equal(owners_count(&p, two), 1);
	assert_memory_not_equal(one, two, sizeof one);
	owners_add(&p, "bob", "z");
	owners_count(&p, two);
	assert_memory_equal(one, two, sizeof one); /* the same people, whatever the category */
	buf_free(&text);
	at = 0;
	p.all = true;
	assert_true(owners_text(&p, &at, 100, &text));
	assert_string_equal(buf_text(&text), "ALL");
	assert_false(owners_text(&p, &at, 100, &text));
	buf_free(&text);
	owners_free(&o);
	owners_free(&p);
}

static int set_up(void **state)
{
	struct err err;
	(void)state;
	policy = policy_parse("policy", policy_text, strlen(policy_text), &err);
	queries = policy ? queries_parse(policy, "queries", queries_text, strlen(queries_text), &err) : NULL;
	return queries && sodium_init() >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	queries_free(queries);
	policy_free(policy);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hides_what_is_above_and_what_has_no_label),
					    cmocka_unit_test(test_what_is_hidden_never_fills_anything),
					    cmocka_unit_test(test_many_owners_become_all),
					    cmocka_unit_test(test_denied_groups_leave_no_bytes),
					    cmocka_unit_test(test_owners) };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
