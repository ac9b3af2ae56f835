// SPDX-License-Identifier: MIT
//
// A guest's call: every truncation and every single-bit change, right before a page that cannot be read.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calls.h"
#include "tests/lib/guard.h"

static const struct call_value sample[] = {
	{ .type = DATA_NULL },
	{ .type = DATA_INT, .integer = INT64_MIN },
	{ .type = DATA_REAL, .real = 0.5 },
	{ .type = DATA_TEXT, .bytes = "seven..", .len = 7 },
	{ .type = DATA_TEXT, .bytes = "", .len = 0 },
	{ .type = DATA_BLOB, .bytes = "\0\1\2", .len = 3 },
	{ .type = DATA_BLOB, .bytes = "", .len = 0 },
};
#define SAMPLE (sizeof sample / sizeof *sample)

static void test_decodes_every_type(void **state)
{
	(void)state;
	char bytes[512];
	struct call_view v;
	size_t len = call_encode(bytes, "my_query", sample, SAMPLE);
	assert_int_equal(call_decode(bytes, len, &v), 0);
	assert_string_equal(v.name, "my_query");
	assert_int_equal(v.count, SAMPLE);
	assert_true(v.value[1].integer == INT64_MIN);
	assert_true(v.value[2].real == 0.5);
	assert_string_equal(v.value[3].bytes, "seven..");
	assert_int_equal(v.value[4].len, 0);
	assert_memory_equal(v.value[5].bytes, "\0\1\2", 3);
	assert_int_equal(v.value[6].len, 0);
}

/* Whatever is accepted lies within the bytes. */
static void check(const char *bytes, size_t len)
{
	struct call_view v;
	if (call_decode(bytes, len, &v) < 0)
		return;
	assert_true(strlen(v.name) > 0 && strlen(v.name) < PPCE_NAME_SIZE);
	assert_true(v.count <= PPCE_VALUES_MAX);
	for (size_t i = 0; i < v.count; i++) {
		const struct call_value *one = &v.value[i];
		if (one->type == DATA_TEXT)
			assert_int_equal(strlen(one->bytes), one->len);
		if (one->type == DATA_TEXT || one->type == DATA_BLOB)
			assert_true(one->bytes >= bytes && one->bytes + one->len <= bytes + len);
	}
}

static void test_truncated_and_flipped(void **state)
{
	(void)state;
	char bytes[512];
	struct guard g;
	struct call_view v;
	size_t len = call_encode(bytes, "q", sample, SAMPLE);
	guard_init(&g);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(call_decode(guard_place(&g, bytes, n), n, &v), -1);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
		check(guard_place(&g, bytes, len), len);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
	}
	guard_free(&g);
}

static void test_refuses(void **state)
{
	(void)state;
	char bytes[4096];
	struct call_view v;
	struct call_value many[PPCE_VALUES_MAX + 1] = { 0 };
	size_t len = call_encode(bytes, "q", many, PPCE_VALUES_MAX);
	assert_int_equal(call_decode(bytes, len, &v), 0);
	len = call_encode(bytes, "q", many, PPCE_VALUES_MAX + 1);
	assert_int_equal(call_decode(bytes, len, &v), -1);
	len = call_encode(bytes, "", NULL, 0);
	assert_int_equal(call_decode(bytes, len, &v), -1);
	len = call_encode(bytes, "a-name-of-33-characters-is-too-lo", NULL, 0);
	assert_int_equal(call_decode(bytes, len, &v), -1);
	len = call_encode(bytes, "q", NULL, 0);
	bytes[len - 1] = 1; /* padding */
	assert_int_equal(call_decode(bytes, len, &v), -1);
	struct call_value nul = { .type = DATA_TEXT, .bytes = "a\0b", .len = 3 };
	len = call_encode(bytes, "q", &nul, 1);
	assert_int_equal(call_decode(bytes, len, &v), -1);
	struct call_value huge = { .type = DATA_BLOB, .bytes = "x", .len = 1 };
	len = call_encode(bytes, "q", &huge, 1);
	uint32_t lengths[] = { 0, 9, 0x7fffffff, 0xfffffff8, 0xffffffff };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		memcpy(bytes + 20, &lengths[i], 4); /* head, name, then the value's type */
		assert_int_equal(call_decode(bytes, len, &v), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_decodes_every_type),
					    cmocka_unit_test(test_truncated_and_flipped),
					    cmocka_unit_test(test_refuses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
