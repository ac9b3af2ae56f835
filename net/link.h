/* SPDX-License-Identifier: MIT
 *
 * The bridge and its ports, by rtnetlink. Whatever closes a port is in force before the port is up.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "net/names.h"
#include "net/nl.h"

struct link_bridge {
	unsigned ifindex;
	uint32_t address; /* host byte order, as all addresses in this folder */
	unsigned prefix;
	uint8_t mac[MAC_SIZE];
};

/* Makes the bridge, up and addressed: no spanning tree, no multicast snooping, no IPv6. `forward`: packets that come in
 * through it may be routed on, which only sinks on other machines need. */
int link_bridge_create(struct nl *nl, const struct net_names *names, struct link_bridge *b, bool forward,
		       struct err *err);
int link_bridge_delete(struct nl *nl, unsigned ifindex, struct err *err);

/* Attaches a new tap: isolated from the other ports, nothing learned, nothing flooded to it, no IPv6; then up. It has no
 * address yet. */
int link_port_attach(struct nl *nl, const struct net_names *names, unsigned bridge, unsigned ifindex, struct err *err);
/* Takes the address `before` (0: none) from the port and gives it `after` (0: none): the static entry of the MAC in the
 * bridge's table, and the permanent one of the address in the host's neighbour table. */
int link_port_address(struct nl *nl, unsigned bridge, unsigned ifindex, uint32_t before, uint32_t after,
		      struct err *err);
/* Is the port in the state "forwarding"? It is a little after its descriptor was attached. */
int link_port_forwards(struct nl *nl, unsigned ifindex, bool *out, struct err *err);

/* Removes ports, their entries and their addresses (0: none): all at once, since one costs as much as many. */
struct link_doomed {
	unsigned ifindex;
	uint32_t address;
};
int link_ports_delete(struct nl *nl, const struct net_names *names, unsigned bridge, const struct link_doomed *ports,
		      size_t n, struct err *err);

/* Removes every link of ours, whoever made it. `*found` counts them. ERR_CONFLICT if a bridge with the configured name is
 * there and not ours. */
int link_clean(struct nl *nl, const struct net_names *names, unsigned *found, struct err *err);
/* ERR_CONFLICT with the name of the interface that has an address in this subnet already. */
int link_subnet_free(struct nl *nl, uint32_t base, unsigned prefix, struct err *err);

#endif
