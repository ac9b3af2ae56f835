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
#include "lib/config.h"
#include "tests/lib/guard.h"

static const struct {
	const char *text, *expected; /* what the error starts with */
} bad[] = {
	{ "lisen: 127.0.0.1:80\n", "c.yaml:1: lisen: unknown key; did you mean listen?" },
	{ "\n\nproxy:\n  quue: 1\n", "c.yaml:4: quue: unknown key; did you mean queue?" },
	{ "proxi:\n  queue: 1\n", "c.yaml:1: proxi: unknown key; did you mean proxy?" },
	{ "auth:\n  listen: 1\n", "c.yaml:2: listen: unknown key" },
	{ "zzzzzz: 1\n", "c.yaml:1: zzzzzz: unknown key" },
	{ "auth:\n  hash_workers: 0\n", "c.yaml:2: hash_workers: 0 is out of range, 1..16" },
	{ "auth:\n  hash_workers: 17\n", "c.yaml:2: hash_workers: 17 is out of range, 1..16" },
	{ "auth:\n  hash_workers: -1\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers: +1\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers: 0x1\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers: 1.0\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers:\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers: 4294967297\n", "c.yaml:2: hash_workers: 4294967297 is out of range" },
	{ "auth:\n  hash_workers: 99999999999999999999\n", "c.yaml:2: hash_workers: expected a whole number" },
	{ "auth:\n  hash_workers: [1]\n", "c.yaml:2: hash_workers: expected one value" },
	{ "auth: 3\n", "c.yaml:1: expected `key: value` lines" },
	{ "auth: [a]\n", "c.yaml:1: expected `key: value` lines" },
	{ "- a\n", "c.yaml:1: expected `key: value` lines" },
	{ "expose_timing: yes\n", "c.yaml:1: expose_timing: expected true or false" },
	{ "log_level: loud\n", "c.yaml:1: log_level: expected error, warn" },
	{ "log_level: {a: b}\n", "c.yaml:1: log_level: expected one value" },
	{ "vmmd:\n  backend: xen\n", "c.yaml:2: backend: expected auto, kvm or process" },
	{ "audit:\n  durability: disk\n", "c.yaml:2: durability: expected process or power" },
	{ "audit:\n  checkpoint_ms: 9\n", "c.yaml:2: checkpoint_ms: 9 is out of range, 10..3600000" },
	{ "audit:\n  rotate: 9\n", "c.yaml:2: rotate: unknown key" },
	{ "vmmd:\n  tender_user: -x\n", "c.yaml:2: tender_user: expected" },
	{ "vmmd:\n  tender_user: a b\n", "c.yaml:2: tender_user: expected" },
	{ "vmmd:\n  tender_user: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "c.yaml:2: tender_user: expected" },
	{ "listen: localhost:80\n", "c.yaml:1: listen: expected a numeric address" },
	{ "listen: 127.0.0.1\n", "c.yaml:1: listen: expected" },
	{ "listen: \"127.0.0.1:\"\n", "c.yaml:1: listen: expected" },
	{ "listen: 127.0.0.1:65536\n", "c.yaml:1: listen: expected" },
	{ "listen: \"[::1]\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \"::1:80\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \"[]:80\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \":80\"\n", "c.yaml:1: listen: expected" },
	{ "log_level: info\nlog_level: warn\n", "c.yaml:2: log_level: given twice" },
	{ "log_level: &a info\n", "c.yaml:1: anchors" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct config c;
		struct err err = { 0 };
		if (config_parse("c.yaml", bad[i].text, strlen(bad[i].text), &c, &err) == 0)
			fail_msg("accepted: %s", bad[i].text);
		assert_int_equal(err.kind, ERR_CONFIG);
		if (strncmp(err.text, bad[i].expected, strlen(bad[i].expected)) != 0)
			fail_msg("got \"%s\", expected \"%s...\"", err.text, bad[i].expected);
	}
}

static void parse(const char *text, struct config *c)
{
	struct err err = { 0 };
	if (config_parse("c.yaml", text, strlen(text), c, &err) < 0)
		fail_msg("%s", err.text);
}

/* The defaults of the contract, lib/config.h. */
static void test_defaults(void **state)
{
	(void)state;
	struct config c;
	parse("", &c);
	assert_string_equal(c.listen, "127.0.0.1:8080");
	assert_false(c.expose_timing);
	assert_true(c.secure_cookie);
	assert_string_equal(c.log_level, "info");
	assert_int_equal(c.auth.argon2_memory_mib, 64);
	assert_int_equal(c.auth.argon2_passes, 2);
	assert_int_equal(c.auth.hash_workers, 1);
	assert_int_equal(c.auth.hash_queue, 16);
	assert_int_equal(c.auth.session_minutes, 480);
	assert_int_equal(c.auth.tries_per_minute, 10);
	assert_int_equal(c.vmmd.backend, BACKEND_AUTO);
	assert_int_equal(c.vmmd.shells, 2);
	assert_int_equal(c.vmmd.boot_ms, 10000);
	assert_int_equal(c.vmmd.reboot_s, 3600);
	assert_int_equal(c.vmmd.max_instances, 1024);
	assert_string_equal(c.vmmd.tender_user, "nobody");
	assert_false(c.vmmd.labelled_logs);
	assert_int_equal(c.proxy.connections, 1024);
	assert_int_equal(c.proxy.queue, 256);
	assert_int_equal(c.proxy.queue_ms, 5000);
	assert_int_equal(c.proxy.request_ms, 10000);
	assert_int_equal(c.proxy.header_bytes, 16384);
	assert_int_equal(c.proxy.target_bytes, 8192);
	assert_int_equal(c.proxy.body_bytes, 1048576);
	assert_int_equal(c.proxy.head_ms, 10000);
	assert_int_equal(c.proxy.body_ms, 30000);
	assert_int_equal(c.proxy.idle_ms, 60000);
	assert_int_equal(c.proxy.blocked_grid_ms, 100);
	assert_int_equal(c.audit.durability, DURABILITY_PROCESS);
	assert_int_equal(c.audit.rotate_mib, 64);
	assert_int_equal(c.audit.checkpoint_ms, 1000);
}

static void test_values(void **state)
{
	(void)state;
	struct config c;
	parse("listen: \"[::1]:0\"\nexpose_timing: true\nauth:\nvmmd:\n  backend: process\n  shells: 0\n"
	      "proxy: {body_bytes: 16777216, queue: 0}\naudit: {durability: power}\n",
	      &c);
	assert_string_equal(c.listen, "[::1]:0");
	assert_true(c.expose_timing);
	assert_int_equal(c.vmmd.backend, BACKEND_PROCESS);
	assert_int_equal(c.vmmd.shells, 0);
	assert_int_equal(c.proxy.body_bytes, 16777216);
	assert_int_equal(c.proxy.queue, 0);
	assert_int_equal(c.audit.durability, DURABILITY_POWER);
	assert_int_equal(c.proxy.queue_ms, 5000);
}

/* Both texts that `ppce init` writes: every key is there, at its default; dev differs in the two keys it should. */
static void test_example(void **state)
{
	(void)state;
	static const char *const keys[] = { "listen:",
					    "expose_timing:",
					    "secure_cookie:",
					    "log_level:",
					    "auth:",
					    "  argon2_memory_mib:",
					    "  argon2_passes:",
					    "  hash_workers:",
					    "  hash_queue:",
					    "  session_minutes:",
					    "  tries_per_minute:",
					    "vmmd:",
					    "  backend:",
					    "  shells:",
					    "  boot_ms:",
					    "  reboot_s:",
					    "  max_instances:",
					    "  tender_user:",
					    "  labelled_logs:",
					    "proxy:",
					    "  connections:",
					    "  queue:",
					    "  queue_ms:",
					    "  request_ms:",
					    "  header_bytes:",
					    "  target_bytes:",
					    "  body_bytes:",
					    "  head_ms:",
					    "  body_ms:",
					    "  idle_ms:",
					    "  blocked_grid_ms:",
					    "audit:",
					    "  durability:",
					    "  rotate_mib:",
					    "  checkpoint_ms:" };
	struct config defaults, plain, dev;
	parse("", &defaults);
	parse(config_example(false), &plain);
	parse(config_example(true), &dev);
	assert_memory_equal(&plain, &defaults, sizeof plain);
	assert_true(dev.expose_timing);
	assert_false(dev.secure_cookie);
	dev.expose_timing = defaults.expose_timing;
	dev.secure_cookie = defaults.secure_cookie;
	assert_memory_equal(&dev, &defaults, sizeof dev);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		char line[64];
		snprintf(line, sizeof line, "\n%s", keys[i]);
		if (!strstr(config_example(false), line))
			fail_msg("the example lacks %s", keys[i]);
	}
}

