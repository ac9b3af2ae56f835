/* SPDX-License-Identifier: MIT
 *
 * The proxy's end of a SOCK_SEQPACKET connection to vmmd or auth: connects, checks the peer's credentials, reconnects
 * when the peer goes away (after 100 ms, then twice as long each time, at most 1 s) and hands over packets of one fixed
 * size. Packets are from a trusted daemon but still checked by the receiver.
 */
#ifndef PROXY_LINK_H
#define PROXY_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "lib/buf.h"
#include "lib/err.h"

#define LINK_PACKET_MAX 4096

struct link_events {
	void (*up)(void *ctx);	 /* connected; sending works from here on */
	void (*down)(void *ctx); /* the connection is lost; never called from inside link_send() */
	/* One packet of `size` bytes, 8-aligned; `fd` is a descriptor that came with it, now the receiver's, or -1. A
	 * negative return closes the connection (and leads to down()). */
	int (*packet)(void *ctx, const void *data, size_t size, int fd);
};

struct link {
	uv_loop_t *loop;
	const struct link_events *events;
	void *ctx;
	const char *peer; /* "vmmd", for the log */
	char path[108];
	size_t packet_size;
	int fd; /* -1: not connected */
	uv_poll_t *poll;
	uv_timer_t *retry;
	unsigned retry_ms;
	bool lost_logged;
	struct buf out; /* whole packets that wait for room in the socket */
};

/* `l` is filled in full; the first attempt to connect happens at once. -1: out of memory. */
int link_start(struct link *l, uv_loop_t *loop, const char *peer, const char *path, size_t packet_size,
	       const struct link_events *events, void *ctx, struct err *err);
bool link_up(const struct link *l);
/* Sends one packet of packet_size bytes, or keeps it until the socket has room. -1: not connected, or too much waits. */
int link_send(struct link *l, const void *packet);
void link_stop(struct link *l); /* closes for good, without calling down() */

#endif
