/* SPDX-License-Identifier: MIT
 *
 * A guest's network: the rings of struct ppce_net on one side, the tap's descriptor on the other. The guest's half of the
 * rings is untrusted and may change at any time: its two counters and each length are read once and checked, a frame is
 * copied once, and the copy is what is judged and sent. The host's counters live in our own memory.
 *
 * The kernel's rules for the tap (docs/network.md) hold against a tender that was taken over; the checks here hold
 * against a guest, before the kernel sees anything of it.
 */
#ifndef TENDER_NET_H
#define TENDER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/abi.h>
#include <ppce/control.h>

struct net {
	int tap; /* non-blocking; one read or write is one frame */
	struct control_net config;
	struct ppce_net *page;	   /* guest memory */
	uint32_t tx_taken, rx_put; /* ours */
	uint32_t tx_put, rx_taken; /* the guest's as net_look() has found them, at most PPCE_NET_SLOTS away from ours */
	uint64_t in, out, dropped;
	char reason[PPCE_REASON_SIZE]; /* after NET_BROKEN and NET_LOST_TAP, for operators */
};

enum net_end {
	NET_DONE,
	NET_BROKEN,   /* the guest broke the rules of its ring */
	NET_LOST_TAP, /* the tap is gone */
};

/* May the instance send this frame? From its own MAC to the gateway's; ARP that speaks for itself, or IPv4 from its own
 * address; nothing else. Pure. */
bool net_frame_allowed(const uint8_t *frame, size_t len, const struct control_net *c);
/* Is this frame for the instance, from the gateway? Pure. */
bool net_frame_wanted(const uint8_t *frame, size_t len, const struct control_net *c);

/* A fresh or pristine guest: what it is told of its network, rings empty. The totals .in, .out, .dropped go on. */
void net_begin(struct net *n, struct ppce_net *page);
/* Reads the guest's counters; NET_BROKEN: they are out of range. Before anything below, once a call. */
enum net_end net_look(struct net *n);
/* Copies the next frame out of tx. Its length; 0: there is none; -1: its length is out of range. */
int net_take(struct net *n, uint8_t frame[PPCE_NET_FRAME_MAX]);
/* Everything in tx into the tap. Frames that are not allowed, or that the tap has no room for, are dropped. */
enum net_end net_send(struct net *n);
/* What has come for the guest into rx, as far as there is room; the guest sees it after net_show(). */
enum net_end net_receive(struct net *n);
/* Frames that are in rx now. */
uint32_t net_show(struct net *n);
/* Drops what waits in the tap. */
void net_drain(struct net *n);

#endif
