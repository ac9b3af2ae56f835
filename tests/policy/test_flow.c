/* SPDX-License-Identifier: MIT
 *
 * The flow rules against their definitions, on every combination of labels of a small product. The definitions here
 * use the tests' own order (labels_leq), not the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/flow.h"
#include "tests/policy/labels.h"

struct all {
	struct policy *p;
	struct label l[LABELS_MAX];
	size_t n;
};

static int load(void **state)
{
	static struct all all;
	all.p = labels_policy("small.yaml");
	all.n = labels_all(all.p, all.l);
	*state = &all;
	return 0;
}

static int unload(void **state)
{
	policy_free(((struct all *)*state)->p);
	return 0;
}

static void check(struct flow_verdict v, bool allowed, enum flow_rule rule)
{
	assert_int_equal(v.allowed, allowed);
	assert_int_equal(v.rule, rule);
	assert_true(strnlen(v.why, sizeof v.why) > 0 && strnlen(v.why, sizeof v.why) < sizeof v.why);
}

/* R0: L(session) <= C(session) <= clearance; R1: L(session) <= r <= C(session); R4: L(instance) <= ceiling meet
 * clearance, which is "below both". */
static void test_orders(void **state)
{
	const struct all *all = *state;
	const struct policy *p = all->p;
	for (size_t i = 0; i < all->n; i++) {
		for (size_t j = 0; j < all->n; j++) {
			for (size_t k = 0; k < all->n; k++) {
				const struct label *a = &all->l[i], *b = &all->l[j], *c = &all->l[k];
				bool ab = labels_leq(p, a, b), bc = labels_leq(p, b, c), ac = labels_leq(p, a, c);
				check(flow_session(p, a, b, c), ab && bc, FLOW_R0_SESSION);
				check(flow_request(p, a, c, b), ab && bc, FLOW_R1_ROUTE);
				check(flow_respond(p, a, b, c), ab && ac, FLOW_R4_RESPOND);
			}
		}
	}
}

/* R1 and R8: exactly the label; exactly the owner where there is one. A label that is merely below does not do. */
static void test_deliver(void **state)
{
	const struct all *all = *state;
	static const char *const users[] = { "alice", "bob", "alic", "Alice" };
	static const char *const owners[] = { "", "alice", "bob" };
	for (size_t i = 0; i < all->n * all->n; i++) {
		const struct label *r = &all->l[i / all->n], *bound = &all->l[i % all->n];
		bool exact = i / all->n == i % all->n;
		for (size_t u = 0; u < 4; u++) {
			for (size_t o = 0; o < 3; o++) {
				bool owned = !*owners[o] || !strcmp(users[u], owners[o]);
				check(flow_deliver(all->p, r, users[u], bound, owners[o]), exact && owned,
				      exact && !owned ? FLOW_R8_REUSE : FLOW_R1_ROUTE);
			}
		}
	}
}

/* Nobody without a name gets an instance that belongs to someone. */
static void test_deliver_nameless(void **state)
{
	const struct all *all = *state;
	check(flow_deliver(all->p, &all->l[0], "", &all->l[0], "alice"), false, FLOW_R8_REUSE);
}

static void test_reasons(void **state)
{
	const struct all *all = *state;
	struct label low = labels_parse(all->p, "level=LOW"), ha = labels_parse(all->p, "level=HIGH,comp={A}"),
		     hb = labels_parse(all->p, "level=HIGH,comp={B}");
	struct flow_verdict v = flow_session(all->p, &low, &ha, &hb);
	assert_string_equal(v.why,
			    "on the axis comp, the session's ceiling (level=HIGH,comp={A}) is not at or below the "
			    "user's clearance (level=HIGH,comp={B})");
	v = flow_request(all->p, &ha, &hb, &low);
	assert_non_null(strstr(v.why, "axis level, the session's label (level=HIGH,comp={A})"));
	v = flow_respond(all->p, &ha, &low, &ha);
	assert_non_null(strstr(v.why, "the instance (level=HIGH,comp={A}) is not at or below the session's ceiling"));
	v = flow_deliver(all->p, &low, "bob", &low, "alice");
	assert_null(strstr(v.why, "alice")); /* one user's name is not another's business */
}

/* The longest labels there are still leave a whole, terminated text. */
static void test_long_labels(void **state)
{
	(void)state;
	struct policy *p = labels_policy("large.yaml");
	struct label top, bottom;
	label_top(p, &top);
	label_bottom(p, &bottom);
	check(flow_session(p, &top, &bottom, &top), false, FLOW_R0_SESSION);
	check(flow_respond(p, &top, &top, &bottom), false, FLOW_R4_RESPOND);
	policy_free(p);
}

static void test_rule_names(void **state)
{
	(void)state;
	assert_string_equal(flow_rule_name(FLOW_R0_SESSION), "R0");
	assert_string_equal(flow_rule_name(FLOW_R1_ROUTE), "R1");
	assert_string_equal(flow_rule_name(FLOW_R4_RESPOND), "R4");
	assert_string_equal(flow_rule_name(FLOW_R8_REUSE), "R8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),		 cmocka_unit_test(test_deliver),
		cmocka_unit_test(test_deliver_nameless), cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_long_labels),	 cmocka_unit_test(test_rule_names),
	};
	return cmocka_run_group_tests_name("flow", tests, load, unload);
}
