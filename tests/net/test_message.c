/* SPDX-License-Identifier: MIT
 *
 * What decodes bytes of others: the message of the socket, and attributes of netlink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <ppce/net.h>
#include "net/nl.h"
#include "tests/lib/guard.h"

static void test_message_size(void **state)
{
	(void)state;
	struct guard g;
	struct net_message m = { .type = NET_TAKE };
	guard_init(&g);
	for (size_t len = 0; len < sizeof m; len++)
		assert_false(net_valid((const struct net_message *)(const void *)guard_place(&g, &m, len), len));
	assert_true(net_valid((const struct net_message *)(const void *)guard_place(&g, &m, sizeof m), sizeof m));
	assert_false(net_valid(&m, sizeof m + 1));
	guard_free(&g);
}

static void test_message_types(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 64; type++) {
		struct net_message m = { .type = type };
		bool known = (type >= 1 && type <= 3) || (type >= 16 && type <= 19);
		assert_int_equal(net_valid(&m, sizeof m), known);
	}
}

/* Each text without its end is refused. */
static void test_message_texts(void **state)
{
	(void)state;
	static const struct {
		size_t at, size;
	} texts[] = {
#define TEXT(member) { offsetof(struct net_message, member), sizeof((struct net_message *)0)->member }
		TEXT(uuid), TEXT(name), TEXT(sinks), TEXT(label), TEXT(reason),
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct net_message m = { .type = NET_TAKE };
		memset((char *)&m + texts[i].at, 'a', texts[i].size - 1);
		assert_true(net_valid(&m, sizeof m));
		((char *)&m)[texts[i].at + texts[i].size - 1] = 'a';
		assert_false(net_valid(&m, sizeof m));
	}
}

static struct nlmsghdr *message(char *bytes)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(bytes);
	struct nlattr *outer, *inner;
	mnl_nlmsg_put_extra_header(h, 8);
	mnl_attr_put_u32(h, 1, 0x11111111);
	mnl_attr_put_strz(h, 2, "text");
	outer = mnl_attr_nest_start(h, 3);
	mnl_attr_put_u8(h, 1, 7);
	inner = mnl_attr_nest_start(h, 2);
	mnl_attr_put_u32(h, 9, 9);
	mnl_attr_nest_end(h, inner);
	mnl_attr_nest_end(h, outer);
	mnl_attr_put(h, 4, 3, "abc"); /* not terminated */
	return h;
}

static void test_attributes(void **state)
{
	(void)state;
	_Alignas(8) char bytes[256];
	const struct nlmsghdr *h = message(bytes);
	assert_int_equal(mnl_attr_get_u32(nl_attribute(h, 8, 1)), 0x11111111);
	assert_string_equal(nl_text(nl_attribute(h, 8, 2)), "text");
	assert_string_equal(nl_text(nl_attribute(h, 8, 4)), "");
	assert_string_equal(nl_text(nl_attribute(h, 8, 5)), "");
	const struct nlattr *nest = nl_attribute(h, 8, 3);
	assert_int_equal(mnl_attr_get_u8(nl_nested(nest, 1)), 7);
	assert_int_equal(mnl_attr_get_u32(nl_nested(nl_nested(nest, 2), 9)), 9);
	assert_null(nl_nested(nest, 9));
}

/* Cut anywhere, or with any length in any attribute, nothing behind the message is read. */
static void test_attributes_that_lie(void **state)
{
	(void)state;
	_Alignas(8) char bytes[256];
	struct guard g;
	size_t len = message(bytes)->nlmsg_len;
	guard_init(&g);
	for (size_t cut = NLMSG_HDRLEN; cut <= len; cut += 4) { /* the kernel pads messages to four bytes */
		((struct nlmsghdr *)(void *)bytes)->nlmsg_len = (uint32_t)cut;
		const void *placed = guard_place(&g, bytes, cut);
		for (uint16_t type = 0; type < 6; type++)
			nl_text(nl_attribute(placed, 8, type));
	}
	message(bytes);
	for (size_t at = NLMSG_HDRLEN + 8; at + 1 < len; at++) {
		for (unsigned value = 0; value < 256; value++) {
			char saved = bytes[at];
			bytes[at] = (char)value;
			const struct nlmsghdr *placed = (const void *)guard_place(&g, bytes, (len + 3) & ~3u);
			const struct nlattr *nest = nl_attribute(placed, 8, 3);
			nl_text(nl_attribute(placed, 8, 4));
			nest = nest ? nl_nested(nest, 2) : NULL;
			nl_text(nest ? nl_nested(nest, 9) : NULL);
			bytes[at] = saved;
		}
	}
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_size),	    cmocka_unit_test(test_message_types),
		cmocka_unit_test(test_message_texts),	    cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_attributes_that_lie),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
