/* SPDX-License-Identifier: MIT
 *
 * The decoder of records: what senders may say, what stands in the log, and nothing beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/audit_record.h"
#include "tests/lib/guard.h"

#define HEAD "{\"daemon\":\"d\",\"event\":\"e\",\"allowed\":true"
#define TIME "2025-01-31T09:00:00.123456Z"

static const char full[] =
	"{\"daemon\":\"proxy\",\"event\":\"read\",\"request_id\":\"r\",\"actor\":\"ann\",\"class\":\"trainer\","
	"\"session\":\"s\","
	"\"purpose\":\"plan\",\"app\":\"records\",\"image\":\"ab\",\"instance\":\"i\",\"path\":\"/"
	"x\",\"address\":\"192.0.2.1\","
	"\"object\":\"team\",\"category\":\"raw\",\"owners\":\"p7/training\",\"label\":\"level=A\",\"before\":\"\","
	"\"after\":\"level=B\",\"allowed\":false,\"rule\":\"R2\",\"reason\":\"denied\",\"status\":403,\"epoch\":7,"
	"\"rows\":0}";
static const char canonical[] =
	"{\"actor\":\"ann\",\"address\":\"192.0.2.1\",\"after\":\"level=B\",\"allowed\":false,\"app\":\"records\","
	"\"category\":\"raw\",\"class\":\"trainer\",\"daemon\":\"proxy\",\"epoch\":7,\"event\":\"read\",\"image\":"
	"\"ab\","
	"\"instance\":\"i\",\"label\":\"level=A\",\"object\":\"team\",\"owners\":\"p7/training\",\"path\":\"/x\","
	"\"purpose\":\"plan\",\"reason\":\"denied\",\"request_id\":\"r\",\"rule\":\"R2\",\"seq\":41,\"session\":\"s\","
	"\"status\":403,\"time\":\"" TIME "\"}";

static int make(struct buf *b, const char *json, struct err *err)
{
	return audit_record_make(json, strlen(json), 41, TIME, b, err);
}

static void test_canonical(void **state)
{
	(void)state;
	struct buf b = { .cap = AUDIT_LINE_MAX };
	struct err err;
	assert_int_equal(make(&b, full, &err), 0);
	assert_string_equal(buf_text(&b), canonical);
	json_t *record = audit_record_read(canonical, strlen(canonical), 41, &err);
	assert_non_null(record);
	assert_string_equal(json_string_value(json_object_get(record, "object")), "team");
	json_decref(record);
	b.len = 0;
	assert_int_equal(
		make(&b,
		     HEAD ",\"path\":\"\\u00e9\\u0001\\u001f\\b\\t\\n\\u000b\\f\\r\\\"\\\\\\/\\u007f\\ud83d\\ude00\"}",
		     &err),
		0);
	assert_string_equal(buf_text(&b),
			    "{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"path\":\"\xc3\xa9"
			    "\\u0001\\u001f\\b\\t\\n\\u000b\\f\\r\\\"\\\\/\x7f\xf0\x9f\x98\x80\",\"seq\":41,"
			    "\"time\":\"" TIME "\"}");
	record = audit_record_read(b.data, b.len, 41, &err);
	assert_non_null(record);
	json_decref(record);
	buf_free(&b);
}

static const char *const malformed[] = {
	"",
	"{}",
	"[]",
	"3",
	"null",
	"\"x\"",
	"{",
	"nonsense",
	HEAD,
	HEAD "}}",
	HEAD "} ,",
	HEAD ",}",
	HEAD "}\n{}",
	"{\"daemon\":\"d\",\"event\":\"e\"}",
	"{\"daemon\":\"\",\"event\":\"e\",\"allowed\":true}",
	"{\"daemon\":\"d\",\"event\":\"\",\"allowed\":true}",
	"{\"daemon\":\"d\",\"allowed\":true}",
	"{\"event\":\"e\",\"allowed\":true}",
	HEAD ",\"seq\":41}",
	HEAD ",\"seq\":\"x\"}",
	HEAD ",\"time\":\"" TIME "\"}",
	HEAD ",\"who\":\"ann\"}",
	HEAD ",\"Actor\":\"ann\"}",
	HEAD ",\"\":\"ann\"}",
	HEAD ",\"actor\":3}",
	HEAD ",\"actor\":null}",
	HEAD ",\"actor\":[\"ann\"]}",
	HEAD ",\"actor\":{\"name\":\"ann\"}}",
	HEAD ",\"actor\":true}",
	HEAD ",\"actor\":\"a\",\"actor\":\"b\"}",
	HEAD ",\"status\":\"200\"}",
	HEAD ",\"status\":200.0}",
	HEAD ",\"status\":2e2}",
	HEAD ",\"status\":-1}",
	HEAD ",\"rows\":9007199254740992}",
	HEAD ",\"rows\":99999999999999999999}",
	HEAD ",\"allowed\":false}",
	HEAD ",\"actor\":\"a\\u0000b\"}",
	HEAD ",\"actor\":\"\xff\"}",
	HEAD ",\"actor\":\"\\ud800\"}",
	HEAD ",\"actor\":\"\xed\xa0\x80\"}",
	"{\"daemon\":\"d\",\"event\":\"e\",\"allowed\":1}",
	"{\"daemon\":1,\"event\":\"e\",\"allowed\":true}",
	HEAD ",\"path\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
};

static void test_malformed(void **state)
{
	(void)state;
	struct buf b = { .cap = AUDIT_LINE_MAX };
	struct err err;
	buf_puts(&b, "before");
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
		if (make(&b, malformed[i], &err) == 0)
			fail_msg("accepted: %s", malformed[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_string_equal(buf_text(&b), "before"); /* nothing is left behind */
	}
	buf_free(&b);
}

