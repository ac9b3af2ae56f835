/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "net/names.h"

static struct net_names names_of(const char *dir, const char *bridge)
{
	static struct config c;
	struct net_names n;
	snprintf(c.dir, sizeof c.dir, "%s", dir);
	snprintf(c.network.bridge, sizeof c.network.bridge, "%s", bridge);
	net_names(&c, &n);
	return n;
}

static void test_same_directory_same_names(void **state)
{
	(void)state;
	struct net_names a = names_of("/srv/ppce", "auto"), b = names_of("/srv/ppce", "auto"),
			 c = names_of("/srv/ppce2", "auto");
	assert_string_equal(a.prefix, b.prefix);
	assert_string_equal(a.bridge, b.bridge);
	assert_int_equal(a.group, b.group);
	assert_string_not_equal(a.prefix, c.prefix);
	assert_string_not_equal(a.bridge, c.bridge);
	assert_int_not_equal(a.group, a.doomed);
	assert_string_equal(a.alias, "ppce /srv/ppce");
	assert_string_equal(names_of("/srv/ppce", "br-x").bridge, "br-x");
}

/* All 65536 names fit, differ, start with the platform's prefix, and none is the bridge's. */
static void test_tap_names(void **state)
{
	(void)state;
	struct net_names n = names_of("/srv/ppce", "auto");
	char name[IFNAMSIZ], before[IFNAMSIZ] = "";
	for (unsigned i = 0; i < 65536; i++) {
		net_tap_name(&n, i, name);
		assert_true(strlen(name) == 15 && strcmp(name, before) > 0);
		assert_memory_equal(name, n.tap_prefix, strlen(n.tap_prefix));
		memcpy(before, name, sizeof name);
	}
	assert_int_not_equal(strncmp(n.bridge, n.tap_prefix, strlen(n.tap_prefix)), 0);
}

static void test_mac(void **state)
{
	(void)state;
	static const uint8_t expected[MAC_SIZE] = { 0x02, 0x50, 10, 77, 3, 254 };
	uint8_t mac[MAC_SIZE];
	char text[16];
	net_mac(0x0a4d03fe, mac);
	assert_memory_equal(mac, expected, sizeof mac);
	assert_int_equal(mac[0] & 3, 2); /* locally administered, not a group */
	assert_string_equal(net_ipv4_text(0x0a4d03fe, text), "10.77.3.254");
	assert_string_equal(net_ipv4_text(0xffffffff, text), "255.255.255.255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_directory_same_names),
		cmocka_unit_test(test_tap_names),
		cmocka_unit_test(test_mac),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
