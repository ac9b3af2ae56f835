/* SPDX-License-Identifier: MIT
 *
 * The log lines of lib/log.h: what hostile bytes do to them.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/log.h"

static size_t capture_log(char *out, size_t size, enum log_level level, const char *arg)
{
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	log_line(level, "peer says %s", arg);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipe_fds[1]);
	ssize_t n = read(pipe_fds[0], out, size - 1);
	close(pipe_fds[0]);
	assert_true(n >= 0);
	out[n] = '\0';
	return (size_t)n;
}

static void test_log(void **state)
{
	(void)state;
	char out[4096], big[5000];
	enum log_level level;
	log_init("ppce-test", LOG_LEVEL_WARN);
	capture_log(out, sizeof out, LOG_LEVEL_WARN, "a\n2020 error forged\033[2J\xc2\x9b\xc3\xa9");
	assert_non_null(strstr(out, " warn  ppce-test: peer says a\\x0a2020 error forged\\x1b[2J\xc2\\x9b\xc3\xa9\n"));
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1); /* one line */
	assert_int_equal(capture_log(out, sizeof out, LOG_LEVEL_INFO, "quiet"), 0);
	memset(big, 1, sizeof big - 1);
	big[sizeof big - 1] = '\0';
	size_t n = capture_log(out, sizeof out, LOG_LEVEL_ERROR, big);
	assert_true(n <= 2048);
	assert_int_equal(out[n - 1], '\n');
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("Debug", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_log) };
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