/* The largest record goes in, one byte more does not. */
static void test_bounds(void **state)
{
	(void)state;
	static char json[AUDIT_RECORD_MAX + 2];
	struct buf b = { .cap = AUDIT_LINE_MAX };
	struct err err;
	memset(json, 'x', sizeof json);
	memcpy(json, HEAD ",\"path\":\"", sizeof HEAD - 1 + 9);
	memcpy(json + AUDIT_RECORD_MAX - 2, "\"}", 2);
	assert_int_equal(audit_record_make(json, AUDIT_RECORD_MAX, UINT64_C(9007199254740991), TIME, &b, &err), 0);
	json_t *record = audit_record_read(b.data, b.len, UINT64_C(9007199254740991), &err);
	assert_non_null(record);
	json_decref(record);
	b.len = 0;
	memcpy(json + AUDIT_RECORD_MAX - 2, "x\"}", 3);
	assert_int_equal(audit_record_make(json, AUDIT_RECORD_MAX + 1, 0, TIME, &b, &err), -1);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* A stored line is read only as it was written: any other byte, and any other number, is noticed. */
static void test_read_is_strict(void **state)
{
	(void)state;
	static const char *const other[] = {
		"{\"allowed\":true, \"daemon\":\"d\",\"event\":\"e\",\"seq\":0,\"time\":\"t\"}",
		"{\"daemon\":\"d\",\"allowed\":true,\"event\":\"e\",\"seq\":0,\"time\":\"t\"}",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"seq\":0,\"time\":\"t\"} ",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"seq\":0}",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"time\":\"t\"}",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"seq\":1,\"time\":\"t\"}",
		"{\"allowed\":true,\"app\":\"\",\"daemon\":\"d\",\"event\":\"e\",\"seq\":0,\"time\":\"t\"}",
		"{\"allowed\":true,\"daemon\":\"\\u0064\",\"event\":\"e\",\"seq\":0,\"time\":\"t\"}",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"rows\":0,\"seq\":0,\"time\":\"t\"}",
		"{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"seq\":-0,\"time\":\"t\"}",
	};
	static const char good[] = "{\"allowed\":true,\"daemon\":\"d\",\"event\":\"e\",\"seq\":0,\"time\":\"t\"}";
	struct err err;
	json_t *record = audit_record_read(good, strlen(good), 0, &err);
	assert_non_null(record);
	json_decref(record);
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		if (audit_record_read(other[i], strlen(other[i]), 0, &err))
			fail_msg("accepted: %s", other[i]);
}

static void test_guard(void **state)
{
	(void)state;
	struct buf b = { .cap = AUDIT_LINE_MAX };
	struct guard g;
	struct err err;
	guard_init(&g);
	for (size_t len = 0; len < strlen(full); len++)
		assert_int_equal(audit_record_make(guard_place(&g, full, len), len, 1, TIME, &b, &err), -1);
	for (size_t len = 0; len < strlen(canonical); len++)
		assert_null(audit_record_read(guard_place(&g, canonical, len), len, 41, &err));
	for (size_t i = 0; i < strlen(full); i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			char copy[sizeof full];
			memcpy(copy, full, sizeof full);
			copy[i] = (char)(copy[i] ^ (1 << bit));
			b.len = 0;
			if (audit_record_make(guard_place(&g, copy, strlen(full)), strlen(full), 1, TIME, &b, &err) < 0)
				continue;
			json_t *record = audit_record_read(b.data, b.len, 1, &err); /* whatever goes in comes out */
			assert_non_null(record);
			json_decref(record);
		}
	guard_free(&g);
	buf_free(&b);
}

static void check_string(const char *text, size_t max, const char *wanted)
{
	struct buf b = { .cap = 1 << 20 };
	audit_put_string(&b, text, max);
	assert_string_equal(buf_text(&b), wanted);
	buf_free(&b);
}

/* Bytes that clients chose, cut to a length. */
static void test_strings(void **state)
{
	(void)state;
	check_string("", 8, "\"\"");
	check_string("a\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82", 99,
		     "\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf"
		     "\xbd\"");
	check_string("abcdef", 8, "\"abcdef\"");
	check_string("abcdefg", 8, "\"abc\xe2\x80\xa6\"");
	check_string("ab\xc3\xa9\xc3\xa9", 8, "\"ab\xc3\xa9\xc3\xa9\"");
	check_string("\x01\x02", 14, "\"\\u0001\\u0002\"");
	check_string("\x01\x02\x03", 14, "\"\\u0001\xe2\x80\xa6\"");
	char text[300], json[400];
	for (size_t max = 8; max < 64; max++)
		for (size_t n = 0; n < 200; n += 7) {
			struct buf b = { .cap = 1 << 20 };
			for (size_t i = 0; i < n; i++)
				text[i] = "a\x01\xff\"\\\xc3\xa9\n"[(i + max) % 8];
			text[n] = '\0';
			audit_put_string(&b, text, max);
			assert_true(b.len <= max);
			snprintf(json, sizeof json, "[%s]", buf_text(&b));
			json_t *list = json_loads(json, 0, NULL);
			assert_non_null(list);
			json_decref(list);
			buf_free(&b);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_canonical), cmocka_unit_test(test_malformed),
					    cmocka_unit_test(test_bounds),    cmocka_unit_test(test_read_is_strict),
					    cmocka_unit_test(test_guard),     cmocka_unit_test(test_strings) };
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
