/* SPDX-License-Identifier: MIT
 *
 * tender/net.c on hostile bytes: which frames may pass, and rings whose guest half lies. Frames end at a page that may not be
 * touched, and so does the page of the rings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tender/net.h"
#include "tests/lib/guard.h"

#define ARP_BYTES 42u
#define IPV4_BYTES 34u

static struct guard guard;
static const struct control_net config = { .ipv4 = 0x0a4d0005,
					   .prefix = 24,
					   .gateway = 0x0a4d0001,
					   .mtu = 1500,
					   .mac = { 2, 0x50, 10, 77, 0, 5 },
					   .gateway_mac = { 2, 0x50, 10, 77, 0, 1 },
					   .port = 80,
					   .nsinks = 1,
					   .sink = { { .name = "db", .port = 5432, .ipv4 = 0x0a4d0001 } } };
static const uint8_t arp[60] = { 2, 0x50, 10,	77, 0,	1, 2, 0x50, 10, 77, 0, 5, 8,	6,  0,	1, 8, 0,  6,  4, 0,
				 2, 2,	  0x50, 10, 77, 0, 5, 10,   77, 0,  5, 2, 0x50, 10, 77, 0, 1, 10, 77, 0, 1 };
static const uint8_t ipv4[60] = { 2,  0x50, 10, 77, 0, 1,  2, 0x50, 10, 77, 0,	5, 8, 0,  0x45, 0, 0,
				  46, 0,    0,	0,  0, 64, 6, 0,    0,	10, 77, 0, 5, 10, 77,	0, 1 };

static bool allowed(const uint8_t *frame, size_t len)
{
	return net_frame_allowed((const uint8_t *)guard_place(&guard, frame, len), len, &config);
}

static void every_length_of_a_good_frame(void **state)
{
	uint8_t longest[PPCE_NET_FRAME_MAX + 1] = { 0 };

	(void)state;
	for (size_t len = 0; len <= sizeof arp; len++) {
		assert_int_equal(allowed(arp, len), len >= ARP_BYTES);
		assert_int_equal(allowed(ipv4, len), len >= IPV4_BYTES);
	}
	memcpy(longest, ipv4, sizeof ipv4);
	assert_true(allowed(longest, PPCE_NET_FRAME_MAX));
	assert_false(allowed(longest, PPCE_NET_FRAME_MAX + 1));
}

/* Bytes of a frame that are not checked: the length of the IPv4 packet, what follows the sender, and the like. */
static bool free_byte(bool is_arp, size_t at)
{
	return is_arp ? at == 21 || at >= 32 : (at >= 15 && at < 26) || at >= 30;
}

static void every_flipped_bit(void **state)
{
	(void)state;
	for (int kind = 0; kind < 2; kind++)
		for (size_t bit = 0; bit < 8 * sizeof arp; bit++) {
			uint8_t frame[sizeof arp];
			memcpy(frame, kind ? arp : ipv4, sizeof frame);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			bool longer = !kind && bit / 8 == 14 && frame[14] > 0x45 && frame[14] <= 0x4b; /* IP options */
			assert_int_equal(allowed(frame, sizeof frame), free_byte(kind, bit / 8) || longer);
		}
}

static void every_ipv4_header_length(void **state)
{
	uint8_t frame[sizeof ipv4];

	(void)state;
	memcpy(frame, ipv4, sizeof frame);
	for (unsigned words = 0; words < 16; words++)
		for (size_t len = IPV4_BYTES; len <= sizeof frame; len++) {
			frame[14] = (uint8_t)(0x40 | words);
			assert_int_equal(allowed(frame, len), words >= 5 && len >= 14 + 4 * words);
		}
}

