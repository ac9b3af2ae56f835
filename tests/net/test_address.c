/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/address.h"

#define S 1000000000ull
#define BASE 0x0a4d0000u /* 10.77.0.0 */

static void test_every_address_once(void **state)
{
	(void)state;
	static const struct {
		unsigned prefix, total;
	} sizes[] = { { 29, 5 }, { 28, 13 }, { 22, 1021 }, { 16, 65533 } };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct addresses a;
		struct err err;
		uint32_t got;
		assert_int_equal(addresses_init(&a, BASE, sizes[i].prefix, 60, &err), 0);
		assert_int_equal(a.gateway, BASE + 1);
		for (unsigned k = 0; k < sizes[i].total; k++) {
			assert_int_equal(address_take(&a, 0, &got, &err), 0);
			assert_int_equal(got, BASE + 2 + k);
		}
		assert_int_equal(address_take(&a, 0, &got, &err), -1);
		assert_int_equal(err.kind, ERR_FULL);
		assert_int_equal(got, BASE + (1u << (32 - sizes[i].prefix)) - 2); /* the last is the broadcast's */
		addresses_end(&a);
	}
}

static void test_rest(void **state)
{
	(void)state;
	struct addresses a;
	struct err err;
	uint32_t got[5], again;
	assert_int_equal(addresses_init(&a, BASE, 29, 60, &err), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(address_take(&a, S, &got[i], &err), 0);
	address_give(&a, got[3], 10 * S);
	address_give(&a, got[0], 20 * S);
	assert_int_equal(addresses_resting(&a, 69 * S), 2);
	assert_int_equal(address_take(&a, 70 * S - 1, &again, &err), -1);
	assert_int_equal(err.kind, ERR_FULL);
	assert_non_null(strstr(err.text, "3 of 5 are in use, 2 wait after use"));
	assert_non_null(strstr(err.text, "for another 1 s"));
	assert_int_equal(addresses_resting(&a, 70 * S), 1);
	assert_int_equal(address_take(&a, 70 * S, &again, &err), 0);
	assert_int_equal(again, got[3]); /* the one given back longest ago */
	assert_int_equal(address_take(&a, 70 * S, &again, &err), -1);
	assert_int_equal(address_take(&a, 80 * S, &again, NULL), 0);
	assert_int_equal(again, got[0]);
	addresses_end(&a);
}

static void test_return(void **state)
{
	(void)state;
	struct addresses a;
	struct err err;
	uint32_t first, second, again;
	assert_int_equal(addresses_init(&a, BASE, 29, 60, &err), 0);
	assert_int_equal(address_take(&a, S, &first, &err), 0);
	assert_int_equal(address_take(&a, S, &second, &err), 0);
	address_return(&a, second);
	assert_int_equal(address_take(&a, S, &again, &err), 0);
	assert_int_equal(again, second); /* nobody has used it: no rest */
	assert_int_equal(addresses_resting(&a, S), 0);
	addresses_end(&a);
}

/* Taken and given back at random, none is ever out twice, and none comes back before its time. */
static void test_random_use(void **state)
{
	(void)state;
	enum { TOTAL = 13, REST = 7 };
	uint64_t free_since[TOTAL] = { 0 }, now = 100 * S;
	bool out[TOTAL] = { 0 };
	uint32_t held[TOTAL], x = 12345;
	unsigned nheld = 0;
	struct addresses a;
	struct err err;
	assert_int_equal(addresses_init(&a, BASE, 28, REST, &err), 0);
	for (int i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		now += (x >> 20) % 2 * S;
		uint32_t got;
		if ((x >> 28) & 1 && address_take(&a, now, &got, &err) == 0) {
			unsigned n = got - BASE - 2;
			assert_true(n < TOTAL && !out[n] && free_since[n] <= now);
			out[n] = true;
			held[nheld++] = got;
		} else if (nheld) {
			unsigned k = (x >> 8) % nheld, n = held[k] - BASE - 2;
			out[n] = false;
			free_since[n] = now + REST * S;
			address_give(&a, held[k], now);
			held[k] = held[--nheld];
		}
	}
	addresses_end(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_address_once),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_random_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
