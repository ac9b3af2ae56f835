/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/err.h"

/* Written out a second time: these three are promises to users and scripts. */
static const struct {
	enum err_kind kind;
	int status, exit_code;
	const char *code;
} table[] = {
	{ ERR_INTERNAL, 500, 1, "internal" },
	{ ERR_INVALID, 400, 2, "invalid" },
	{ ERR_UNAUTHENTICATED, 401, 4, "unauthenticated" },
	{ ERR_DENIED, 403, 4, "denied" },
	{ ERR_NOT_FOUND, 404, 3, "not-found" },
	{ ERR_METHOD, 405, 2, "method-not-allowed" },
	{ ERR_TIMEOUT_CLIENT, 408, 7, "request-timeout" },
	{ ERR_CONFLICT, 409, 6, "conflict" },
	{ ERR_TOO_LARGE, 413, 2, "too-large" },
	{ ERR_URI_TOO_LONG, 414, 2, "uri-too-long" },
	{ ERR_TOO_MANY, 429, 6, "too-many-requests" },
	{ ERR_HEADERS_LARGE, 431, 2, "headers-too-large" },
	{ ERR_BAD_GATEWAY, 502, 1, "instance-failed" },
	{ ERR_UNAVAILABLE, 503, 5, "unavailable" },
	{ ERR_FULL, 503, 6, "full" },
	{ ERR_TIMEOUT, 504, 7, "deadline" },
	{ ERR_CONFIG, 500, 78, "bad-config" },
};

static void test_table(void **state)
{
	(void)state;
	assert_int_equal(sizeof table / sizeof *table, ERR_KINDS - 1); /* no kind without a line here */
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		assert_int_equal(err_http_status(table[i].kind), table[i].status);
		assert_int_equal(err_exit_code(table[i].kind), table[i].exit_code);
		assert_string_equal(err_code(table[i].kind), table[i].code);
		assert_int_equal(err_from_code(table[i].code), table[i].kind);
	}
	assert_int_equal(err_exit_code(ERR_NONE), 0);
}

static void test_out_of_range(void **state)
{
	(void)state;
	assert_int_equal(err_http_status((enum err_kind)9999), 500);
	assert_string_equal(err_code((enum err_kind) - 1), "internal");
	assert_int_equal(err_from_code("no-such-code"), ERR_INTERNAL);
	assert_int_equal(err_from_code("ok"), ERR_INTERNAL);
	assert_int_equal(err_from_code(NULL), ERR_INTERNAL);
}

static void test_texts(void **state)
{
	(void)state;
	struct err err;
	assert_int_equal(err_set(&err, ERR_INVALID, "no %s", "milk"), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(err.text, "no milk");
	assert_int_equal(err_prefix(&err, "shop %d", 7), -1);
	assert_string_equal(err.text, "shop 7: no milk");
	assert_int_equal(err.kind, ERR_INVALID);
	errno = ENOENT;
	assert_int_equal(err_errno(&err, ERR_NOT_FOUND, "%s", "a"), -1);
	assert_string_equal(err.text, "a: No such file or directory");
	assert_int_equal(errno, ENOENT);
	assert_int_equal(err_set(NULL, ERR_INVALID, "nobody listens"), -1);
	assert_int_equal(err_errno(NULL, ERR_INVALID, "nobody listens"), -1);
	assert_int_equal(err_prefix(NULL, "nobody listens"), -1);
}

static void test_hostile_texts(void **state)
{
	(void)state;
	struct err err;
	char big[4096];
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	err_set(&err, ERR_INVALID, "%s", big);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	err_prefix(&err, "%s", "p");
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	assert_memory_equal(err.text, "p: xxx", 6);
	errno = EIO;
	err_errno(&err, ERR_INTERNAL, "%s", big);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	err_set(&err, ERR_INVALID, "a\nb\033[2Jc\x7f");
	assert_string_equal(err.text, "a?b?[2Jc?");
	err_set(&err, ERR_DENIED, "again: %s", err.text); /* an argument that is the text itself */
	assert_string_equal(err.text, "again: a?b?[2Jc?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_hostile_texts),
	};
	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
