/* SPDX-License-Identifier: MIT
 *
 * ppce-net owns the bridge and the taps, and does nothing else. Its whole state is one structure, which every module
 * takes as its first argument. The loop's thread speaks with vmmd, keeps the lists and changes the nftables sets; one
 * worker thread makes, readdresses and removes taps, one job at a time, because those wait for the kernel's big network
 * lock. So a tap that is ready is handed over whatever else goes on.
 *
 *   main.c      start, signals, orderly end            nl.c        netlink batches
 *   peer.c      the socket to vmmd                     link.c      bridge and ports (rtnetlink)
 *   taps.c      life of a tap, lists                   tap.c       /dev/net/tun
 *   plan.c      what the worker does next              expr.c      nftables rules as the kernel takes them
 *   maker.c     the worker                             rules_table.c, rules.c   our table
 *   address.c   subnet, rest after use                 watch.c     changes made by others
 *   names.c     names in the kernel                    port.c      a tap and its port as a whole
 *   rest.c      metrics and listing                    probe.c     can this machine do it?
 *   jail.c      capabilities, seccomp
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <uv.h>

#include "lib/config.h"
#include "net/address.h"
#include "net/link.h"
#include "net/maker.h"
#include "net/names.h"
#include "net/peer.h"
#include "net/rules.h"
#include "net/taps.h"
#include "net/watch.h"

struct net_metrics {
	uint64_t takes_pool, takes_made; /* taps handed over */
	uint64_t refused;
	uint64_t gives; /* taken back, by message or by the end of a connection */
	uint64_t recycled, made, removed;
	uint64_t still_held;			 /* taps given back whose descriptor somebody kept: removed */
	uint64_t lost;				 /* taps that others removed or detached */
	uint64_t faults;			 /* connections ended for what they sent */
	uint64_t make_us, recycle_us, remove_us; /* sums */
	uint64_t cleaned;			 /* links of an earlier life found at the start */
};

struct net {
	uv_loop_t loop;
	struct config config;
	struct net_names names;
	struct link_bridge bridge;
	struct addresses addresses;
	struct rules rules;
	struct taps taps;
	struct maker maker;
	struct peers peers;
	struct watch watch;
	struct net_metrics metrics;
	bool ending;
	bool failed; /* ends because the kernel's state is no longer ours */
};

/* The kernel's state is not what it should be: the daemon ends, which removes everything, and is started again. */
void net_fail(struct net *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
