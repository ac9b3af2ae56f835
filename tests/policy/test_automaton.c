/* SPDX-License-Identifier: MIT
 *
 * Automata: what a step decides, on the athlete of the example policy and on small ones made for one property each; and
 * what the policy file may not say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "policy/automaton.h"
#include "tests/policy/labels.h"

#define NO false
#define YES true

static unsigned state_of(const struct automaton *a, const char *name)
{
	unsigned state = 0;
	if (!automaton_state_find(a, name, &state))
		fail_msg("no state %s", name);
	return state;
}

/* The thesis's example: player, trainer, researcher, medical professional. `to` NULL: denied. */
static const struct {
	const char *from;
	enum automaton_event event;
	const char *class_name, *purpose;
	bool self;
	uint64_t group;
	const char *to;
	bool notify;
	unsigned review_days, delete_days;
} athlete[] = {
	{ "private", EVENT_READ, "player", "", YES, 0, "private", NO, 0, 0 },
	{ "private", EVENT_READ, "player", "", NO, 0, NULL, NO, 0, 0 },
	{ "private", EVENT_READ, "trainer", "training", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_READ, "trainer", "training", NO, 0, "shared", YES, 0, 0 },
	{ "shared", EVENT_READ, "trainer", "marketing", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_READ, "trainer", "", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_READ, "trainer", "Training", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_READ, "researcher", "training", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_READ, "", "training", NO, 0, NULL, NO, 0, 0 },
	{ "private", EVENT_CONSENT, "player", "", YES, 0, "shared", NO, 0, 0 },
	{ "private", EVENT_CONSENT, "trainer", "", NO, 0, NULL, NO, 0, 0 },
	{ "shared", EVENT_REVOKE, "player", "", YES, 0, "private", NO, 0, 0 },
	{ "shared", EVENT_EXPIRE, "", "", NO, 0, "private", NO, 0, 0 },
	{ "private", EVENT_AGGREGATE, "researcher", "", NO, 5, "private", NO, 0, 0 },
	{ "shared", EVENT_AGGREGATE, "researcher", "", NO, 1000, "shared", NO, 0, 0 },
	{ "shared", EVENT_AGGREGATE, "researcher", "", NO, 4, NULL, NO, 0, 0 },
	{ "shared", EVENT_AGGREGATE, "trainer", "training", NO, 50, NULL, NO, 0, 0 },
	{ "private", EVENT_BREAK_GLASS, "medic", "", NO, 0, "opened", YES, 7, 0 },
	{ "private", EVENT_BREAK_GLASS, "trainer", "", NO, 0, NULL, NO, 0, 0 },
	{ "opened", EVENT_READ, "medic", "", NO, 0, "opened", YES, 0, 30 },
	{ "opened", EVENT_READ, "trainer", "training", NO, 0, NULL, NO, 0, 0 },
	{ "private", EVENT_READ, "medic", "", NO, 0, NULL, NO, 0, 0 },
	{ "opened", EVENT_EXPIRE, "", "", NO, 0, "private", NO, 0, 0 },
	{ "private", EVENT_ERASE, "player", "", YES, 0, "erased", NO, 0, 0 },
	{ "opened", EVENT_ERASE, "player", "", YES, 0, "erased", NO, 0, 0 },
	{ "private", EVENT_ERASE, "medic", "", NO, 0, NULL, NO, 0, 0 },
	{ "erased", EVENT_READ, "player", "", YES, 0, NULL, NO, 0, 0 },
	{ "erased", EVENT_BREAK_GLASS, "medic", "", NO, 0, NULL, NO, 0, 0 },
	{ "erased", EVENT_AGGREGATE, "researcher", "", NO, 50, NULL, NO, 0, 0 },
	{ "erased", EVENT_CONSENT, "player", "", YES, 0, NULL, NO, 0, 0 },
	{ "private", EVENT_DERIVE, "player", "", YES, 0, NULL, NO, 0, 0 },
};

