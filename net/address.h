/* SPDX-License-Identifier: MIT
 *
 * The addresses of the subnet: the first is the bridge's, the last the broadcast, the rest the instances'. One that was
 * given back waits before it is used again, so that a packet or a connection meant for the old holder cannot reach the
 * new one; the one that was given back longest ago comes first. Times in ns of CLOCK_MONOTONIC, from the caller.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdint.h>

#include "lib/err.h"

struct address_free {
	uint32_t address;
	uint64_t since_ns; /* usable from then on */
};

struct addresses {
	uint32_t gateway;
	unsigned prefix;
	unsigned total;	     /* for instances */
	unsigned head, free; /* ring of `total` entries */
	uint64_t reuse_ns;
	struct address_free *ring; /* owned */
};

int addresses_init(struct addresses *a, uint32_t base, unsigned prefix, unsigned reuse_s, struct err *err);
void addresses_end(struct addresses *a);
/* 0, or -1 with ERR_FULL: how many are in use, how many wait, and when the next one may be used. */
int address_take(struct addresses *a, uint64_t now_ns, uint32_t *out, struct err *err);
void address_give(struct addresses *a, uint32_t address, uint64_t now_ns);
/* Puts back one that nobody has used: it need not wait. */
void address_return(struct addresses *a, uint32_t address);
unsigned addresses_resting(const struct addresses *a, uint64_t now_ns); /* free, but not yet usable */

#endif
