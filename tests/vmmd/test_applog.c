/* SPDX-License-Identifier: MIT
 *
 * Printable text, and the log files of apps: rotation and reading their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmmd/applog.h"

#define UUID "1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11"

static void check(const char *in, const char *want)
{
	char out[200];
	assert_string_equal(text_visible(out, sizeof out, in), want);
}

static void text_that_is_fine_stays(void **state)
{
	(void)state;
	check("", "");
	check("plain \\ text", "plain \\ text");
	check("\xc3\xa6\xc3\xb8\xc3\xa5 \xe2\x9c\x93 \xf0\x9f\x90\x9f",
	      "\xc3\xa6\xc3\xb8\xc3\xa5 \xe2\x9c\x93 \xf0\x9f\x90\x9f");
}

static void text_that_is_not_is_escaped(void **state)
{
	(void)state;
	check("a\tb\nc\x1b[m\x7f", "a\\x09b\\x0ac\\x1b[m\\x7f");
	check("\xc2\x9b", "\\u{9b}");				    /* a C1 control */
	check("\xe2\x80\xae\xe2\x80\xa8", "\\u{202e}\\u{2028}");    /* right-to-left override, line separator */
	check("\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf"); /* overlong */
	check("\xed\xa0\x80", "\\xed\\xa0\\x80");		    /* a surrogate */
	check("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");	    /* beyond U+10FFFF */
	check("\xe2\x9c", "\\xe2\\x9c");			    /* cut at the end */
	check("\xff\x80z", "\\xff\\x80z");
}

static void output_is_cut_between_characters(void **state)
{
	(void)state;
	for (size_t size = 1; size < 16; size++) {
		char *out = malloc(size); /* exactly: for the sanitizer */
		text_visible(out, size, "\xe2\x9c\x93\x1b\xe2\x9c\x93\xe2\x9c\x93");
		size_t len = strlen(out);
		assert_true(len < size);
		assert_true(len == 0 || len == 3 || len == 7 || len == 10 || len == 13);
		free(out);
	}
}

struct place {
	char dir[64], file[100];
	struct applog log;
};

static int make_place(void **state)
{
	struct err err;
	struct place *p = calloc(1, sizeof *p);
	strcpy(p->dir, "/tmp/ppce-applog-XXXXXX");
	char sub[80];
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(sub, sizeof sub, "%s/log", p->dir);
	mkdir(sub, 0700);
	snprintf(p->file, sizeof p->file, "%s/log/apps/x.log", p->dir);
	p->log.fd = -1;
	*state = p;
	return applog_init(p->dir, &err);
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char path[120];
	applog_close(&p->log);
	unlink(p->file);
	snprintf(path, sizeof path, "%s.1", p->file);
	unlink(path);
	snprintf(path, sizeof path, "%s/log/apps", p->dir);
	rmdir(path);
	snprintf(path, sizeof path, "%s/log", p->dir);
	rmdir(path);
	int rc = rmdir(p->dir);
	free(p);
	return rc;
}

static off_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void files_rotate(void **state)
{
	struct place *p = *state;
	char text[1000], old[120];
	struct err err;
	struct buf out = { .cap = 3u << 20 };

	snprintf(old, sizeof old, "%s.1", p->file);
	memset(text, 'a', sizeof text - 1);
	for (unsigned i = 0; i < 3000; i++) {
		text[sizeof text - 1] = '\0';
		snprintf(text, 10, "%08u", i);
		text[8] = ' ';
		applog_write(&p->log, p->dir, "x", 6, UUID, text);
		assert_true(size_of(p->file) <= APPLOG_BYTES_MAX);
	}
	assert_true(size_of(old) > APPLOG_BYTES_MAX - 2000 && size_of(old) <= APPLOG_BYTES_MAX);
	assert_int_equal(applog_tail(p->dir, "x", 1000, &out, &err), 0);
	unsigned lines = 0;
	const char *last = buf_text(&out);
	for (const char *c = last; *c; c++)
		if (*c == '\n') {
			lines++;
			last = c[1] ? c + 1 : last;
		}
	assert_int_equal(lines, 1000); /* more than the newer file holds */
	assert_non_null(strstr(last, " info " UUID " 00002999 "));
	buf_free(&out);
}

static void the_end_of_a_short_file(void **state)
{
	struct place *p = *state;
	struct err err;
	struct buf out = { .cap = 3u << 20 };

	assert_int_equal(applog_tail(p->dir, "x", 10, &out, &err), 0);
	assert_int_equal(out.len, 0);
	applog_write(&p->log, p->dir, "x", 3, UUID, "one");
	applog_write(&p->log, p->dir, "x", 99, UUID, "two\nthree");
	assert_int_equal(applog_tail(p->dir, "x", 1, &out, &err), 0);
	assert_non_null(strstr(buf_text(&out), "debug " UUID " two\\x0athree\n"));
	assert_null(strstr(buf_text(&out), "one"));
	buf_free(&out);
	assert_int_equal(applog_tail(p->dir, "x", 10, &out, &err), 0);
	assert_non_null(strstr(buf_text(&out), "error " UUID " one\n"));
	buf_free(&out);
	assert_int_equal(applog_tail(p->dir, "x", 0, &out, &err), 0);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_is_fine_stays),
		cmocka_unit_test(text_that_is_not_is_escaped),
		cmocka_unit_test(output_is_cut_between_characters),
		cmocka_unit_test_setup_teardown(files_rotate, make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_end_of_a_short_file, make_place, remove_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
