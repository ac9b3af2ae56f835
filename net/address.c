/* SPDX-License-Identifier: MIT */
#include "net/address.h"

#include <assert.h>
#include <stdlib.h>

#include "net/names.h"

int addresses_init(struct addresses *a, uint32_t base, unsigned prefix, unsigned reuse_s, struct err *err)
{
	assert(prefix >= 16 && prefix <= 29); /* lib/config.c has seen to it */
	*a = (struct addresses){ .gateway = base + 1, .prefix = prefix, .reuse_ns = reuse_s * 1000000000ull };
	a->total = a->free = (1u << (32 - prefix)) - 3;
	a->ring = calloc(a->total, sizeof *a->ring);
	if (!a->ring)
		return err_set(err, ERR_INTERNAL, "out of memory for %u addresses", a->total);
	for (unsigned i = 0; i < a->total; i++)
		a->ring[i].address = base + 2 + i;
	return 0;
}

void addresses_end(struct addresses *a)
{
	free(a->ring);
	a->ring = NULL;
}

int address_take(struct addresses *a, uint64_t now_ns, uint32_t *out, struct err *err)
{
	const struct address_free *first = &a->ring[a->head];
	char text[16];

	if (a->free && first->since_ns <= now_ns) {
		*out = first->address;
		a->head = (a->head + 1) % a->total;
		a->free--;
		return 0;
	}
	net_ipv4_text(a->gateway - 1, text);
	if (!a->free)
		return err_set(err, ERR_FULL, "no address is free in %s/%u: all %u are in use (network.subnet)", text,
			       a->prefix, a->total);
	return err_set(
		err, ERR_FULL,
		"no address is free in %s/%u: %u of %u are in use, %u wait after use (network.reuse_s), the next "
		"for another %llu s",
		text, a->prefix, a->total - a->free, a->total, a->free,
		(unsigned long long)((first->since_ns - now_ns + 999999999u) / 1000000000u));
}

void address_give(struct addresses *a, uint32_t address, uint64_t now_ns)
{
	assert(a->free < a->total);
	a->ring[(a->head + a->free++) % a->total] = (struct address_free){ address, now_ns + a->reuse_ns };
}

void address_return(struct addresses *a, uint32_t address)
{
	assert(a->free < a->total);
	a->head = (a->head + a->total - 1) % a->total;
	a->free++;
	a->ring[a->head] = (struct address_free){ address, 0 };
}

unsigned addresses_resting(const struct addresses *a, uint64_t now_ns)
{
	unsigned low = 0, high = a->free; /* times ascend from the head */
	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (a->ring[(a->head + middle) % a->total].since_ns <= now_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return a->free - low;
}
