/* SPDX-License-Identifier: MIT
 *
 * What this platform's things are called in the kernel. All names start with "pp" and eight hex digits of a hash of DIR,
 * so that platforms share a machine without touching each other, and what an earlier life left behind is found.
 *
 *   pp1a2b3c4dbr       the bridge (network.bridge: auto)
 *   pp1a2b3c4dt0001    a tap
 *   pp1a2b3c4d         the nftables table, family bridge
 */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include <net/if.h>
#include <stdint.h>

#include "lib/config.h"

#define MAC_SIZE 6

struct net_names {
	char prefix[12];     /* of everything, and the table's name */
	char tap_prefix[13]; /* prefix and "t" */
	char bridge[IFNAMSIZ];
	char alias[256];	/* "ppce DIR": shown by `ip link`, and how a bridge with a name of its own is known */
	uint32_t group, doomed; /* link groups: ours, and those to be removed next */
};

void net_names(const struct config *config, struct net_names *out);
void net_tap_name(const struct net_names *names, unsigned number, char out[IFNAMSIZ]); /* number < 65536 */
/* 02:50 (locally administered) and the four bytes of the address: who holds an address holds this MAC. */
void net_mac(uint32_t ipv4, uint8_t out[MAC_SIZE]);
const char *net_ipv4_text(uint32_t ipv4, char out[16]);

#endif
