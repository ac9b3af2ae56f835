/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/buf.h"

static void test_append(void **state)
{
	(void)state;
	struct buf b = { .cap = 1000 };
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_int_equal(buf_puts(&b, "one "), 0);
	assert_int_equal(buf_printf(&b, "%d %s", 2, "three"), 0);
	assert_string_equal(buf_text(&b), "one 2 three");
	buf_consume(&b, 4);
	assert_string_equal(buf_text(&b), "2 three");
	buf_consume(&b, b.len);
	assert_string_equal(buf_text(&b), "");
	char *room = buf_reserve(&b, 3);
	assert_non_null(room);
	memcpy(room, "abc", 3);
	b.len += 3;
	assert_string_equal(buf_text(&b), "abc");
	buf_free(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 1000);
	assert_int_equal(buf_puts(&b, "again"), 0);
	assert_string_equal(buf_text(&b), "again");
	buf_free(&b);
}

/* Exactly the cap fits; one byte more is refused whole, and stays refused. */
static void test_cap(void **state)
{
	(void)state;
	for (size_t cap = 0; cap < 300; cap++) {
		struct buf b = { .cap = cap };
		for (size_t i = 0; i < cap; i++)
			assert_int_equal(buf_append(&b, "x", 1), 0);
		assert_false(b.failed);
		assert_int_equal(strlen(buf_text(&b)), cap);
		assert_int_equal(buf_append(&b, "yz", 2), -1);
		assert_int_equal(b.len, cap);
		assert_true(b.failed);
		assert_int_equal(buf_append(&b, "", 0), -1);
		assert_int_equal(buf_puts(&b, ""), -1);
		assert_int_equal(buf_printf(&b, "%s", ""), -1);
		assert_null(buf_reserve(&b, 0));
		assert_string_equal(buf_text(&b), "");
		buf_free(&b);
		assert_false(b.failed);
	}
}

static void test_printf_at_cap(void **state)
{
	(void)state;
	struct buf b = { .cap = 10 };
	assert_int_equal(buf_printf(&b, "%010d", 1), 0);
	assert_string_equal(buf_text(&b), "0000000001");
	assert_int_equal(buf_printf(&b, "%d", 1), -1);
	assert_int_equal(b.len, 10);
	buf_free(&b);
	assert_int_equal(buf_printf(&b, "%011d", 1), -1);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void test_no_wrap(void **state)
{
	(void)state;
	struct buf b = { .cap = 100 };
	assert_int_equal(buf_puts(&b, "12345"), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_int_equal(b.len, 5);
	buf_free(&b);
	assert_null(buf_reserve(&b, SIZE_MAX - 4));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_printf_at_cap),
		cmocka_unit_test(test_no_wrap),
	};
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
