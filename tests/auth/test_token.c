// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/token.h"

static void test_shape(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char a[TOKEN_TEXT_SIZE], b[TOKEN_TEXT_SIZE];
	uint8_t ha[SESSION_HASH_BYTES], hb[SESSION_HASH_BYTES], again[SESSION_HASH_BYTES];

	(void)state;
	token_new(a, ha);
	token_new(b, hb);
	assert_int_equal(strlen(a), 43);
	assert_int_equal(strspn(a, alphabet), 43);
	assert_string_not_equal(a, b);
	assert_memory_not_equal(ha, hb, sizeof ha);
	assert_int_equal(token_hash(a, again), 0);
	assert_memory_equal(ha, again, sizeof ha);
}

/* The contract of session.h: BLAKE2b-256 of the 43 characters. (Vector made with Python's hashlib.) */
static void test_hash_is_of_the_text(void **state)
{
	static const char text[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	char hex[2 * SESSION_HASH_BYTES + 1];
	uint8_t hash[SESSION_HASH_BYTES];

	(void)state;
	assert_int_equal(token_hash(text, hash), 0);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	assert_string_equal(hex, "6342b384e5d6294c5df1110132b93b97b395a2ff4cca498af637b3e06b3095dd");
}

static void test_other_texts_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"A",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",	/* 42 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 44 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",	/* bits beyond the 256 */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+AA",
		"AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA",
	};
	uint8_t hash[SESSION_HASH_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(token_hash(bad[i], hash), -1);
}

static void test_bearer(void **state)
{
	(void)state;
	assert_string_equal(token_from_bearer("Bearer abc"), "abc");
	assert_string_equal(token_from_bearer("bearer   abc"), "abc");
	assert_null(token_from_bearer(NULL));
	assert_null(token_from_bearer("Basic abc"));
	assert_null(token_from_bearer("Bearer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_hash_is_of_the_text),
		cmocka_unit_test(test_other_texts_are_refused),
		cmocka_unit_test(test_bearer),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
