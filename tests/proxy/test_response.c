/* SPDX-License-Identifier: MIT
 *
 * Answers of hostile instances. Every input ends at a guard page, so that one byte read beyond it is a crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "proxy/response.h"
#include "tests/lib/guard.h"
#include "tests/proxy/answer.h"

static struct guard guard;

/* At most 7 bytes before the guard page are padding, as messages are 8-aligned: the length says where they end. */
static int decode(const struct answer *a, size_t len, struct response *out)
{
	struct err err;
	static _Alignas(8) char padded[65536];
	size_t whole = (len + 7) & ~(size_t)7;
	memset(padded, 'A', sizeof padded); /* no NUL beyond the end */
	memcpy(padded, a->bytes, len);
	return response_decode(guard_place(&guard, padded, whole), len, out, &err);
}

static int with_field(const char *name, const char *value, struct response *out)
{
	struct answer a;
	const char *fields[] = { name, value };
	answer_make(&a, 200, fields, 1, "hi", 2);
	return decode(&a, a.len, out);
}

static void test_good(void **state)
{
	(void)state;
	struct answer a;
	struct response r;
	const char *fields[] = { "Content-Type", "text/plain", "X-Tab", "a\tb \x80\xff" };
	answer_make(&a, 201, fields, 2, "body\0more", 9);
	assert_int_equal(decode(&a, a.len, &r), 0);
	assert_int_equal(r.status, 201);
	assert_int_equal(r.nfields, 2);
	assert_string_equal(r.fields[1].value, "a\tb \x80\xff");
	assert_int_equal(r.body_len, 9);
	assert_memory_equal(r.body, "body\0more", 9);
	for (uint32_t status = 204; status <= 304; status += 100) { /* these have no body, whatever the app says */
		answer_make(&a, status, NULL, 0, "HTTP/1.1 200 OK\r\n\r\n", 19);
		assert_int_equal(decode(&a, a.len, &r), 0);
		assert_int_equal(r.body_len, 0);
	}
}

static void test_truncated_everywhere(void **state)
{
	(void)state;
	struct answer a;
	struct response r;
	const char *fields[] = { "content-type", "text/plain", "x", "y" };
	answer_make(&a, 200, fields, 2, "0123456789", 10);
	for (size_t len = 0; len < a.len; len++)
		assert_int_equal(decode(&a, len, &r), -1);
	assert_int_equal(decode(&a, a.len, &r), 0);
}

/* Every 32-bit word of head and table at every dangerous value: refused or harmless, never a read outside. */
static void test_every_word(void **state)
{
	(void)state;
	static const uint32_t values[] = {
		0, 1, 23, 24, 40, 63, 64, 65, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff
	};
	struct answer a;
	struct response r;
	const char *fields[] = { "content-type", "text/plain", "x", "y" };
	for (size_t at = 0; at < sizeof(struct wire_response) + 2 * sizeof(struct wire_field); at += 4) {
		for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
			answer_make(&a, 200, fields, 2, "0123456789", 10);
			memcpy(a.bytes + at, &values[v], 4);
			if (decode(&a, a.len, &r) == 0)
				assert_in_range(r.body_len, 0, a.len);
		}
	}
}

static void test_bad_fields(void **state)
{
	(void)state;
	struct response r;
	assert_int_equal(with_field("bad name", "v", &r), -1);
	assert_int_equal(with_field("bad:name", "v", &r), -1);
	assert_int_equal(with_field("n\xc3\xa4me", "v", &r), -1);
	assert_int_equal(with_field("name\n", "v", &r), -1);
	assert_int_equal(with_field("name", "a\r\nSet-Cookie: ppce_session=evil", &r), -1);
	assert_int_equal(with_field("name", "a\nb", &r), -1);
	assert_int_equal(with_field("name", "a\x7f", &r), -1);
	assert_int_equal(with_field("name", "ok", &r), 0);
	assert_int_equal(r.nfields, 1);
	/* A NUL within the announced length. */
	assert_int_equal(response_field("name", 4, "a\0b", 3), RESPONSE_BAD);
	assert_int_equal(response_field("na\0me", 5, "v", 1), RESPONSE_BAD);
	assert_int_equal(response_field("", 0, "v", 1), RESPONSE_BAD);
}

static void test_dropped_fields(void **state)
{
	(void)state;
	static const char *const dropped[] = { "Content-Length",    "5",
					       "Transfer-Encoding", "chunked",
					       "Connection",	    "close",
					       "PPCE-Instance",	    "forged",
					       "ppce-start",	    "warm",
					       "Server-Timing",	    "x",
					       "Set-Cookie",	    "ppce_session=evil; Path=/",
					       "set-cookie",	    " PPCE_Session = x",
					       "Set-Cookie",	    "=ppce_session=evil",
					       "Set-Cookie",	    "ppce_session",
					       "Upgrade",	    "h2c" };
	struct response r;
	for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i += 2) {
		assert_int_equal(with_field(dropped[i], dropped[i + 1], &r), 0);
		if (r.nfields)
			fail_msg("%s: %s went through", dropped[i], dropped[i + 1]);
	}
	assert_int_equal(with_field("Set-Cookie", "mine=1; ppce_session=x", &r), 0);
	assert_int_equal(r.nfields, 1);
}

static void test_status(void **state)
{
	(void)state;
	struct answer a;
	struct response r;
	static const uint32_t bad[] = { 0, 100, 101, 199, 600, 1000, 0x800000c8 };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		answer_make(&a, bad[i], NULL, 0, "", 0);
		assert_int_equal(decode(&a, a.len, &r), -1);
	}
	struct err err;
	assert_int_equal(response_from_http(NULL, 0, 101, "", 0, &r, &err), -1);
}

static void test_release_by_http(void **state)
{
	(void)state;
	struct http_field fields[] = { { "X", "1" }, { "ppce-release", "1" }, { "PPCE-Release", "0" } };
	struct response r;
	struct err err;
	assert_int_equal(response_from_http(fields, 3, 200, "body", 4, &r, &err), 0);
	assert_true(r.release);
	assert_int_equal(r.nfields, 1); /* the claim itself does not leave */
	fields[1].value = "1 ";
	assert_int_equal(response_from_http(fields, 3, 200, "body", 4, &r, &err), 0);
	assert_false(r.release);
}

/* Sixty-four fields that all point at the same 30 KB: small on the channel, 2 MB on the client's connection. */
static void test_shared_bytes(void **state)
{
	(void)state;
	static char value[30001];
	struct answer a;
	struct response r;
	memset(value, 'v', sizeof value - 1);
	const char *fields[128];
	for (int i = 0; i < 128; i += 2) {
		fields[i] = "n";
		fields[i + 1] = i ? "" : value;
	}
	answer_make(&a, 200, fields, 64, "", 0);
	struct wire_field f;
	memcpy(&f, a.bytes + sizeof(struct wire_response), sizeof f);
	for (size_t i = 1; i < 64; i++)
		memcpy(a.bytes + sizeof(struct wire_response) + i * sizeof f, &f, sizeof f);
	assert_int_equal(decode(&a, a.len, &r), -1);
}

static int setup(void **state)
{
	(void)state;
	guard_init(&guard);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_free(&guard);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	       cmocka_unit_test(test_truncated_everywhere),
		cmocka_unit_test(test_every_word),     cmocka_unit_test(test_bad_fields),
		cmocka_unit_test(test_dropped_fields), cmocka_unit_test(test_release_by_http),
		cmocka_unit_test(test_status),	       cmocka_unit_test(test_shared_bytes),
	};
	return cmocka_run_group_tests_name("proxy/response", tests, setup, teardown);
}