static void only_frames_of_the_gateway_for_us_come_in(void **state)
{
	(void)state;
	for (size_t len = 0; len <= sizeof ipv4; len++) {
		uint8_t frame[sizeof ipv4];
		memcpy(frame, ipv4, sizeof frame);
		memcpy(frame, config.mac, 6);
		memcpy(frame + 6, config.gateway_mac, 6);
		assert_int_equal(net_frame_wanted((const uint8_t *)guard_place(&guard, frame, len), len, &config),
				 len >= PPCE_NET_FRAME_MIN);
		for (unsigned bit = 0; bit < 96 && len >= PPCE_NET_FRAME_MIN; bit++) {
			uint8_t other[sizeof frame];
			memcpy(other, frame, sizeof frame);
			other[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(net_frame_wanted((const uint8_t *)guard_place(&guard, other, len), len, &config));
		}
	}
}

/* --- rings --- */

struct world {
	struct net net;
	struct ppce_net *page;
	int wire; /* the tap's other end */
};

static uint8_t *slot(const struct world *w, unsigned n)
{
	return (uint8_t *)w->page + PPCE_PAGE + n * PPCE_NET_SLOT_BYTES;
}

static struct world world(void)
{
	static uint8_t *base;
	struct world w = { .net = { .config = config } };
	int pair[2];

	if (!base) {
		base = mmap(NULL, PPCE_NET_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_int_equal(mprotect(base + PPCE_NET_BYTES, 4096, PROT_NONE), 0);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	w.net.tap = pair[0];
	w.wire = pair[1];
	w.page = (struct ppce_net *)(void *)base;
	memset(base, 0xee, PPCE_NET_BYTES);
	net_begin(&w.net, w.page);
	return w;
}

static void end(const struct world *w)
{
	close(w->net.tap);
	close(w->wire);
}

static void the_page_tells_what_vmmd_said(void **state)
{
	struct world w = world();

	(void)state;
	assert_int_equal(w.page->ipv4, config.ipv4);
	assert_int_equal(w.page->gateway, config.gateway);
	assert_memory_equal(w.page->mac, config.mac, 6);
	assert_memory_equal(w.page->gateway_mac, config.gateway_mac, 6);
	assert_int_equal(w.page->port, 80);
	assert_int_equal(w.page->nsinks, 1);
	assert_string_equal(w.page->sink[0].name, "db");
	assert_int_equal(w.page->sink[0].port, 5432);
	assert_int_equal(w.page->tx_put | w.page->tx_taken | w.page->rx_put | w.page->rx_taken, 0);
	assert_int_equal(w.page->sink[1].name[0], 0);
	end(&w);
}

static void counters_out_of_range(void **state)
{
	static const uint32_t starts[] = { 0, 5, UINT32_MAX - 7, UINT32_MAX };
	static const int64_t distances[] = { -1, 0, 1, 16, 17, 18, 1 << 16, INT32_MAX, INT64_C(1) << 31 };
	struct world w = world();

	(void)state;
	for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
		for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
			bool good = distances[d] >= 0 && distances[d] <= 16;
			w.net.tx_taken = w.net.rx_put = starts[s];
			w.page->rx_taken = starts[s];
			w.page->tx_put = starts[s] + (uint32_t)distances[d];
			assert_int_equal(net_look(&w.net), good ? NET_DONE : NET_BROKEN);
			w.page->tx_put = starts[s];
			w.page->rx_taken = starts[s] - (uint32_t)distances[d];
			assert_int_equal(net_look(&w.net), good ? NET_DONE : NET_BROKEN);
		}
	end(&w);
}

/* All slots, the last of which ends at the guard page of the rings, over the wrap of the counters. */
static void frames_go_out_in_order(void **state)
{
	struct world w = world();
	uint8_t got[2048];

	(void)state;
	w.net.tx_taken = UINT32_MAX - 7;
	for (unsigned i = 0; i < PPCE_NET_SLOTS; i++) {
		unsigned n = (w.net.tx_taken + i) % PPCE_NET_SLOTS;
		memcpy(slot(&w, n), ipv4, sizeof ipv4);
		slot(&w, n)[50] = (uint8_t)i;
		w.page->tx_len[n] = (uint16_t)(sizeof ipv4 + i);
	}
	w.page->tx_put = w.net.tx_taken + PPCE_NET_SLOTS;
	assert_int_equal(net_look(&w.net), NET_DONE);
	assert_int_equal(net_send(&w.net), NET_DONE);
	assert_int_equal(w.page->tx_taken, w.page->tx_put);
	for (unsigned i = 0; i < PPCE_NET_SLOTS; i++) {
		assert_int_equal(recv(w.wire, got, sizeof got, 0), (ssize_t)sizeof ipv4 + i);
		assert_int_equal(got[50], i);
	}
	assert_int_equal(w.net.out, PPCE_NET_SLOTS);
	end(&w);
}

static void every_length_of_a_ring(void **state)
{
	struct world w = world();
	uint8_t frame[PPCE_NET_FRAME_MAX];

	(void)state;
	for (uint32_t len = 0; len <= UINT16_MAX; len++) {
		bool good = len >= PPCE_NET_FRAME_MIN && len <= PPCE_NET_FRAME_MAX;
		w.page->tx_len[w.net.tx_taken % PPCE_NET_SLOTS] = (uint16_t)len;
		w.page->tx_put = w.net.tx_taken + 1;
		assert_int_equal(net_look(&w.net), NET_DONE);
		assert_int_equal(net_take(&w.net, frame), good ? (int)len : -1);
		assert_int_equal(net_take(&w.net, frame), good ? 0 : -1);
	}
	end(&w);
}

static void a_full_ring_takes_nothing_more(void **state)
{
	struct world w = world();
	uint8_t frame[sizeof ipv4];

	(void)state;
	memcpy(frame, ipv4, sizeof frame);
	memcpy(frame, config.mac, 6);
	memcpy(frame + 6, config.gateway_mac, 6);
	for (int i = 0; i < 40; i++)
		assert_int_equal(send(w.wire, frame, sizeof frame, MSG_DONTWAIT), (ssize_t)sizeof frame);
	for (uint32_t taken = 0; taken < 40; taken++) {
		w.page->rx_taken = taken;
		assert_int_equal(net_look(&w.net), NET_DONE);
		assert_int_equal(net_receive(&w.net), NET_DONE);
		uint32_t there = taken + PPCE_NET_SLOTS < 40 ? PPCE_NET_SLOTS : 40 - taken;
		assert_int_equal(net_show(&w.net), there);
		assert_int_equal(w.page->rx_put, taken + there);
		assert_int_equal(w.page->rx_len[taken % PPCE_NET_SLOTS], sizeof frame);
		assert_memory_equal(slot(&w, PPCE_NET_SLOTS + taken % PPCE_NET_SLOTS), frame, sizeof frame);
	}
	end(&w);
}

static void a_frame_is_shown_when_the_host_says_so(void **state)
{
	struct world w = world();
	uint8_t frame[sizeof ipv4];

	(void)state;
	memcpy(frame, ipv4, sizeof frame);
	memcpy(frame, config.mac, 6);
	memcpy(frame + 6, config.gateway_mac, 6);
	assert_int_equal(send(w.wire, frame, sizeof frame, 0), (ssize_t)sizeof frame);
	assert_int_equal(net_look(&w.net), NET_DONE);
	assert_int_equal(net_receive(&w.net), NET_DONE);
	assert_int_equal(w.page->rx_put, 0);
	assert_int_equal(net_show(&w.net), 1);
	assert_int_equal(w.page->rx_put, 1);
	end(&w);
}

static void draining_leaves_nothing(void **state)
{
	struct world w = world();
	char byte;

	(void)state;
	for (int i = 0; i < 30; i++)
		assert_int_equal(send(w.wire, ipv4, sizeof ipv4, 0), (ssize_t)sizeof ipv4);
	net_drain(&w.net);
	assert_int_equal(read(w.net.tap, &byte, 1), -1);
	assert_int_equal(w.net.dropped, 30);
	close(w.wire);
	assert_int_equal(net_look(&w.net), NET_DONE);
	assert_int_equal(net_receive(&w.net), NET_LOST_TAP);
	close(w.net.tap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_of_a_good_frame),
		cmocka_unit_test(every_flipped_bit),
		cmocka_unit_test(every_ipv4_header_length),
		cmocka_unit_test(only_frames_of_the_gateway_for_us_come_in),
		cmocka_unit_test(the_page_tells_what_vmmd_said),
		cmocka_unit_test(counters_out_of_range),
		cmocka_unit_test(frames_go_out_in_order),
		cmocka_unit_test(every_length_of_a_ring),
		cmocka_unit_test(a_full_ring_takes_nothing_more),
		cmocka_unit_test(a_frame_is_shown_when_the_host_says_so),
		cmocka_unit_test(draining_leaves_nothing),
	};

	guard_init(&guard);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
