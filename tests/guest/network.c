/* SPDX-License-Identifier: MIT
 *
 * A guest that serves frames by hand, without a TCP/IP stack: well-behaved on most commands, wild on the others. A command is
 * an IPv4 packet of protocol 253; its first byte says what to do. Requests on the channel work too. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <ppce/abi.h>
#include <ppce/ppce.h>

#include "guest/app.h"
#include "guest/os.h"

enum { ETHERNET = 14, HEAD = ETHERNET + 20, ARP_END = ETHERNET + 28, PROTOCOL = 253 };

static struct ppce_net *net;
static uint32_t tx_put, rx_taken, memory;
static uint64_t calls;
static bool spinning; /* asks for frames without ever waiting */

static uint8_t *slot(bool rx, uint32_t n)
{
	return (uint8_t *)net + PPCE_PAGE + ((rx ? PPCE_NET_SLOTS : 0) + n % PPCE_NET_SLOTS) * PPCE_NET_SLOT_BYTES;
}

static int64_t call_net(uint64_t wait_us)
{
	calls++;
	return los_call(PPCE_CALL_NET, wait_us, 0);
}

static void put(const void *frame, size_t len)
{
	while (tx_put - *(volatile uint32_t *)&net->tx_taken == PPCE_NET_SLOTS)
		call_net(0);
	memcpy(slot(false, tx_put), frame, len <= PPCE_NET_SLOT_BYTES ? len : PPCE_NET_SLOT_BYTES);
	net->tx_len[tx_put % PPCE_NET_SLOTS] = (uint16_t)len;
	net->tx_put = ++tx_put;
}

static void put_number(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void reply(const void *payload, size_t len)
{
	uint8_t frame[PPCE_NET_FRAME_MAX] = { 0 };

	memcpy(frame, net->gateway_mac, 6);
	memcpy(frame + 6, net->mac, 6);
	frame[12] = 8;
	frame[ETHERNET] = 0x45;
	frame[ETHERNET + 2] = (uint8_t)((len + 20) >> 8);
	frame[ETHERNET + 3] = (uint8_t)(len + 20);
	frame[ETHERNET + 8] = 64;
	frame[ETHERNET + 9] = PROTOCOL;
	put_number(frame + ETHERNET + 12, net->ipv4);
	put_number(frame + ETHERNET + 16, net->gateway);
	memcpy(frame + HEAD, payload, len);
	put(frame, HEAD + len);
}

static void answer_arp(const uint8_t *question)
{
	uint8_t frame[ARP_END];

	memcpy(frame, question, sizeof frame);
	memcpy(frame, question + 6, 6);
	memcpy(frame + 6, net->mac, 6);
	frame[ETHERNET + 7] = 2;
	memcpy(frame + ETHERNET + 18, question + ETHERNET + 8, 10);
	memcpy(frame + ETHERNET + 8, net->mac, 6);
	put_number(frame + ETHERNET + 14, net->ipv4);
	put(frame, sizeof frame);
}

static uint64_t now_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void spin(uint32_t ms)
{
	for (uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * 1000000ull; now_ns(CLOCK_MONOTONIC) < end;)
		;
}

static void flood(uint32_t n)
{
	static const uint8_t drop[600] = { 'd' };

	while (n--)
		reply(drop, sizeof drop);
	call_net(0);
	call_net(0);
	reply(&(char){ 'F' }, 1);
}

/* Rings without waiting for the host, and changes the frame while the host may be reading it: from an allowed one to one
 * with a wrong sender, and its length to one out of range if asked to. Only where the host is another process. */
static void race(uint32_t rounds, bool lengths)
{
	volatile uint8_t *frame;
	char byte = 0;

	while (rounds--) {
		reply("race", 4);
		uint32_t n = tx_put - 1;
		frame = slot(false, n);
		long r = SYS_sendto;
		register long r10 asm("r10") = 0, r8 asm("r8") = 0, r9 asm("r9") = 0;
		los_io->call = PPCE_CALL_NET;
		los_io->arg[0] = 0;
		asm volatile("syscall"
			     : "+a"(r)
			     : "D"((long)los_io->doorbell_fd), "S"(&byte), "d"(1l), "r"(r10), "r"(r8), "r"(r9)
			     : "rcx", "r11", "memory");
		/* until the host has taken it */
		for (int i = 0; i < 500000 && *(volatile uint32_t *)&net->tx_taken != tx_put; i++) {
			frame[7] ^= 0xff;
			frame[29] ^= 0xff;
			if (lengths)
				*(volatile uint16_t *)&net->tx_len[n % PPCE_NET_SLOTS] ^= 0xf000;
		}
		r = SYS_recvfrom;
		asm volatile("syscall"
			     : "+a"(r)
			     : "D"((long)los_io->doorbell_fd), "S"(&byte), "d"(1l), "r"(r10), "r"(r8), "r"(r9)
			     : "rcx", "r11", "memory");
	}
	reply("R", 1);
}

static void tell_time(void)
{
	uint64_t times[] = { now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_REALTIME), calls };

	reply(times, sizeof times);
}

