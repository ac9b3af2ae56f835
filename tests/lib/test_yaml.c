/* SPDX-License-Identifier: MIT */
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

#include "lib/buf.h"
#include "lib/yaml.h"
#include "tests/lib/guard.h"

static void refuse_bytes(const char *text, size_t len, const char *expected)
{
	struct err err = { 0 };
	struct yaml_file *f = yaml_parse("f.yaml", text, len, &err);
	if (f)
		fail_msg("accepted, expected: %s", expected);
	assert_int_equal(err.kind, ERR_CONFIG);
	if (strncmp(err.text, expected, strlen(expected)) != 0)
		fail_msg("got \"%s\", expected \"%s...\"", err.text, expected);
}

static void refuse(const char *text, const char *expected)
{
	refuse_bytes(text, strlen(text), expected);
}

static void test_tree(void **state)
{
	(void)state;
	static const char text[] = "# a comment\n"
				   "name: \"quoted # text\"\n"
				   "list:\n"
				   "  - one\n"
				   "  - {x: 1, y: [a, b]}\n"
				   "empty:\n";
	struct err err;
	struct yaml_file *f = yaml_parse("f", text, sizeof text - 1, &err);
	assert_non_null(f);
	const struct yaml_value *root = yaml_root(f);
	assert_int_equal(yaml_kind(root), YAML_MAP);
	assert_int_equal(yaml_count(root), 3);
	assert_string_equal(yaml_text(yaml_key(root, 1)), "list");
	assert_string_equal(yaml_text(yaml_get(root, "name")), "quoted # text");
	assert_null(yaml_get(root, "nome"));
	const struct yaml_value *list = yaml_get(root, "list");
	assert_int_equal(yaml_kind(list), YAML_LIST);
	assert_int_equal(yaml_count(list), 2);
	assert_string_equal(yaml_text(yaml_item(list, 0)), "one");
	assert_int_equal(yaml_line(yaml_item(list, 1)), 5);
	assert_string_equal(yaml_text(yaml_item(yaml_get(yaml_item(list, 1), "y"), 1)), "b");
	assert_string_equal(yaml_text(yaml_get(root, "empty")), "");
	assert_null(yaml_get(list, "x")); /* not a map */
	assert_int_equal(yaml_error(list, &err, "%s is wrong", "it"), -1);
	assert_string_equal(err.text, "f:4: it is wrong");
	yaml_close(f);
}

static void test_empty(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "\n\n", "# only a comment\n", "---\n...\n" };
	struct err err;
	for (size_t i = 0; i < 3; i++) {
		struct yaml_file *f = yaml_parse("f", texts[i], strlen(texts[i]), &err);
		assert_non_null(f);
		assert_null(yaml_root(f));
		yaml_close(f);
	}
	yaml_close(NULL);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("a: 1\nb: [1, 2\nc: 3\n", "f.yaml:3: ");
	refuse("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: given twice, first in line 1");
	refuse("x: {a: 1, b: 2, a: 3}", "f.yaml:1: a: given twice");
	refuse("a: &x 1\nb: *x\n", "f.yaml:1: anchors");
	refuse("a: 1\nb: *x\n", "f.yaml:2: anchors");
	refuse("a: 1\n\nb: !!int 2\n", "f.yaml:3: tags");
	refuse("a: !x [1]\n", "f.yaml:1: tags");
	refuse("a: 1\n---\nb: 2\n", "f.yaml:2: a second document");
	refuse("[a]: 1\n", "f.yaml:1: a key must be");
	refuse("? {a: b}\n: 1\n", "f.yaml:1: a key must be");
	refuse("a: \"x\\0y\"\n", "f.yaml:1: a NUL");
	refuse("a: 1\nb: \xff\n", "f.yaml:");
	refuse("a: 1\n\tb: 2\n", "f.yaml:2: ");
	refuse("a: 'x\n", "f.yaml:");
	refuse_bytes("a\0b: 1\n", 7, "f.yaml:1: ");
	/* a billion laughs needs aliases */
	refuse("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "f.yaml:1: anchors");
}

