/* SPDX-License-Identifier: MIT */
#include "tender/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Frames (RFC 894, RFC 826, RFC 791): offsets from the start of the Ethernet header. */
enum {
	TO = 0,
	FROM = 6,
	TYPE = 12,
	PAYLOAD = 14,
	ARP_SENDER_MAC = PAYLOAD + 8,
	ARP_SENDER_IPV4 = PAYLOAD + 14,
	ARP_END = PAYLOAD + 28,
	IPV4_SOURCE = PAYLOAD + 12,
	IPV4_HEADER_MIN = 20,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	READS_A_CALL = 4 * PPCE_NET_SLOTS, /* frames for others among them; then the guest gets its turn */
	DRAIN_MAX = 4096,		   /* more than the queue of a tap holds */
};

/* Slots of frames follow the page: those of tx, then those of rx. */
static uint8_t *slot(const struct net *n, bool rx, uint32_t frame)
{
	uint32_t at = (rx ? PPCE_NET_SLOTS : 0) + frame % PPCE_NET_SLOTS;

	return (uint8_t *)n->page + PPCE_PAGE + at * PPCE_NET_SLOT_BYTES;
}

static uint32_t number(const uint8_t *at, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | at[i];
	return v;
}

static bool length_valid(size_t len)
{
	return len >= PPCE_NET_FRAME_MIN && len <= PPCE_NET_FRAME_MAX;
}

static bool arp_allowed(const uint8_t *frame, size_t len, const struct control_net *c)
{
	static const uint8_t ethernet_ipv4[] = { 0, 1, 8, 0, 6, 4, 0 }; /* and the operation's upper byte */

	return len >= ARP_END && memcmp(frame + PAYLOAD, ethernet_ipv4, sizeof ethernet_ipv4) == 0 &&
	       memcmp(frame + ARP_SENDER_MAC, c->mac, sizeof c->mac) == 0 &&
	       number(frame + ARP_SENDER_IPV4, 4) == c->ipv4;
}

static bool ipv4_allowed(const uint8_t *frame, size_t len, const struct control_net *c)
{
	size_t header = (frame[PAYLOAD] & 15u) * 4u;

	return frame[PAYLOAD] >> 4 == 4 && header >= IPV4_HEADER_MIN && len >= PAYLOAD + header &&
	       number(frame + IPV4_SOURCE, 4) == c->ipv4;
}

bool net_frame_allowed(const uint8_t *frame, size_t len, const struct control_net *c)
{
	if (!length_valid(len) || memcmp(frame + TO, c->gateway_mac, sizeof c->gateway_mac) != 0 ||
	    memcmp(frame + FROM, c->mac, sizeof c->mac) != 0)
		return false;
	switch (number(frame + TYPE, 2)) {
	case TYPE_ARP:
		return arp_allowed(frame, len, c);
	case TYPE_IPV4:
		return len >= PAYLOAD + IPV4_HEADER_MIN && ipv4_allowed(frame, len, c);
	default:
		return false;
	}
}

bool net_frame_wanted(const uint8_t *frame, size_t len, const struct control_net *c)
{
	return length_valid(len) && memcmp(frame + TO, c->mac, sizeof c->mac) == 0 &&
	       memcmp(frame + FROM, c->gateway_mac, sizeof c->gateway_mac) == 0;
}

void net_begin(struct net *n, struct ppce_net *page)
{
	const struct control_net *c = &n->config;
	struct ppce_net told = { .ipv4 = c->ipv4,
				 .prefix = c->prefix,
				 .gateway = c->gateway,
				 .mtu = c->mtu,
				 .port = c->port,
				 .nsinks = c->nsinks };

	memcpy(told.mac, c->mac, sizeof told.mac);
	memcpy(told.gateway_mac, c->gateway_mac, sizeof told.gateway_mac);
	for (unsigned i = 0; i < c->nsinks; i++) {
		memcpy(told.sink[i].name, c->sink[i].name, sizeof told.sink[i].name);
		told.sink[i].port = c->sink[i].port;
		told.sink[i].ipv4 = c->sink[i].ipv4;
	}
	n->page = page;
	*page = told;
	n->tx_taken = n->rx_put = n->tx_put = n->rx_taken = 0;
}

