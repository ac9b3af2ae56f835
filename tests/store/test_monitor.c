// SPDX-License-Identifier: MIT
//
// The monitor against a tracker of its own kind: sets of levels and tags, kept by the test. Random sequences of tickets,
// reads and writes; the seed is printed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <sodium.h>

#include "lib/ticket.h"
#include "store/monitor.h"

#define UUID "1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11"
#define NOW 1000000

static const char policy_text[] = "axes:\n"
				  "  level: {chain: [L0, L1, L2, L3]}\n"
				  "  own: {owners: [c]}\n";
static struct policy *policy;
static const uint8_t key[TICKET_KEY_BYTES] = { 1, 2, 3 };

/* The tracker's label: a level, and the owners a..d as bits. */
struct simple {
	unsigned level, owners;
};

static const char *spell(struct simple s, char out[PPCE_LABEL_SIZE])
{
	size_t len = (size_t)snprintf(out, PPCE_LABEL_SIZE, "level=L%u,own={", s.level);
	bool first = true;
	for (unsigned i = 0; i < 4; i++) {
		if (!(s.owners >> i & 1))
			continue;
		len += (size_t)snprintf(out + len, PPCE_LABEL_SIZE - len, "%s%c/c", first ? "" : ",", 'a' + (int)i);
		first = false;
	}
	snprintf(out + len, PPCE_LABEL_SIZE - len, "}");
	return out;
}

static struct label real(struct simple s)
{
	char text[PPCE_LABEL_SIZE];
	struct label l;
	struct err err;
	if (label_parse(policy, spell(s, text), &l, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return l;
}

static bool leq(struct simple a, struct simple b)
{
	return a.level <= b.level && !(a.owners & ~b.owners);
}

static struct simple join(struct simple a, struct simple b)
{
	return (struct simple){ a.level > b.level ? a.level : b.level, a.owners | b.owners };
}

static void sign(struct ticket *t)
{
	ticket_seal(t, key);
}

static struct ticket make_ticket(uint64_t seq, uint32_t flags, struct simple label, struct simple ceiling)
{
	struct ticket t = { .version = TICKET_VERSION, .flags = flags, .seq = seq, .expires = NOW + 1 };
	strcpy(t.instance, UUID);
	strcpy(t.app, "app");
	strcpy(t.user, "a");
	spell(label, t.label);
	spell(ceiling, t.ceiling);
	sign(&t);
	return t;
}

static void start(struct monitor *m, struct simple label, uint64_t seq)
{
	struct taint_value slot = { .seq = seq, .uuid = UUID };
	struct err err;
	spell(label, slot.label);
	assert_int_equal(monitor_init(m, policy, UUID, "app", &slot, &err), 0);
}

static const struct simple bottom = { 0, 0 }, top = { 3, 15 };

static void test_tickets(void **state)
{
	(void)state;
	struct monitor m;
	start(&m, bottom, 0);
	struct ticket t = make_ticket(5, TICKET_PRISTINE, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW + 1), TICKET_EXPIRED);
	assert_int_equal(m.seq, 0); /* a refused ticket changes nothing */
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	struct ticket other = t;
	strcpy(other.user, "b");
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_FORGED);
	sign(&other);
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_REPLAYED);
	other = make_ticket(4, 0, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_REPLAYED);
	other = make_ticket(6, 0, bottom, top);
	strcpy(other.app, "apq");
	sign(&other);
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_FOREIGN);
	other = make_ticket(6, 0, bottom, top);
	other.instance[0] = '2'; /* another instance of the same app */
	sign(&other);
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_FOREIGN);
	memset(other.user, 'x', sizeof other.user);
	sign(&other);
	assert_int_equal(monitor_ticket(&m, key, &other, NOW), TICKET_FORGED);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	monitor_free(&m);
}