static void test_depth(void **state)
{
	(void)state;
	char text[20000];
	struct err err;
	for (size_t depth = 1; depth <= 20; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		struct yaml_file *f = yaml_parse("f.yaml", text, 2 * depth, &err);
		assert_int_equal(f != NULL, depth <= 16);
		yaml_close(f);
	}
	memset(text, '[', sizeof text);
	refuse_bytes(text, sizeof text, "f.yaml:1: nested deeper than 16");
	for (size_t i = 0; i + 1 < sizeof text; i += 2)
		memcpy(text + i, "- ", 2);
	refuse_bytes(text, sizeof text, "f.yaml:1: nested deeper than 16");
}

static void test_sizes(void **state)
{
	(void)state;
	struct buf b = { .cap = 2u << 20 };
	for (int i = 0; i < 4096; i++)
		buf_printf(&b, "k%d: %d\n", i, i);
	struct err err;
	struct yaml_file *f = yaml_parse("f.yaml", buf_text(&b), b.len, &err);
	assert_non_null(f);
	assert_int_equal(yaml_count(yaml_root(f)), 4096);
	yaml_close(f);
	buf_puts(&b, "one_more: 1\n");
	refuse_bytes(buf_text(&b), b.len, "f.yaml:4097: more than 4096 entries");
	b.len = 0;
	while (b.len <= 1u << 20)
		buf_puts(&b, "# long enough\n");
	refuse_bytes(buf_text(&b), b.len, "f.yaml:1: larger than 1 MiB");
	buf_free(&b);
}

static void test_check_keys(void **state)
{
	(void)state;
	static const char *const keys[] = { "listen", "log_level", NULL };
	static const char text[] = "listen: 1\nlog-level: 2\n";
	struct err err;
	struct yaml_file *f = yaml_parse("f", text, sizeof text - 1, &err);
	assert_int_equal(yaml_check_keys(yaml_root(f), keys, &err), -1);
	assert_string_equal(err.text, "f:2: log-level: unknown key; did you mean log_level?");
	assert_int_equal(yaml_check_keys(yaml_get(yaml_root(f), "listen"), keys, &err), -1);
	assert_non_null(strstr(err.text, "f:1: expected"));
	yaml_close(f);
}

static void test_load(void **state)
{
	(void)state;
	struct err err;
	char path[] = "/tmp/ppce-test-yaml-XXXXXX";
	assert_null(yaml_load("/nonexistent.yaml", &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent.yaml"));
	assert_null(yaml_load("/tmp", &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "a: b\n", 5), 5);
	close(fd);
	struct yaml_file *f = yaml_load(path, &err);
	assert_non_null(f);
	assert_string_equal(yaml_text(yaml_get(yaml_root(f), "a")), "b");
	yaml_close(f);
	assert_int_equal(truncate(path, 2 << 20), 0); /* NULs, and too many of them */
	assert_null(yaml_load(path, &err));
	assert_non_null(strstr(err.text, "larger than 1 MiB"));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0); /* must not hang */
	f = yaml_load(path, &err);
	if (f)
		assert_null(yaml_root(f));
	yaml_close(f);
	unlink(path);
}

/* Every prefix of a file that uses most of the syntax, each ending at an unreadable page. */
static void test_guard(void **state)
{
	(void)state;
	static const char text[] =
		"---\na: \"q\\u00e9\\n\" # c\nb: [x, {y: 'z'}]\nc: |\n  block\n  text\nd: >-\n  folded\n"
		"e: &a !t\nf: *a\n\xc3\xa9: \xf0\x9f\x98\x80\n...\n";
	struct guard g;
	struct err err;
	guard_init(&g);
	for (size_t len = 0; len < sizeof text; len++) {
		struct yaml_file *f = yaml_parse("f", guard_place(&g, text, len), len, &err);
		yaml_close(f);
	}
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),  cmocka_unit_test(test_empty), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth), cmocka_unit_test(test_sizes), cmocka_unit_test(test_check_keys),
		cmocka_unit_test(test_load),  cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
