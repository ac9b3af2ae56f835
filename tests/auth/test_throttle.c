// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/throttle.h"

#define S 1000000000ull
#define T0 (1000 * S)

static uint64_t key_of(struct throttle *t, unsigned n)
{
	char text[16];

	return throttle_key(t, text, (size_t)snprintf(text, sizeof text, "u%u", n));
}

static void test_limit_and_refill(void **state)
{
	struct throttle *t = throttle_new(64, 10);
	uint64_t key = key_of(t, 1);

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(throttle_take(t, key, T0), 0);
	assert_int_equal(throttle_take(t, key, T0), 6);
	assert_int_equal(throttle_take(t, key, T0 + 5 * S), 1);
	assert_int_equal(throttle_take(t, key, T0 + 6 * S), 0);
	assert_int_equal(throttle_take(t, key, T0 + 6 * S), 6);
	/* A minute later all tries are back, and not more than all. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(throttle_take(t, key, T0 + 3600 * S), 0);
	assert_int_equal(throttle_take(t, key, T0 + 3600 * S), 6);
	throttle_free(t);
}

static void test_refused_tries_cost_nothing(void **state)
{
	struct throttle *t = throttle_new(64, 2);
	uint64_t key = key_of(t, 1);

	(void)state;
	throttle_take(t, key, T0);
	throttle_take(t, key, T0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(throttle_take(t, key, T0), 30);
	assert_int_equal(throttle_take(t, key, T0 + 30 * S), 0);
	throttle_free(t);
}

static void test_give_back_is_one_try(void **state)
{
	struct throttle *t = throttle_new(64, 3);
	uint64_t key = key_of(t, 1), other = key_of(t, 2);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(throttle_take(t, key, T0), 0);
	assert_int_equal(throttle_take(t, other, T0), 0);
	throttle_give_back(t, key);
	assert_int_equal(throttle_take(t, key, T0), 0);
	assert_int_not_equal(throttle_take(t, key, T0), 0);
	/* Of a key that isn't there: nothing happens to others. */
	throttle_give_back(t, key_of(t, 3));
	assert_int_not_equal(throttle_take(t, key, T0), 0);
	throttle_free(t);
}

static void test_keys_do_not_share(void **state)
{
	struct throttle *t = throttle_new(64, 1);

	(void)state;
	assert_int_equal(throttle_take(t, key_of(t, 1), T0), 0);
	assert_int_equal(throttle_take(t, key_of(t, 2), T0), 0);
	assert_int_not_equal(throttle_take(t, key_of(t, 1), T0), 0);
	throttle_free(t);
}

/* One set only, so that every name collides: however many made-up names come, the victim stays locked until its time. */
static void test_flood_resets_nobody(void **state)
{
	struct throttle *t = throttle_new(THROTTLE_WAYS, 10);
	uint64_t victim = key_of(t, 0);

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(throttle_take(t, victim, T0), 0);
	for (unsigned n = 1; n < 5000; n++) {
		throttle_take(t, key_of(t, n), T0 + n);
		assert_int_not_equal(throttle_peek(t, victim, T0 + n), 0);
	}
	/* And the flood itself is bounded: 8 entries of 10 tries each, no matter under how many names. */
	assert_int_not_equal(throttle_take(t, key_of(t, 9999), T0 + 5000), 0);
	throttle_free(t);
}

/* Half-used counters that are pushed out come back with at least what they had. */
static void test_evicted_counts_are_kept(void **state)
{
	struct throttle *t = throttle_new(THROTTLE_WAYS, 10);
	uint64_t victim = key_of(t, 0);
	unsigned left = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(throttle_take(t, victim, T0), 0);
	for (unsigned n = 1; n <= 8; n++)
		for (int i = 0; i < 5; i++)
			throttle_take(t, key_of(t, n), T0);
	while (!throttle_take(t, victim, T0))
		left++;
	assert_in_range(left, 0, 6);
	throttle_free(t);
}

static void test_idle_entries_are_free(void **state)
{
	struct throttle *t = throttle_new(THROTTLE_WAYS, 10);

	(void)state;
	for (unsigned n = 0; n < 5000; n++)
		throttle_take(t, key_of(t, n), T0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(throttle_take(t, key_of(t, 77777), T0 + 61 * S), 0);
	throttle_free(t);
}

static void assert_same(const char *a, const char *b, int same)
{
	unsigned char x[64], y[64];
	size_t nx = throttle_address(a, x), ny = throttle_address(b, y);

	assert_int_equal(nx == ny && !memcmp(x, y, nx), same);
}

static void test_addresses(void **state)
{
	char longest[64];

	(void)state;
	assert_same("192.0.2.1:4711", "192.0.2.1", 1);
	assert_same("192.0.2.1", "192.0.2.2", 0);
	assert_same("::ffff:192.0.2.1", "192.0.2.1", 1);
	assert_same("[2001:db8::1]:80", "2001:db8::2", 1);
	assert_same("2001:db8::1", "2001:db8:0:1::1", 0);
	assert_same("unix", "unix", 1);
	assert_same("unix", "tty", 0);
	assert_same("", "", 1);
	memset(longest, '[', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	assert_same(longest, longest, 1);
	memset(longest, 'x', sizeof longest - 1);
	assert_same(longest, longest, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_refill),      cmocka_unit_test(test_refused_tries_cost_nothing),
		cmocka_unit_test(test_give_back_is_one_try),  cmocka_unit_test(test_keys_do_not_share),
		cmocka_unit_test(test_flood_resets_nobody),   cmocka_unit_test(test_evicted_counts_are_kept),
		cmocka_unit_test(test_idle_entries_are_free), cmocka_unit_test(test_addresses),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