/* Each call of a request comes with the same ticket: what its first ones have read stays. */
static void test_a_ticket_makes_pristine_once(void **state)
{
	(void)state;
	struct monitor m;
	uint64_t group;
	uint8_t cohort[MONITOR_COHORT_BYTES] = { 1 };
	struct label low = real(bottom), high = real((struct simple){ 2, 3 });
	start(&m, bottom, 0);
	struct ticket t = make_ticket(1, TICKET_PRISTINE, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	monitor_raise(&m, "q", &high, 1, cohort);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	assert_true(label_equal(policy, &m.label, &high));
	assert_false(monitor_only_query(&m, "other", &low, &group));
	monitor_free(&m);
}

/* One random life of an instance. */
static void live(unsigned *seed)
{
	struct monitor m;
	struct simple shadow = { (unsigned)rand_r(seed) % 2, 0 }, ceiling = shadow;
	bool fixed = rand_r(seed) % 4 == 0, pristine = !fixed && rand_r(seed) % 2;
	uint64_t seq = 0;
	uint8_t cohort[MONITOR_COHORT_BYTES] = { 0 };
	start(&m, shadow, 0);
	for (int i = 0; i < 200; i++) {
		struct simple d = { (unsigned)rand_r(seed) % 4, (unsigned)rand_r(seed) % 16 & (unsigned)rand_r(seed) };
		struct label l = real(d);
		int what = rand_r(seed) % 5;
		if (i == 0 || what == 0) {
			struct simple r = fixed ? shadow : (struct simple){ (unsigned)rand_r(seed) % 2, 0 };
			ceiling = (struct simple){ (unsigned)rand_r(seed) % 4, (unsigned)rand_r(seed) % 16 };
			struct ticket t =
				make_ticket(seq += 1 + (uint64_t)rand_r(seed) % 3,
					    (fixed ? TICKET_FIXED : 0) | (pristine ? TICKET_PRISTINE : 0), r, ceiling);
			assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
			shadow = pristine ? r : join(shadow, r);
		} else if (what < 4) {
			bool allowed = monitor_read(&m, &l).allowed;
			assert_int_equal(allowed, leq(d, fixed ? shadow : ceiling));
			if (allowed) {
				monitor_raise(&m, "q", &l, 1, cohort);
				shadow = fixed ? shadow : join(shadow, d);
			}
		} else {
			assert_int_equal(monitor_write(&m, &l).allowed, leq(shadow, d) && leq(d, ceiling));
		}
		struct label want = real(shadow);
		assert_true(label_equal(policy, &m.label, &want));
		struct taint_value slot;
		struct err err;
		struct label published;
		assert_int_equal(monitor_taint(&m, &slot, &err), 0);
		assert_int_equal(slot.seq, seq);
		assert_string_equal(slot.uuid, UUID);
		assert_int_equal(label_parse(policy, slot.label, &published, &err), 0);
		assert_true(label_equal(policy, &published, &want));
	}
	monitor_free(&m);
}

static void test_random_lives(void **state)
{
	(void)state;
	const char *given = getenv("PPCE_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	print_message("PPCE_TEST_SEED=%u\n", seed);
	for (int i = 0; i < 500; i++)
		live(&seed);
}

static void test_only_query(void **state)
{
	(void)state;
	struct monitor m;
	uint64_t group;
	uint8_t one[MONITOR_COHORT_BYTES] = { 1 }, two[MONITOR_COHORT_BYTES] = { 2 };
	struct label low = real(bottom), mid = real((struct simple){ 1, 0 }), high = real((struct simple){ 2, 3 });
	start(&m, bottom, 0);
	struct ticket t = make_ticket(1, TICKET_PRISTINE, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	assert_true(monitor_only_query(&m, "q", &low, &group));
	assert_int_equal(group, 0); /* it was not run */
	monitor_raise(&m, "q", &high, 5, one);
	assert_true(monitor_only_query(&m, "q", &low, &group));
	assert_int_equal(group, 5);
	monitor_raise(&m, "low", &mid, 1, two);
	assert_true(monitor_only_query(&m, "q", &mid, &group));
	assert_false(monitor_only_query(&m, "q", &low, &group));
	assert_false(monitor_only_query(&m, "low", &mid, &group));
	monitor_raise(&m, "q", &high, 5, one);
	assert_true(monitor_only_query(&m, "q", &mid, &group));
	assert_int_equal(group, 5);
	monitor_raise(&m, "q", &high, 6, two);
	assert_true(monitor_only_query(&m, "q", &mid, &group));
	assert_int_equal(group, 0);
	t = make_ticket(2, 0, bottom, top); /* not reset: it still has all that in its memory */
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	assert_false(monitor_only_query(&m, "q", &low, &group));
	t = make_ticket(3, TICKET_PRISTINE, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	assert_true(monitor_only_query(&m, "q", &low, &group));
	monitor_free(&m);
}

static void test_what_is_not_known_counts_as_everything(void **state)
{
	(void)state;
	struct monitor m;
	uint64_t group;
	uint8_t cohort[MONITOR_COHORT_BYTES] = { 0 };
	struct label l = real(bottom);
	char name[PPCE_NAME_SIZE];
	start(&m, bottom, 9); /* a store that was restarted */
	assert_false(monitor_only_query(&m, "q", &l, &group));
	assert_true(m.uses_unknown);
	struct ticket t = make_ticket(10, TICKET_PRISTINE, bottom, top);
	assert_int_equal(monitor_ticket(&m, key, &t, NOW), TICKET_OK);
	assert_false(m.uses_unknown);
	for (unsigned i = 0; i <= MONITOR_SOURCES_MAX; i++) {
		assert_true(monitor_only_query(&m, "q0", &l, &group));
		snprintf(name, sizeof name, "q%u", i);
		monitor_raise(&m, name, &l, 1, cohort);
	}
	assert_false(monitor_only_query(&m, "q0", &l, &group));
	for (unsigned i = 0; i <= MONITOR_USES_MAX; i++) {
		struct monitor_use use = { .automaton = "a", .category = "c" };
		assert_false(m.uses_unknown);
		snprintf(use.owner, sizeof use.owner, "p%u", i);
		monitor_add_use(&m, &use);
		monitor_add_use(&m, &use); /* once only */
	}
	assert_true(m.uses_unknown);
	assert_int_equal(m.nuses, MONITOR_USES_MAX);
	monitor_free(&m);
}

static int set_up(void **state)
{
	struct err err;
	(void)state;
	policy = policy_parse("policy", policy_text, strlen(policy_text), &err);
	return policy && sodium_init() >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	policy_free(policy);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_tickets),
					    cmocka_unit_test(test_a_ticket_makes_pristine_once),
					    cmocka_unit_test(test_only_query),
					    cmocka_unit_test(test_what_is_not_known_counts_as_everything),
					    cmocka_unit_test(test_random_lives) };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
