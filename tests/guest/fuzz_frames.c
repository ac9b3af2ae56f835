/* SPDX-License-Identifier: MIT
 *
 * The guest's TCP against a peer that may send anything, and a program that may call anything. The input is a list of steps: a
 * frame made of its bytes, a segment that fits the connection (or nearly), a call on a socket, time that passes. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "guest/net.h"

enum { PORT = 80, SINK = 5432, OWN = 4, HEADERS = 14 + 20 + 20 };

static struct {
	struct ppce_net net;
	uint8_t rest[PPCE_NET_BYTES - sizeof(struct ppce_net)];
} page __attribute__((aligned(4096)));
static struct ppce_io io = { .net_at = (uint64_t)&page };
static uint64_t clock_ns = 1;

/* What the peer knows of the last segment that the guest sent. */
static struct {
	uint16_t port, peer_port;
	uint32_t next, ack;
} seen;

static const uint8_t *input;
static size_t left;

struct ppce_io *los_io = &io;

uint64_t los_monotonic_ns(void)
{
	return clock_ns;
}

void los_random(void *out, size_t len)
{
	memset(out, 0x5a, len);
}

void los_panic(const char *text)
{
	(void)text;
	abort();
}

static uint8_t take(void)
{
	if (!left)
		return 0;
	left--;
	return *input++;
}

static uint8_t *slot(unsigned ring, uint32_t n)
{
	return (uint8_t *)&page + PPCE_PAGE + (ring * PPCE_NET_SLOTS + n % PPCE_NET_SLOTS) * PPCE_NET_SLOT_BYTES;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof v);
	return ntohl(v);
}

static void look(const uint8_t *frame, uint16_t len)
{
	if (len < HEADERS || len > PPCE_NET_FRAME_MAX)
		abort();
	seen.port = (uint16_t)(frame[34] << 8 | frame[35]);
	seen.peer_port = (uint16_t)(frame[36] << 8 | frame[37]);
	seen.next = get32(frame + 38) + (len - 34u - (frame[46] >> 4) * 4u) + ((frame[47] & 3) != 0);
	seen.ack = get32(frame + 42);
}

int64_t los_call(enum ppce_call call, uint64_t wait_us, uint64_t unused)
{
	(void)unused;
	if (call != PPCE_CALL_NET || page.net.tx_put - page.net.tx_taken > PPCE_NET_SLOTS)
		abort();
	for (; page.net.tx_taken != page.net.tx_put; page.net.tx_taken++)
		look(slot(0, page.net.tx_taken), page.net.tx_len[page.net.tx_taken % PPCE_NET_SLOTS]);
	clock_ns += (wait_us < 1000000 ? wait_us : 1000000) * 1000;
	return page.net.rx_put - page.net.rx_taken;
}

static void deliver(const uint8_t *frame, uint16_t len)
{
	if (page.net.rx_put - page.net.rx_taken >= PPCE_NET_SLOTS)
		return;
	memcpy(slot(1, page.net.rx_put), frame, len);
	page.net.rx_len[page.net.rx_put % PPCE_NET_SLOTS] = len;
	page.net.rx_put++;
}

