/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rest.h"
#include "tests/lib/guard.h"

static json_t *decode(const char *text)
{
	struct err err;
	return json_decode(text, strlen(text), &err);
}

static void refuse(const char *text, const char *part)
{
	struct err err = { 0 };
	assert_null(json_decode(text, strlen(text), &err));
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("", "empty");
	refuse("{", "line 1");
	refuse("{\"a\":1,\n\"a\":2}", "line 2");
	refuse("{\"a\":\"x\\u0000y\"}", "bad JSON");
	refuse("{\"a\":1}x", "bad JSON");
	refuse("\"text\"", "bad JSON");
	refuse("{\"a\":99999999999999999999}", "bad JSON");
	refuse("{\"a\":\"\xff\"}", "bad JSON");
	refuse("{a:1}", "bad JSON");
}

static void test_depth(void **state)
{
	(void)state;
	char text[8200];
	struct err err;
	for (size_t depth = 1; depth <= 4000; depth = depth < 20 ? depth + 1 : depth * 7) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		json_t *v = json_decode(text, 2 * depth, &err);
		if (depth <= 16) {
			assert_non_null(v);
			json_decref(v);
		} else {
			assert_null(v);
			assert_non_null(strstr(err.text, "deeper"));
		}
	}
	json_t *v = decode("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]"); /* brackets in strings do not count */
	assert_non_null(v);
	json_decref(v);
}

static void test_text(void **state)
{
	(void)state;
	json_t *o = decode("{\"name\":\"hello\",\"n\":7,\"none\":null}");
	char out[6];
	struct err err;
	assert_int_equal(json_get_text(o, "name", out, sizeof out, &err), 0);
	assert_string_equal(out, "hello");
	assert_int_equal(json_get_text(o, "absent", out, sizeof out, &err), 0);
	assert_string_equal(out, "");
	assert_int_equal(json_get_text(o, "name", out, 5, &err), -1);
	assert_string_equal(err.text, "name: longer than 4 bytes");
	assert_string_equal(out, "");
	assert_int_equal(json_get_text(o, "n", out, sizeof out, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, "n: "));
	assert_int_equal(json_get_text(o, "none", out, sizeof out, &err), -1);
	json_decref(o);
}

static void test_numbers(void **state)
{
	(void)state;
	json_t *o = decode("{\"n\":7,\"r\":7.5,\"t\":\"7\",\"b\":true}");
	long long n;
	bool b;
	struct err err;
	assert_int_equal(json_get_int(o, "n", 7, 7, 0, &n, &err), 0);
	assert_int_equal(n, 7);
	assert_int_equal(json_get_int(o, "absent", 1, 9, 5, &n, &err), 0);
	assert_int_equal(n, 5);
	assert_int_equal(json_get_int(o, "n", 8, 9, 8, &n, &err), -1);
	assert_string_equal(err.text, "n: 7 is not within 8..9");
	assert_int_equal(json_get_int(o, "n", 1, 6, 1, &n, &err), -1);
	assert_int_equal(json_get_int(o, "r", 1, 9, 1, &n, &err), -1);
	assert_int_equal(json_get_int(o, "t", 1, 9, 1, &n, &err), -1);
	assert_int_equal(json_get_int(o, "b", 0, 9, 1, &n, &err), -1);
	assert_int_equal(json_get_bool(o, "b", false, &b, &err), 0);
	assert_true(b);
	assert_int_equal(json_get_bool(o, "absent", true, &b, &err), 0);
	assert_true(b);
	assert_int_equal(json_get_bool(o, "n", false, &b, &err), -1);
	assert_false(b);
	json_decref(o);
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const names[] = { "listen", "log_level", "expose_timing", "A", "B", NULL };
	static const char *const none[] = { NULL };
	char big[1000];
	assert_string_equal(text_nearest("lisen", names), "listen");
	assert_string_equal(text_nearest("LISTEN", names), "listen");
	assert_string_equal(text_nearest("loglevel", names), "log_level");
	assert_string_equal(text_nearest("expose_timinng", names), "expose_timing");
	assert_string_equal(text_nearest("a", names), "A");
	assert_null(text_nearest("C", names));
	assert_null(text_nearest("xyz", names));
	assert_null(text_nearest("expose_tim", none));
	assert_null(text_nearest("expose_t", names)); /* distance 5 */
	assert_null(text_nearest("", names));
	memset(big, 'l', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	assert_null(text_nearest(big, names));
}

/* Every prefix of a document, each ending at an unreadable page; only the whole one may decode. */
static void test_guard(void **state)
{
	(void)state;
	static const char text[] =
		"{\"a\":[1,-2.5e3,\"\\u00e9\\ud83d\\ude00\\n\",{\"b\":null}],\"c\":\"\xc3\xa9\",\"d\":true}";
	struct guard g;
	struct err err;
	guard_init(&g);
	for (size_t len = 0; len < sizeof text; len++) {
		json_t *v = json_decode(guard_place(&g, text, len), len, &err);
		assert_int_equal(v != NULL, len == sizeof text - 1);
		json_decref(v);
	}
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_depth),	cmocka_unit_test(test_text),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_nearest), cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
