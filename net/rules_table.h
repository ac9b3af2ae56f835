/* SPDX-License-Identifier: MIT
 *
 * The table of net/rules.h: its sets and chains, added to a batch of nft_begin(). */
#ifndef NET_RULES_TABLE_H
#define NET_RULES_TABLE_H

#include "net/expr.h"
#include "net/rules.h"

#define SET_PORTS "ports"
#define SET_SINKS "sinks"
#define SET_FLOWS "flows"
#define SET_CLOSING "closing"
#define SET_ARPS "arps"

/* Keys as they lie in the registers: each part starts at a multiple of four bytes. */
struct key_port {
	char port[16];
	uint8_t mac[6], pad[2];
	uint32_t address; /* network byte order, here and below */
};
struct key_sink {
	char port[16];
	uint32_t address;
	uint16_t tcp_port, pad;
};
struct key_flow {
	uint32_t address;
	uint16_t its_port, pad1, our_port, pad2;
};

void rules_table_sets(struct rules *r);
/* The two halves of the chains; each fits one batch. */
void rules_table_from_tap(struct rules *r);
void rules_table_to_tap(struct rules *r);

#endif
