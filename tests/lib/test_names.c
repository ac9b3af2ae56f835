/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/names.h"

static const char *repeat(char c, size_t n)
{
	static char text[128];
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

static void test_names(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "hello", "app-2", "v2", "loginx", "a--b", "z9" };
	static const char *const bad[] = { "",	     "A",	"1a",	 "-a",	   "a_b",	  "a b",
					   "a/b",    "a.b",	"login", "logout", "v1",	  "livez",
					   "readyz", "metrics", "../x",	 "a\n",	   "caf\xc3\xa9", "openapi-json" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(name_valid(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(name_valid(bad[i]));
	assert_true(name_valid(repeat('a', 32)));
	assert_false(name_valid(repeat('a', 33)));
	assert_false(name_valid(NULL));
}

static void test_queries(void **state)
{
	(void)state;
	static const char *const good[] = {
		"", "a", "mine", "my_training", "a-b", "a,b", "v1,login", "q2,q_,q-", "a,a"
	};
	static const char *const bad[] = { ",",	  "a,",	  ",a",	 "a,,b", "A",	"_a",  "-a",	      "1a",
					   "a b", "a, b", "a\n", "a;b",	 "a.b", "a/b", "caf\xc3\xa9", "a,B" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(queries_valid(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(queries_valid(bad[i]));
	assert_true(queries_valid(repeat('a', 32)));
	assert_false(queries_valid(repeat('a', 33)));
	assert_false(queries_valid(NULL));
	char list[PPCE_QUERIES_SIZE + 1];
	for (size_t i = 0; i < sizeof list; i++)
		list[i] = i % 2 ? ',' : 'a';
	list[PPCE_QUERIES_SIZE - 1] = '\0';
	assert_true(queries_valid(list));
	list[PPCE_QUERIES_SIZE - 1] = 'a';
	list[PPCE_QUERIES_SIZE] = '\0';
	assert_false(queries_valid(list));
}

static void test_users(void **state)
{
	(void)state;
	assert_true(user_valid("Alice"));
	assert_true(user_valid("7.of_9@borg-cube"));
	assert_false(user_valid(""));
	assert_false(user_valid(".alice"));
	assert_false(user_valid("-rf"));
	assert_false(user_valid("a b"));
	assert_false(user_valid("a\"b"));
	assert_false(user_valid("a/b"));
	assert_true(user_valid(repeat('u', 64)));
	assert_false(user_valid(repeat('u', 65)));
	assert_false(user_valid(NULL));
}

static void test_classes(void **state)
{
	(void)state;
	assert_true(class_valid("trainer"));
	assert_true(class_valid("A_b-9"));
	assert_false(class_valid(""));
	assert_false(class_valid("9a"));
	assert_false(class_valid("a.b"));
	assert_true(class_valid(repeat('c', 32)));
	assert_false(class_valid(repeat('c', 33)));
}

static void test_uuid(void **state)
{
	(void)state;
	char a[PPCE_UUID_SIZE], b[PPCE_UUID_SIZE];
	for (int i = 0; i < 100; i++) {
		uuid_new(a);
		uuid_new(b);
		assert_true(uuid_valid(a));
		assert_string_not_equal(a, b);
		assert_int_equal(a[14], '4');
		assert_non_null(strchr("89ab", a[19]));
	}
	assert_true(uuid_valid("123e4567-e89b-42d3-a456-426614174000"));
	assert_false(uuid_valid("123E4567-E89B-42D3-A456-426614174000"));
	assert_false(uuid_valid("123e4567-e89b-42d3-a456-42661417400"));
	assert_false(uuid_valid("123e4567-e89b-42d3-a456-4266141740000"));
	assert_false(uuid_valid("123e4567ee89b-42d3-a456-426614174000"));
	assert_false(uuid_valid("123e4567-e89b-42d3-a456-42661417400-"));
	assert_false(uuid_valid(""));
	assert_false(uuid_valid(NULL));
}

static void test_clocks(void **state)
{
	(void)state;
	uint64_t first = clock_ns();
	assert_true(clock_ns() >= first);
	assert_true(clock_unix() > 1600000000);
}

/* FIPS 180-2's own examples, an empty file, and one that takes several reads. */
static void test_digest(void **state)
{
	(void)state;
	char hex[PPCE_DIGEST_SIZE];
	struct err err;
	int fd = memfd_create("digest", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(digest_file(fd, hex, &err), 0);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(digest_file(fd, hex, &err), 0);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 3); /* its position did not move */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	char *million = malloc(1000000);
	memset(million, 'a', 1000000);
	assert_int_equal(write(fd, million, 1000000), 1000000);
	free(million);
	assert_int_equal(digest_file(fd, hex, &err), 0);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	close(fd);
}

static void test_digest_unreadable(void **state)
{
	(void)state;
	char hex[PPCE_DIGEST_SIZE];
	struct err err;
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(digest_file(pipe_fds[0], hex, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),  cmocka_unit_test(test_queries),
		cmocka_unit_test(test_users),  cmocka_unit_test(test_classes),
		cmocka_unit_test(test_uuid),   cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_digest), cmocka_unit_test(test_digest_unreadable),
	};
	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
