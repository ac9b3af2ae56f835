/* SPDX-License-Identifier: MIT
 *
 * The flow rules against their definitions, on every combination of labels of a small product. The definitions here
 * use the tests' own order (labels_leq), not the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/flow.h"
#include "tests/policy/labels.h"

static const char *const policies[] = { "small.yaml", "flow.yaml" };

struct all {
	struct policy *p;
	struct label l[LABELS_MAX];
	size_t n;
};

#define POLICIES_COUNT (sizeof policies / sizeof *policies)

static int load(void **state)
{
	static struct all all[POLICIES_COUNT];
	for (size_t i = 0; i < POLICIES_COUNT; i++) {
		all[i].p = labels_policy(policies[i]);
		all[i].n = labels_all(all[i].p, all[i].l);
	}
	*state = all;
	return 0;
}

static int unload(void **state)
{
	for (size_t i = 0; i < POLICIES_COUNT; i++)
		policy_free(((struct all *)*state)[i].p);
	return 0;
}

typedef void each_three(const struct policy *p, const struct label *a, const struct label *b, const struct label *c);

static void for_each_three(const struct all *all, each_three *act)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t j = 0; j < all->n; j++)
			for (size_t k = 0; k < all->n; k++)
				act(all->p, &all->l[i], &all->l[j], &all->l[k]);
}

static void check(struct flow_verdict v, bool allowed, enum flow_rule rule)
{
	assert_int_equal(v.allowed, allowed);
	assert_int_equal(v.rule, rule);
	assert_true(strnlen(v.why, sizeof v.why) > 0 && strnlen(v.why, sizeof v.why) < sizeof v.why);
}

/* R0: L(session) <= C(session) <= clearance; R1: L(session) <= r <= C(session); R3: L(instance) <= d <= C; R4:
 * L(instance) <= ceiling meet clearance, which is "below both". */
static void check_between(const struct policy *p, const struct label *a, const struct label *b, const struct label *c)
{
	bool ab = labels_leq(p, a, b), bc = labels_leq(p, b, c), ac = labels_leq(p, a, c);
	check(flow_session(p, a, b, c), ab && bc, FLOW_R0_SESSION);
	check(flow_request(p, a, c, b), ab && bc, FLOW_R1_ROUTE);
	check(flow_write(p, a, c, b), ab && bc, FLOW_R3_WRITE);
	check(flow_respond(p, a, b, c), ab && ac, FLOW_R4_RESPOND);
}

/* R2. What a floating instance has afterwards is the least label above both: above them, and below whatever is. */
static void check_read(const struct policy *p, const struct label *instance, const struct label *ceiling,
		       const struct label *data)
{
	struct label after, out = *instance;
	check(flow_read(p, FLOW_FIXED, instance, ceiling, data, &after), labels_leq(p, data, instance), FLOW_R2_READ);
	assert_true(label_equal(p, &after, instance));
	bool allowed = labels_leq(p, data, ceiling);
	check(flow_read(p, FLOW_FLOAT, instance, ceiling, data, &after), allowed, FLOW_R2_READ);
	if (allowed)
		assert_true(labels_leq(p, instance, &after) && labels_leq(p, data, &after));
	else
		assert_true(label_equal(p, &after, instance));
	if (labels_leq(p, instance, ceiling))
		assert_true(labels_leq(p, &after, ceiling)); /* reading never carries it above its ceiling */
	flow_read(p, FLOW_FLOAT, &out, ceiling, data, &out); /* the result may overwrite an argument */
	assert_true(label_equal(p, &out, &after));
}

/* `above` is any label: none below the new one is above both the old one and the data. */
static void check_least(const struct policy *p, const struct label *instance, const struct label *data,
			const struct label *above)
{
	struct label top, after;
	label_top(p, &top);
	flow_read(p, FLOW_FLOAT, instance, &top, data, &after);
	assert_int_equal(labels_leq(p, &after, above), labels_leq(p, instance, above) && labels_leq(p, data, above));
}

static void test_orders(void **state)
{
	const struct all *all = *state;
	for (size_t i = 0; i < POLICIES_COUNT; i++) {
		for_each_three(&all[i], check_between);
		for_each_three(&all[i], check_read);
		for_each_three(&all[i], check_least);
	}
}

/* R5, R6 and R9: one label at or below another. No sink is no egress. */
static void test_pairs(void **state)
{
	for (const struct all *all = *state; all < (struct all *)*state + POLICIES_COUNT; all++) {
		for (size_t i = 0; i < all->n * all->n; i++) {
			const struct label *a = &all->l[i / all->n], *b = &all->l[i % all->n];
			bool leq = labels_leq(all->p, a, b);
			check(flow_send(all->p, a, b), leq, FLOW_R5_SEND);
			check(flow_egress(all->p, a, b), leq, FLOW_R6_EGRESS);
			check(flow_egress(all->p, a, NULL), false, FLOW_R6_EGRESS);
			check(flow_revoked(all->p, a, b), leq, FLOW_R9_REVOKE);
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
	check(flow_revoked(p, &top, &bottom), false, FLOW_R9_REVOKE);
	policy_free(p);
}

static void test_rule_names(void **state)
{
	(void)state;
	char name[8];
	for (unsigned i = 0; i <= FLOW_R9_REVOKE; i++) {
		snprintf(name, sizeof name, "R%u", i);
		assert_string_equal(flow_rule_name((enum flow_rule)i), name);
	}
	assert_int_equal(FLOW_R9_REVOKE, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),	   cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_deliver),	   cmocka_unit_test(test_deliver_nameless),
		cmocka_unit_test(test_reasons),	   cmocka_unit_test(test_long_labels),
		cmocka_unit_test(test_rule_names),
	};
	return cmocka_run_group_tests_name("flow", tests, load, unload);
}