static void test_athlete(void **state)
{
	(void)state;
	struct policy *p = labels_policy_text(policy_example());
	const struct automaton *a = automaton_find(p, "athlete");
	assert_non_null(a);
	assert_string_equal(automaton_name(a), "athlete");
	assert_string_equal(automaton_state_name(a, automaton_start(a)), "private");
	for (size_t i = 0; i < sizeof athlete / sizeof *athlete; i++) {
		unsigned from = state_of(a, athlete[i].from);
		struct automaton_use use = { athlete[i].event, athlete[i].class_name, athlete[i].purpose,
					     athlete[i].self, athlete[i].group };
		struct automaton_step s = automaton_step(a, from, &use);
		if (s.allowed != (athlete[i].to != NULL))
			fail_msg("line %zu: %s", i, s.allowed ? "allowed" : "denied");
		assert_int_equal(s.state, athlete[i].to ? state_of(a, athlete[i].to) : from);
		assert_int_equal(s.transition >= 0, s.allowed);
		assert_int_equal(s.notify, athlete[i].notify);
		assert_int_equal(s.review_days, athlete[i].review_days);
		assert_int_equal(s.delete_days, athlete[i].delete_days);
	}
	policy_free(p);
}

#define HEAD "axes:\n  level: {chain: [LOW, HIGH]}\nclasses:\n  medic: {clearance: level=HIGH}\n"
#define AUTOMATON(lines) HEAD "automata:\n  a:\n    start: s\n    transitions:\n" lines

static struct automaton_step step(const struct policy *p, unsigned from, struct automaton_use use)
{
	if (!use.class_name)
		use.class_name = "";
	if (!use.purpose)
		use.purpose = "";
	return automaton_step(automaton_find(p, "a"), from, &use);
}

static void test_first_match(void **state)
{
	(void)state;
	struct policy *p = labels_policy_text(AUTOMATON("      - {in: s, on: read, class: medic, to: t}\n"
							"      - {in: [t, s], on: read, to: u}\n"
							"      - {in: any, on: read, to: s}\n"
							"      - {in: s, on: read, class: medic, to: s}\n"));
	const struct automaton *a = automaton_find(p, "a");
	assert_int_equal(automaton_states(a), 3);
	unsigned s = state_of(a, "s"), t = state_of(a, "t"), u = state_of(a, "u");
	struct automaton_use medic = { .event = EVENT_READ, .class_name = "medic" }, other = { .event = EVENT_READ };
	assert_int_equal(step(p, s, medic).transition, 0);
	assert_int_equal(step(p, s, medic).state, t);
	assert_int_equal(step(p, s, other).transition, 1);
	assert_int_equal(step(p, s, other).state, u);
	assert_int_equal(step(p, t, medic).transition, 1);
	assert_int_equal(step(p, u, medic).transition, 2);
	assert_int_equal(step(p, u, medic).state, s);
	policy_free(p);
}

/* Every event but the one named is denied; a state that there is not is denied everything, `any` or not. */
static void test_denied(void **state)
{
	(void)state;
	for (unsigned on = 0; on < EVENT_COUNT; on++) {
		char text[512];
		snprintf(text, sizeof text, AUTOMATON("      - {in: any, on: %s}\n"),
			 automaton_event_name((enum automaton_event)on));
		struct policy *p = labels_policy_text(text);
		for (unsigned e = 0; e < EVENT_COUNT; e++) {
			struct automaton_use use = { .event = (enum automaton_event)e };
			assert_int_equal(step(p, 0, use).allowed, e == on);
			assert_false(step(p, 1, use).allowed);
			assert_false(step(p, 31, use).allowed);
			assert_false(step(p, 32, use).allowed);
			assert_false(step(p, UINT32_MAX, use).allowed);
			assert_int_equal(step(p, 32, use).state, 32);
			assert_int_equal(step(p, 32, use).transition, -1);
		}
		policy_free(p);
	}
}

static void test_guards(void **state)
{
	(void)state;
	struct policy *p = labels_policy_text(AUTOMATON("      - {in: s, on: read, self: true, purpose: care}\n"
							"      - {in: s, on: export, self: false}\n"
							"      - {in: s, on: aggregate, min: 3}\n"));
	struct automaton_use use = { .event = EVENT_READ, .purpose = "care", .self = true };
	assert_true(step(p, 0, use).allowed);
	use.self = false;
	assert_false(step(p, 0, use).allowed);
	use.self = true;
	use.purpose = "care ";
	assert_false(step(p, 0, use).allowed);
	use.event = EVENT_EXPORT;
	assert_false(step(p, 0, use).allowed);
	use.self = false;
	assert_true(step(p, 0, use).allowed);
	use.event = EVENT_AGGREGATE;
	for (use.group = 0; use.group < 6; use.group++)
		assert_int_equal(step(p, 0, use).allowed, use.group >= 3);
	policy_free(p);
}

