/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: any bytes as a frame, and any bytes as the guest's half of the rings. What may pass says who we are; what is
 * taken from the rings is bounded. The input is xored with good bytes, so that zeros are a good frame and good rings.
 */
#include <stdlib.h>
#include <string.h>

#include "tender/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct control_net config = { .ipv4 = 0x0a4d0005,
					   .gateway = 0x0a4d0001,
					   .mac = { 2, 0x50, 10, 77, 0, 5 },
					   .gateway_mac = { 2, 0x50, 10, 77, 0, 1 } };

static uint8_t *mixed(const uint8_t *good, size_t good_size, const uint8_t *data, size_t size)
{
	uint8_t *out = malloc(size + 1);

	if (!out)
		abort();
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(data[i] ^ (i < good_size ? good[i] : 0));
	return out;
}

static void try_frame(const uint8_t *data, size_t size)
{
	static const uint8_t arp[] = { 2, 0x50, 10, 77, 0, 1, 2, 0x50, 10, 77, 0, 5, 8,	 6,  0, 1,
				       8, 0,	6,  4,	0, 2, 2, 0x50, 10, 77, 0, 5, 10, 77, 0, 5 };
	uint8_t *frame = mixed(arp, sizeof arp, data, size);

	if (net_frame_allowed(frame, size, &config)) {
		size_t sender = frame[13] == 6 ? 28 : 26;
		if (memcmp(frame, config.gateway_mac, 6) != 0 || memcmp(frame + 6, config.mac, 6) != 0 ||
		    frame[12] != 8 || (frame[13] != 0 && frame[13] != 6) ||
		    memcmp(frame + sender, (uint8_t[]){ 10, 77, 0, 5 }, 4) != 0 || size > PPCE_NET_FRAME_MAX)
			abort();
	}
	if (net_frame_wanted(frame, size, &config) && memcmp(frame, config.mac, 6) != 0)
		abort();
	free(frame);
}

static void try_rings(const uint8_t *data, size_t size)
{
	static uint8_t good[sizeof(struct ppce_net) - offsetof(struct ppce_net, tx_put)];
	static _Alignas(PPCE_PAGE) uint8_t memory[PPCE_NET_BYTES];
	uint8_t frame[PPCE_NET_FRAME_MAX];
	struct net n = { .tap = -1, .config = config };
	size_t rings = offsetof(struct ppce_net, tx_put);
	int taken = 0, len;

	net_begin(&n, (struct ppce_net *)(void *)memory);
	n.tx_taken = n.rx_put = size ? (uint32_t)data[0] << 24 : 0;
	memset(good, 0, sizeof good);
	memcpy(good, &n.tx_taken, 4); /* tx_put and rx_taken as a guest that has done nothing */
	memcpy(good + 12, &n.rx_put, 4);
	uint8_t *half = mixed(good, sizeof good, data, size < sizeof good ? size : sizeof good);
	memcpy(memory + rings, half, size < sizeof good ? size : sizeof good);
	if (net_look(&n) == NET_DONE) {
		while ((len = net_take(&n, frame)) > 0)
			if (len < (int)PPCE_NET_FRAME_MIN || len > (int)PPCE_NET_FRAME_MAX ||
			    ++taken > (int)PPCE_NET_SLOTS)
				abort();
		if (net_show(&n) > PPCE_NET_SLOTS)
			abort();
	}
	free(half);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_frame(data, size);
	try_rings(data, size);
	return 0;
}