static uint16_t sum(const uint8_t *at, size_t len, uint32_t start)
{
	for (size_t i = 0; i < len; i++)
		start += i % 2 ? at[i] : at[i] * 256u;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return (uint16_t)~start;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

/* A segment with `words` words of options and `len` bytes; checksums are right, so that it is looked at. */
static void send_segment(uint16_t from, uint16_t to, uint32_t seq, uint32_t ack, uint8_t flags, size_t words,
			 size_t len)
{
	uint8_t f[PPCE_NET_FRAME_MAX] = { [12] = 8, [14] = 0x45, [22] = 64, [23] = 6 };
	size_t tcp = 20 + words * 4 + len;

	put16(f + 16, (uint32_t)(20 + tcp));
	put32(f + 26, page.net.gateway);
	put32(f + 30, page.net.ipv4);
	put16(f + 24, sum(f + 14, 20, 0));
	put16(f + 34, from);
	put16(f + 36, to);
	put32(f + 38, seq);
	put32(f + 42, ack);
	f[46] = (uint8_t)((5 + words) << 4);
	f[47] = flags;
	put16(f + 48, take() * 64u);
	for (size_t i = 0; i < words * 4; i++)
		f[HEADERS + i] = take();
	memset(f + HEADERS + words * 4, 'x', len);
	put16(f + 50, sum(f + 26, 8 + tcp, 6 + (uint32_t)tcp));
	deliver(f, (uint16_t)(34 + tcp));
}

static void step_segment(uint8_t kind)
{
	uint8_t flags = take(), how = take();
	size_t words = how & 8 ? how >> 5 : 0, len = take() * 5u;

	if (kind == 0) /* a client of the guest's server */
		send_segment((uint16_t)(1000 + how % 4), PORT, 7000, 0, 2, words, 0);
	else
		send_segment(seen.peer_port, seen.port, seen.ack + (uint32_t)(how & 1 ? (int8_t)take() : 0),
			     seen.next + (uint32_t)(how & 2 ? (int8_t)take() : 0), flags, words, len);
}

static void step_frame(void)
{
	uint8_t f[256];
	uint16_t len = take();

	for (uint16_t i = 0; i < len; i++)
		f[i] = take();
	deliver(f, len);
}

static void step_call(struct los_socket **s)
{
	static uint8_t bytes[4096];
	struct los_socket **mine = &s[1 + take() % (OWN - 1)];
	struct iovec v = { bytes, take() * 16u };

	switch (take() % 8) {
	case 0:
		if (!*mine && (*mine = los_socket_new(true)))
			los_socket_connect(*mine, page.net.gateway, SINK);
		break;
	case 1:
		if (!*mine)
			los_socket_accept(s[0], mine);
		if (*mine)
			los_socket_set_nonblock(*mine, true);
		break;
	case 2:
		if (*mine)
			los_socket_recv(*mine, &v, 1, take() & MSG_PEEK);
		break;
	case 3:
		if (*mine)
			los_socket_send(*mine, &v, 1, 0);
		break;
	case 4:
		if (*mine)
			los_socket_shutdown(*mine, take() % 3);
		break;
	case 5:
		if (*mine)
			los_socket_set(*mine, LOS_KEEPALIVE, 1), los_socket_set(*mine, LOS_KEEPIDLE, 1);
		break;
	default:
		if (*mine)
			los_socket_ready(*mine), los_socket_release(*mine);
		*mine = NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct los_socket *begin(void)
{
	struct los_socket *s;

	page.net =
		(struct ppce_net){ .ipv4 = 0x0a4d0005, .prefix = 24, .gateway = 0x0a4d0001, .mtu = 1500, .nsinks = 1 };
	page.net.sink[0] = (struct ppce_net_sink){ .name = "sink", .port = SINK, .ipv4 = 0x0a4d0001 };
	los_net_start();
	s = los_socket_new(true);
	if (!s || los_socket_bind(s, 0, PORT) < 0 || los_socket_listen(s, 4) < 0)
		abort();
	return s;
}

static void end(struct los_socket **s)
{
	struct los_socket *waiting;

	while (los_socket_accept(s[0], &waiting) == 0)
		los_socket_release(waiting);
	for (size_t i = 1; i < OWN; i++)
		if (s[i])
			los_socket_release(s[i]);
	for (unsigned i = 0; i < 50; i++) /* what lwIP goes on with is ended by its timers */
		los_net_wait(clock_ns + 10000000000ull);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct los_socket *listener;
	struct los_socket *s[OWN] = { listener ? listener : (listener = begin()) };

	input = data;
	left = size;
	while (left) {
		uint8_t op = take() % 8;
		if (op < 4)
			step_segment(op);
		else if (op == 4)
			step_frame();
		else if (op == 5)
			los_net_wait(clock_ns + take() * 100000000ull);
		else
			step_call(s);
		los_net_poll();
	}
	end(s);
	return 0;
}
