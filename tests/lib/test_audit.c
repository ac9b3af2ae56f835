/* SPDX-License-Identifier: MIT
 *
 * The audit lines, and the log lines of lib/log.h: what hostile bytes do to either.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "lib/audit.h"
#include "lib/log.h"

static char path[] = "/tmp/ppce-test-audit-XXXXXX";

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	close(fd);
	return fd < 0 || unlink(path) < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

/* The lines of the file, each decoded; fails the test if one is not a JSON object. Returns how many. */
static size_t read_lines(json_t **out, size_t max)
{
	static char text[1 << 20];
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = 0;
	while (fgets(text, sizeof text, f)) {
		assert_true(n < max);
		out[n++] = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	}
	fclose(f);
	return n;
}

static const char *member(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void test_record(void **state)
{
	(void)state;
	struct err err;
	struct stat st;
	json_t *lines[4] = { NULL };
	struct audit *a = audit_open(path, "ppce-proxy", &err);
	assert_non_null(a);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct audit_record r = { .event = "request",
				  .actor = "alice",
				  .path = "/x\"\\\n\033\x7f\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82",
				  .label = "",
				  .allowed = true,
				  .rule = "R1",
				  .status = 200 };
	assert_int_equal(audit_write(a, &r, &err), 0);
	r = (struct audit_record){ .event = "login", .reason = "denied" };
	assert_int_equal(audit_write(a, &r, &err), 0);
	audit_close(a);
	assert_int_equal(read_lines(lines, 4), 2);
	assert_non_null(lines[0]);
	assert_string_equal(member(lines[0], "daemon"), "ppce-proxy");
	assert_string_equal(member(lines[0], "actor"), "alice");
	assert_string_equal(member(lines[0], "path"),
			    "/x\"\\\n\033\x7f\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80"
			    "\xef\xbf\xbd\xef\xbf\xbd");
	assert_null(json_object_get(lines[0], "label")); /* empty and absent ones are left out */
	assert_null(json_object_get(lines[0], "session"));
	assert_true(json_is_true(json_object_get(lines[0], "allowed")));
	assert_int_equal(json_integer_value(json_object_get(lines[0], "status")), 200);
	assert_true(json_is_false(json_object_get(lines[1], "allowed")));
	assert_null(json_object_get(lines[1], "status"));
	json_decref(lines[0]);
	json_decref(lines[1]);
}

/* The longest path that a configuration allows, of the bytes that grow most; and one that cannot be written. */
static void test_long_path(void **state)
{
	(void)state;
	struct err err;
	json_t *lines[2] = { NULL };
	char *text = malloc(100001);
	struct audit *a = audit_open(path, "d", &err);
	memset(text, 1, 100000);
	text[100000] = '\0';
	struct audit_record r = { .event = "request", .path = text };
	assert_int_equal(audit_write(a, &r, &err), -1);
	text[65536] = '\0';
	assert_int_equal(audit_write(a, &r, &err), 0);
	audit_close(a);
	assert_int_equal(read_lines(lines, 2), 1);
	assert_string_equal(member(lines[0], "path"), text);
	json_decref(lines[0]);
	free(text);
}

/* A full disk, played by a file size limit: the record fails, and the next one is a whole line again. */
static void test_disk_full(void **state)
{
	(void)state;
	struct err err;
	struct rlimit old, limit;
	json_t *lines[8] = { NULL };
	int written = 0;
	struct audit *a = audit_open(path, "d", &err);
	const struct audit_record r = { .event = "request", .app = "hello", .allowed = true };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){ .rlim_cur = 200, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (written < 8 && audit_write(a, &r, &err) == 0)
		written++;
	int again = audit_write(a, &r, &err); /* still full */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(written > 0 && written < 8);
	assert_int_equal(again, -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	assert_non_null(strstr(err.text, "File too large"));
	assert_int_equal(audit_write(a, &r, &err), 0);
	audit_close(a);
	size_t n = read_lines(lines, 8);
	assert_int_equal(n, written + 2); /* the whole ones, the torn one, the last */
	for (size_t i = 0; i < n; i++)
		assert_int_equal(lines[i] != NULL, i != (size_t)written);
	for (size_t i = 0; i < n; i++)
		json_decref(lines[i]);
}

static void test_open_fails(void **state)
{
	(void)state;
	struct err err;
	assert_null(audit_open("/nonexistent/audit.jsonl", "d", &err));
	assert_non_null(strstr(err.text, "/nonexistent/audit.jsonl"));
	audit_close(NULL);
}

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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_record, NULL, remove_file),
		cmocka_unit_test_setup_teardown(test_long_path, NULL, remove_file),
		cmocka_unit_test_setup_teardown(test_disk_full, NULL, remove_file),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_log),
	};
	return cmocka_run_group_tests_name("audit", tests, make_file, NULL);
}