static void test_load(void **state)
{
	(void)state;
	char dir[] = "/tmp/ppce-test-config-XXXXXX", path[64], out[128];
	struct config c;
	struct err err;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(config_load(dir, &c, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "ppce init"));
	snprintf(path, sizeof path, "%s/ppce.yaml", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs("log_level: debug\n", f);
	fclose(f);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(config_load(".", &c, &err), 0);
	assert_string_equal(c.dir, dir);
	assert_string_equal(c.log_level, "debug");
	assert_string_equal(config_path(&c, "run/vmmd.sock", out, sizeof out) + strlen(dir), "/run/vmmd.sock");
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(config_load("/nonexistent", &c, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
}

/* The sockets under DIR/run must have addresses: a long path is refused here, not at the first bind. */
static void test_long_dir(void **state)
{
	(void)state;
	char base[] = "/tmp/ppce-test-config-XXXXXX", dir[300];
	struct config c;
	struct err err;
	assert_non_null(mkdtemp(base));
	snprintf(dir, sizeof dir, "%s/%090d", base, 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(config_load(dir, &c, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "too long for the sockets"));
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(rmdir(base), 0);
}

static void test_guard(void **state)
{
	(void)state;
	const char *text = config_example(true);
	size_t all = strlen(text);
	struct guard g;
	struct config c;
	struct err err;
	guard_init(&g);
	for (size_t len = 0; len <= all; len += len + 64 < all ? 7 : 1)
		config_parse("c", guard_place(&g, text, len), len, &c, &err);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		config_parse("c", guard_place(&g, bad[i].text, strlen(bad[i].text)), strlen(bad[i].text), &c, &err);
	assert_int_equal(config_parse("c", guard_place(&g, text, all), all, &c, &err), 0);
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),	cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
		cmocka_unit_test(test_example), cmocka_unit_test(test_load),	 cmocka_unit_test(test_long_dir),
		cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
