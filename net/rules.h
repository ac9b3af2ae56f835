/* SPDX-License-Identifier: MIT
 *
 * What may pass between a tap and the host: one nftables table of the bridge family. Its chains never change; who may
 * do what is in its sets, so that opening and closing a port is one short transaction. docs/network.md shows the table as
 * `nft list` prints it and says what each rule is there for. In short:
 *
 *   ports    port . MAC . address       who may speak, and to whom may be spoken, on which port
 *   sinks    port . address . TCP port  where a port's holder may connect to
 *   flows    address . port . our port  connections of the platform's to an instance; only packets of its own add to it
 *   closing  the same, after the host's FIN
 *
 * Everything else from or to a tap is dropped, in the kernel, whoever holds the tap.
 */
#ifndef NET_RULES_H
#define NET_RULES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "net/names.h"
#include "net/nl.h"

/* A connection in which the host sends nothing is forgotten after the time that an address rests after use, within these
 * bounds: then the next holder of the address finds none. */
#define RULES_FLOW_MIN_S 10u
#define RULES_FLOW_MAX_S 300u
#define RULES_FLOWS_MAX 262144u
#define RULES_CLOSING_S 10u
#define RULES_ARP_A_SECOND 20u /* of one port */
#define RULES_OPENERS_MAX 3

struct rules {
	struct nl nl;
	struct net_names names;
	uint32_t gateway;
	uint8_t mac[MAC_SIZE];
	uid_t openers[RULES_OPENERS_MAX]; /* users whose processes may connect to instances */
	unsigned nopeners;
	unsigned flow_s; /* RULES_FLOW_MIN_S..RULES_FLOW_MAX_S */
	bool owned;	 /* the kernel lets nobody else change the table */
	struct nl_batch batch;
};

/* The caller sets names, gateway, mac, openers and flow_s. Removes a table of an earlier life first; *found says whether there was
 * one. */
int rules_create(struct rules *r, bool *found, struct err *err);
int rules_delete(struct rules *r, struct err *err);
void rules_end(struct rules *r);		   /* closes the socket */
int rules_check(struct rules *r, struct err *err); /* is the table there? */

/* Changes: all of them take effect at once with rules_commit(), or none. At most RULES_CHANGES between two commits. */
#define RULES_CHANGES 60
void rules_begin(struct rules *r);
void rules_port(struct rules *r, bool open, const char *port, uint32_t address);
void rules_sink(struct rules *r, bool open, const char *port, uint32_t address, uint16_t tcp_port);
unsigned rules_left(const struct rules *r); /* changes that still fit */
int rules_commit(struct rules *r, struct err *err);

#endif
