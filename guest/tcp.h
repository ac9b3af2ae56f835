/* SPDX-License-Identifier: MIT
 *
 * What a socket is, between tcp.c (connections) and stream.c (bytes and questions). */
#ifndef GUEST_TCP_H
#define GUEST_TCP_H

#include "guest/net.h"

#include <lwip/tcp.h>

enum { LOS_BACKLOG = 4 };

enum state { FREE, FRESH, LISTENING, CONNECTING, CONNECTED, GONE };

struct los_socket {
	enum state state;
	unsigned refs;
	struct tcp_pcb *pcb; /* NULL when lwIP has given it up (GONE), or goes on with it alone */
	bool nonblock, eof, no_read, no_write;
	int error;		   /* that the program has not seen yet: errno */
	uint64_t recv_ns, send_ns; /* SO_RCVTIMEO, SO_SNDTIMEO; 0: none */
	uint32_t peer_ip;
	uint16_t peer_port, port;
	unsigned waiting; /* LISTENING: connections not accepted yet */
	struct los_socket *queue[LOS_BACKLOG];
	size_t at, len; /* of the bytes received in ring[] */
	uint8_t ring[TCP_WND];
};

LOS_HIDDEN int los_tcp_errno(err_t e);
/* The connection ends by itself from here on: both directions are closed, and a pcb in these states may vanish silently. */
LOS_HIDDEN void los_tcp_let_go(struct los_socket *s);
LOS_HIDDEN long los_tcp_take_error(struct los_socket *s); /* 0 or -errno */
/* Waits until ready(s), unless the caller does not want to (-EAGAIN); `span` ns at most, 0: no limit. */
LOS_HIDDEN long los_tcp_wait(struct los_socket *s, bool (*ready)(const struct los_socket *), bool dont_wait,
			     uint64_t span);

#endif
