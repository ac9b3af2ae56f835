/* SPDX-License-Identifier: MIT
 *
 * Others can change the machine's network too: a network manager, a firewall that is loaded anew, an operator by hand.
 * A tap that was removed or taken off the bridge is reported to its holder and given up; when the bridge or the nftables
 * table is gone, the daemon ends, which closes everything, and starts anew.
 */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include <uv.h>

#include "lib/err.h"
#include "net/nl.h"

struct net;

struct watch {
	struct nl nl;
	uv_poll_t poll;
	uv_timer_t timer; /* looks for the table where the kernel does not guard it for us */
};

int watch_start(struct net *n, struct err *err);
void watch_end(struct net *n);

#endif
