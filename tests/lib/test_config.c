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
	{ "vmmd:\n  solo5_hvt: solo5-hvt\n", "c.yaml:2: solo5_hvt: expected auto, or the absolute" },
	{ "vmmd:\n  tender_user: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "c.yaml:2: tender_user: expected" },
	{ "listen: localhost:80\n", "c.yaml:1: listen: expected a numeric address" },
	{ "listen: 127.0.0.1\n", "c.yaml:1: listen: expected" },
	{ "listen: \"127.0.0.1:\"\n", "c.yaml:1: listen: expected" },
	{ "listen: 127.0.0.1:65536\n", "c.yaml:1: listen: expected" },
	{ "listen: \"[::1]\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \"::1:80\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \"[]:80\"\n", "c.yaml:1: listen: expected" },
	{ "listen: \":80\"\n", "c.yaml:1: listen: expected" },
	{ "network:\n  tap: 1\n", "c.yaml:2: tap: unknown key; did you mean taps?" },
	{ "network:\n  taps: 257\n", "c.yaml:2: taps: 257 is out of range, 0..256" },
	{ "network:\n  reuse_s: 86401\n", "c.yaml:2: reuse_s: 86401 is out of range" },
	{ "network:\n  bridge: Br0\n", "c.yaml:2: bridge: expected auto" },
	{ "network:\n  bridge: a234567890123456\n", "c.yaml:2: bridge: expected auto" },
	{ "network:\n  subnet: 10.77.0.0\n", "c.yaml:2: subnet: expected an IPv4 network" },
	{ "network:\n  subnet: 10.77.0.0/15\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 10.77.0.0/30\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 10.77.0.1/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 10.77.1.0/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 10.77.0.0/022\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 127.0.0.0/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 0.0.0.0/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: 224.0.0.0/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  subnet: fd00::/22\n", "c.yaml:2: subnet: expected" },
	{ "network:\n  sinks: [a]\n", "c.yaml:2: sinks: expected `name: {address, port, label, returns}` lines" },
	{ "network:\n  sinks: a\n", "c.yaml:2: sinks: expected" },
	{ "network:\n  sinks: {Db: {address: host, port: 1, label: a}}\n", "c.yaml:2: Db: expected a name" },
	{ "network:\n  sinks: {db: 5432}\n", "c.yaml:2: db: expected {address, port, label, returns}" },
	{ "network:\n  sinks: {db: {addres: host}}\n", "c.yaml:2: addres: unknown key; did you mean address?" },
	{ "network:\n  sinks: {db: {address: host, port: 1}}\n", "c.yaml:2: db: label is missing" },
	{ "network:\n  sinks: {db: {address: host, label: a}}\n", "c.yaml:2: db: port is missing" },
	{ "network:\n  sinks: {db: {port: 1, label: a}}\n", "c.yaml:2: db: address is missing" },
	{ "network:\n  sinks: {db: {address: host, port: 0, label: a}}\n", "c.yaml:2: port: expected 1..65535" },
	{ "network:\n  sinks: {db: {address: host, port: 65536, label: a}}\n", "c.yaml:2: port: expected" },
	{ "network:\n  sinks: {db: {address: db.local, port: 1, label: a}}\n", "c.yaml:2: address: expected host or" },
	{ "network:\n  sinks: {db: {address: [], port: 1, label: a}}\n", "c.yaml:2: address: expected one value" },
	{ "network:\n  sinks: {db: {address: 10.77.3.9, port: 1, label: a}}\n",
	  "c.yaml:2: address: 10.77.3.9 is in the" },
	{ "network:\n  sinks: {db: {address: host, port: 1, label: \"\"}}\n", "c.yaml:2: label: expected" },
	{ "network:\n  sinks: {db: {address: host, port: 1, label: a, returns: \"\"}}\n",
	  "c.yaml:2: returns: expected" },
	{ "network:\n  sinks: {db: {address: host, port: 1, label: a, returns: [a]}}\n",
	  "c.yaml:2: returns: expected one" },
	{ "network:\n  sinks: {db: {address: host, port: 1, label: a, return: a}}\n",
	  "c.yaml:2: return: unknown key; did you mean returns?" },
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
	assert_string_equal(c.vmmd.solo5_hvt, "auto");
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
	assert_int_equal(c.proxy.health_s, 10);
	assert_int_equal(c.audit.durability, DURABILITY_PROCESS);
	assert_int_equal(c.audit.rotate_mib, 64);
	assert_int_equal(c.audit.checkpoint_ms, 1000);
	assert_false(c.network.enabled);
	assert_string_equal(c.network.bridge, "auto");
	assert_string_equal(c.network.subnet, "10.77.0.0/22");
	assert_int_equal(c.network.taps, 8);
	assert_int_equal(c.network.reuse_s, 60);
	assert_int_equal(c.network.sinks, 0);
}