static enum net_end broken(struct net *n, const char *what, uint32_t value)
{
	snprintf(n->reason, sizeof n->reason, "broke its network ring: %s %u", what, value);
	return NET_BROKEN;
}

static enum net_end lost_tap(struct net *n, int error)
{
	snprintf(n->reason, sizeof n->reason, "its tap is gone: %s", error ? strerror(error) : "closed");
	return NET_LOST_TAP;
}

enum net_end net_look(struct net *n)
{
	const volatile struct ppce_net *page = n->page;
	uint32_t tx_put = page->tx_put, rx_taken = page->rx_taken;

	if (tx_put - n->tx_taken > PPCE_NET_SLOTS)
		return broken(n, "tx_put", tx_put);
	if (n->rx_put - rx_taken > PPCE_NET_SLOTS)
		return broken(n, "rx_taken", rx_taken);
	n->tx_put = tx_put;
	n->rx_taken = rx_taken;
	return NET_DONE;
}

int net_take(struct net *n, uint8_t frame[PPCE_NET_FRAME_MAX])
{
	const volatile struct ppce_net *page = n->page;

	if (n->tx_taken == n->tx_put)
		return 0;
	uint16_t len = page->tx_len[n->tx_taken % PPCE_NET_SLOTS];
	if (!length_valid(len)) {
		broken(n, "a frame's length", len);
		return -1;
	}
	memcpy(frame, slot(n, false, n->tx_taken), len);
	n->tx_taken++;
	return len;
}

/* A tap without room, or one that is down for the moment, loses frames as a wire does. */
static enum net_end send_one(struct net *n, const uint8_t *frame, size_t len)
{
	ssize_t done = -1;

	if (net_frame_allowed(frame, len, &n->config)) {
		do
			done = write(n->tap, frame, len);
		while (done < 0 && errno == EINTR);
		if (done < 0 && (errno == EBADFD || errno == EBADF || errno == EPIPE || errno == ENODEV))
			return lost_tap(n, errno);
	}
	if (done == (ssize_t)len)
		n->out++;
	else
		n->dropped++;
	return NET_DONE;
}

enum net_end net_send(struct net *n)
{
	uint8_t frame[PPCE_NET_FRAME_MAX];
	enum net_end end = NET_DONE;
	int len;

	while (end == NET_DONE && (len = net_take(n, frame)) != 0)
		end = len < 0 ? NET_BROKEN : send_one(n, frame, (size_t)len);
	n->page->tx_taken = n->tx_taken;
	return end;
}

/* One frame of the tap: 1; 0: there is none; -1: the tap is gone. *len may be that of a frame which is too long. */
static int read_tap(struct net *n, uint8_t *frame, size_t size, size_t *len)
{
	ssize_t got;

	do
		got = read(n->tap, frame, size);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EIO)) /* EIO: down */
		return 0;
	if (got <= 0) {
		lost_tap(n, got < 0 ? errno : 0);
		return -1;
	}
	*len = (size_t)got;
	return 1;
}

enum net_end net_receive(struct net *n)
{
	uint8_t frame[PPCE_NET_FRAME_MAX + 1];
	size_t len;

	for (unsigned i = 0; i < READS_A_CALL && n->rx_put - n->rx_taken < PPCE_NET_SLOTS; i++) {
		int got = read_tap(n, frame, sizeof frame, &len);
		if (got <= 0)
			return got < 0 ? NET_LOST_TAP : NET_DONE;
		if (!net_frame_wanted(frame, len, &n->config)) {
			n->dropped++;
			continue;
		}
		memcpy(slot(n, true, n->rx_put), frame, len);
		n->page->rx_len[n->rx_put % PPCE_NET_SLOTS] = (uint16_t)len;
		n->rx_put++;
		n->in++;
	}
	return NET_DONE;
}

uint32_t net_show(struct net *n)
{
	n->page->rx_put = n->rx_put;
	return n->rx_put - n->rx_taken;
}

void net_drain(struct net *n)
{
	uint8_t frame[PPCE_NET_FRAME_MAX + 1];
	size_t len;

	for (unsigned i = 0; i < DRAIN_MAX && read_tap(n, frame, sizeof frame, &len) > 0; i++)
		n->dropped++;
}