static void test_names(void **state)
{
	(void)state;
	struct policy *p = labels_policy_text(HEAD);
	enum automaton_event e;
	assert_null(automaton_find(p, "athlete"));
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		assert_true(automaton_event_find(automaton_event_name((enum automaton_event)i), &e));
		assert_int_equal(e, i);
	}
	assert_false(automaton_event_find("", &e) || automaton_event_find("Read", &e));
	policy_free(p);
}

static const struct {
	const char *text, *start, *part;
} bad[] = {
	{ HEAD "automata: a\n", "p.yaml:5: automata", "expected NAME" },
	{ HEAD "automata: [a]\n", "p.yaml:5: automata", "expected NAME" },
	{ HEAD "automata:\n  a: b\n", "p.yaml:6: ", "expected `key: value`" },
	{ HEAD "automata:\n  9a: {start: s, transitions: []}\n", "p.yaml:6: automata: \"9a\"", "is not a name" },
	{ HEAD "automata:\n  a: {strat: s, transitions: []}\n", "p.yaml:6: strat", "did you mean start?" },
	{ HEAD "automata:\n  a: {start: s}\n", "p.yaml:6: automata: a", "expected {start" },
	{ HEAD "automata:\n  a: {transitions: []}\n", "p.yaml:6: automata: a", "expected {start" },
	{ HEAD "automata:\n  a: {start: s, transitions: []}\n", "p.yaml:6: automata: a", "1 to 128 transitions" },
	{ HEAD "automata:\n  a: {start: s, transitions: x}\n", "p.yaml:6: automata: a", "1 to 128 transitions" },
	{ HEAD "automata:\n  a: {start: any, transitions: [{in: any, on: read}]}\n", "p.yaml:6: automata: a: \"any\"",
	  "not the name of a state" },
	{ HEAD "automata:\n  a: {start: [s], transitions: [{in: any, on: read}]}\n", "p.yaml:6: automata: a",
	  "a state" },
	{ AUTOMATON("      - read\n"), "p.yaml:9: ", "expected `key: value`" },
	{ AUTOMATON("      - {in: s}\n"), "p.yaml:9: automata: a", "needs {in: STATE, on: EVENT}" },
	{ AUTOMATON("      - {on: read}\n"), "p.yaml:9: automata: a", "needs {in: STATE, on: EVENT}" },
	{ AUTOMATON("      - {in: s, on: read, clas: medic}\n"), "p.yaml:9: clas", "did you mean class?" },
	{ AUTOMATON("      - {in: shared, on: read}\n      - {in: s, on: consent, to: shard}\n"),
	  "p.yaml:9: automata: a: no start or `to` leads to the state \"shared\"", "did you mean shard?" },
	{ AUTOMATON("      - {in: [], on: read}\n"), "p.yaml:9: automata: a: in", "expected a state" },
	{ AUTOMATON("      - {in: [any], on: read}\n"), "p.yaml:9: automata: a: no start", "\"any\"" },
	{ AUTOMATON("      - {in: s, on: reed}\n"), "p.yaml:9: automata: a: no event \"reed\"", "did you mean read?" },
	{ AUTOMATON("      - {in: s, on: break_glass}\n"), "p.yaml:9: ", "did you mean break-glass?" },
	{ AUTOMATON("      - {in: s, on: [read]}\n"), "p.yaml:9: automata: a", "expected an event" },
	{ AUTOMATON("      - {in: s, on: read, class: nurse}\n"), "p.yaml:9: automata: a: no class \"nurse\"", "" },
	{ AUTOMATON("      - {in: s, on: read, class: \"\"}\n"), "p.yaml:9: automata: a: no class \"\"", "" },
	{ AUTOMATON("      - {in: s, on: read, purpose: \"\"}\n"), "p.yaml:9: automata: a: purpose", "1 to 64" },
	{ AUTOMATON("      - {in: s, on: read, self: yes}\n"), "p.yaml:9: automata: a: self", "true or false" },
	{ AUTOMATON("      - {in: s, on: read, min: 5}\n"), "p.yaml:9: automata: a: min", "only with `on: aggregate`" },
	{ AUTOMATON("      - {in: s, on: aggregate, min: 0}\n"), "p.yaml:9: automata: a: min", "whole number" },
	{ AUTOMATON("      - {in: s, on: aggregate, min: -1}\n"), "p.yaml:9: automata: a: min", "whole number" },
	{ AUTOMATON("      - {in: s, on: aggregate, min: 5x}\n"), "p.yaml:9: automata: a: min", "whole number" },
	{ AUTOMATON("      - {in: s, on: aggregate, min: 4294967301}\n"), "p.yaml:9: automata: a: min",
	  "whole number" },
	{ AUTOMATON("      - {in: s, on: read, oblige: notify}\n"), "p.yaml:9: ", "expected `key: value`" },
	{ AUTOMATON("      - {in: s, on: read, oblige: {notfy: true}}\n"), "p.yaml:9: notfy", "did you mean notify?" },
	{ AUTOMATON("      - {in: s, on: read, oblige: {notify: 1}}\n"), "p.yaml:9: automata: a: notify",
	  "true or false" },
	{ AUTOMATON("      - {in: s, on: read, oblige: {review_days: 0}}\n"), "p.yaml:9: automata: a: review_days",
	  "1 to" },
	{ AUTOMATON("      - {in: s, on: read, oblige: {delete_days: 36501}}\n"), "p.yaml:9: automata: a: delete_days",
	  "1 to 36500" },
	{ AUTOMATON("      - {in: s, on: read, to: [s]}\n"), "p.yaml:9: automata: a", "expected a state" },
	{ AUTOMATON("      - {in: s, on: read, to: \"a b\"}\n"), "p.yaml:9: automata: a: \"a b\"", "not the name" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = { 0 };
		if (policy_parse("p.yaml", bad[i].text, strlen(bad[i].text), &err))
			fail_msg("accepted: %s", bad[i].text);
		assert_int_equal(err.kind, ERR_CONFIG);
		if (strncmp(err.text, bad[i].start, strlen(bad[i].start)) != 0 || !strstr(err.text, bad[i].part))
			fail_msg("got \"%s\", expected \"%s ... %s\"", err.text, bad[i].start, bad[i].part);
	}
}