static void call_store(void)
{
	if (los_io->data_at)
		memset((void *)los_io->data_at, 0x77, 8);
	reply(&(int64_t){ los_call(PPCE_CALL_STORE, 1, 8) }, 8);
}

static void obey(const uint8_t *command, size_t len)
{
	uint32_t n = 0;

	if (len >= 5)
		memcpy(&n, command + 1, sizeof n);
	switch (command[0]) {
	case 'e':
		return reply(command, len);
	case 'm': /* remembers a number; tells the one before */
		reply(&memory, sizeof memory);
		memory = n;
		return;
	case 'i':
		return reply(net, offsetof(struct ppce_net, tx_put));
	case 'a': { /* addresses in the control page */
		uint64_t at[] = { los_io->net_at, los_io->data_at, los_io->data_max, los_io->response_at };
		return reply(at, sizeof at);
	}
	case 't':
		return tell_time();
	case 's':
		return call_store();
	case 'd':
		return spin(n);
	case 'x':
		return spin(UINT32_MAX);
	case 'z':
		spinning = true;
		return;
	case 'f':
		return flood(n);
	case 'w':
		return race(n, false);
	case 'W':
		return race(n, true);
	case 'r': /* any frame */
		return put(command + 1, len - 1);
	case 'l': /* any length */
		reply("", 0);
		net->tx_len[(tx_put - 1) % PPCE_NET_SLOTS] = (uint16_t)n;
		return;
	case 'p':
		net->tx_put = tx_put + n;
		return;
	case 'q':
		net->rx_taken = rx_taken + n;
		call_net(0);
		return;
	case 'n': /* waits for n us */
		reply(&(int64_t){ call_net(n) }, 8);
		return;
	case 'k': /* leaves what has come in its ring */
		while (call_net(0) < PPCE_NET_SLOTS)
			;
		return reply("K", 1);
	case 'c':
		reply(&(int64_t){ los_call((enum ppce_call)n, 0, 0) }, 8);
		return;
	case 'u': /* forges what is the host's in the page and the rings */
		net->tx_taken = net->rx_put = 0x12345678;
		net->ipv4 = 0;
		memset(net->mac, 0xee, 6);
		return;
	default:
		return;
	}
}

static void take(const uint8_t *frame, size_t len)
{
	if (len >= ARP_END && frame[12] == 8 && frame[13] == 6)
		answer_arp(frame);
	else if (len > HEAD && frame[ETHERNET + 9] == PROTOCOL)
		obey(frame + HEAD, len - HEAD);
}

_Noreturn static void serve_frames(void)
{
	uint8_t frame[PPCE_NET_FRAME_MAX];

	net = (struct ppce_net *)los_io->net_at;
	for (;;) {
		int64_t n = call_net(spinning ? 0 : PPCE_NET_FOREVER);
		if (n < 0)
			los_panic("no network");
		for (; n > 0; n--) {
			size_t len = net->rx_len[rx_taken % PPCE_NET_SLOTS];
			memcpy(frame, slot(true, rx_taken), len);
			net->rx_taken = ++rx_taken;
			take(frame, len);
		}
	}
}

/* The library's own loop would come after this. */
static int serve(void)
{
	struct ppce_io *io = los_io;
	size_t answer = 0;

	while (io) {
		int64_t len = los_call(PPCE_CALL_WAIT, answer, 0);
		if (len == 0)
			serve_frames();
		answer = app_serve((const void *)io->request_at, (size_t)len, (void *)io->response_at,
				   (size_t)io->response_max);
	}
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_reply(res, 200, "text/plain", "%ld %u\n", (long)los_call(PPCE_CALL_NET, 0, 0), ++memory);
}

PPCE_APP(.name = "network", .init = serve, .handle = handle, .queries = "mine", .data_kib = 4)
