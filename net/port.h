/* SPDX-License-Identifier: MIT
 *
 * A tap and its port as a whole: made, or made ready for its next holder. Slow (they wait for the kernel's network lock),
 * so the worker does it; bench/net.c measures it.
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include "net/link.h"

struct port {
	char name[IFNAMSIZ];
	unsigned ifindex;
	int fd;			/* -1: nobody's, or somebody else's */
	uint32_t before, after; /* addresses; 0: none */
	bool reown;		/* the tap was lent to another user */
};

/* Makes tap `name` with address `after`; sets .fd and .ifindex. On failure nothing is left behind. */
int port_make(struct nl *nl, const struct net_names *names, unsigned bridge, struct port *p, struct err *err);
/* Attaches a new queue where .fd is -1, and changes the address from `before` to `after`. ERR_CONFLICT: somebody still
 * holds the old queue. .fd is set even when a later step fails. */
int port_recycle(struct nl *nl, unsigned bridge, struct port *p, struct err *err);

#endif