/* A ring of `states` states, one transition each and then some. */
static struct policy *ring(unsigned states, unsigned transitions, struct err *err)
{
	struct buf b = { .cap = 1u << 20 };
	buf_puts(&b, HEAD "automata:\n  a:\n    start: s0\n    transitions:\n");
	for (unsigned i = 0; i < transitions; i++)
		buf_printf(&b, "      - {in: s%u, on: read, to: s%u}\n", i % states, (i + 1) % states);
	struct policy *p = policy_parse("p.yaml", buf_text(&b), b.len, err);
	buf_free(&b);
	return p;
}

static void test_limits(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct policy *p = ring(32, 128, &err);
	if (!p)
		fail_msg("%s", err.text);
	unsigned at = 0;
	for (unsigned i = 1; i <= 64; i++) {
		struct automaton_step s = step(p, at, (struct automaton_use){ .event = EVENT_READ });
		char name[8];
		snprintf(name, sizeof name, "s%u", i % 32);
		assert_true(s.allowed);
		assert_string_equal(automaton_state_name(automaton_find(p, "a"), s.state), name);
		at = s.state;
	}
	policy_free(p);
	assert_null(ring(33, 128, &err));
	assert_non_null(strstr(err.text, "more than 32 states"));
	assert_null(ring(32, 129, &err));
	assert_non_null(strstr(err.text, "1 to 128 transitions"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_athlete), cmocka_unit_test(test_first_match), cmocka_unit_test(test_denied),
		cmocka_unit_test(test_guards),	cmocka_unit_test(test_names),	    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests_name("automaton", tests, NULL, NULL);
}