static void test_network(void **state)
{
	(void)state;
	struct config c;
	uint32_t base;
	unsigned prefix;
	parse("network:\n  enabled: true\n  bridge: br-x\n  subnet: 172.16.8.0/29\n  taps: 0\n  sinks:\n"
	      "    db: {address: host, port: 5432, label: \"level=HIGH\"}\n"
	      "    mail-1: {address: 192.0.2.7, port: 25, label: \"level=LOW,comp={A}\", returns: \"level=LOW\"}\n",
	      &c);
	assert_true(c.network.enabled);
	assert_string_equal(c.network.bridge, "br-x");
	assert_int_equal(c.network.taps, 0);
	assert_int_equal(c.network.sinks, 2);
	assert_string_equal(c.network.sink[0].name, "db");
	assert_int_equal(c.network.sink[0].address, 0);
	assert_int_equal(c.network.sink[0].port, 5432);
	assert_string_equal(c.network.sink[0].label, "level=HIGH");
	assert_string_equal(c.network.sink[0].returns, "level=HIGH");
	assert_string_equal(c.network.sink[1].name, "mail-1");
	assert_int_equal(c.network.sink[1].address, 0xc0000207);
	assert_string_equal(c.network.sink[1].label, "level=LOW,comp={A}");
	assert_string_equal(c.network.sink[1].returns, "level=LOW");
	assert_int_equal(config_subnet(c.network.subnet, &base, &prefix), 0);
	assert_int_equal(base, 0xac100800);
	assert_int_equal(prefix, 29);
}

static void test_too_many_sinks(void **state)
{
	(void)state;
	struct config c;
	struct err err = { 0 };
	char text[4096] = "network:\n  sinks:\n";
	for (unsigned i = 0; i <= CONFIG_SINKS_MAX; i++) {
		size_t len = strlen(text);
		snprintf(text + len, sizeof text - len, "    s%u: {address: host, port: 1, label: a}\n", i);
		int rc = config_parse("c.yaml", text, strlen(text), &c, &err);
		assert_int_equal(rc, i < CONFIG_SINKS_MAX ? 0 : -1);
	}
	assert_non_null(strstr(err.text, "c.yaml:3: sinks: at most 16"));
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
					    "  solo5_hvt:",
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
					    "  health_s:",
					    "audit:",
					    "  durability:",
					    "  rotate_mib:",
					    "  checkpoint_ms:",
					    "network:",
					    "  enabled:",
					    "  bridge:",
					    "  subnet:",
					    "  taps:",
					    "  reuse_s:",
					    "  sinks:" };
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
		cmocka_unit_test(test_bad),	cmocka_unit_test(test_defaults),       cmocka_unit_test(test_values),
		cmocka_unit_test(test_network), cmocka_unit_test(test_too_many_sinks), cmocka_unit_test(test_example),
		cmocka_unit_test(test_load),	cmocka_unit_test(test_long_dir),       cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
