/* SPDX-License-Identifier: MIT */
#include "net/names.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

void net_names(const struct config *config, struct net_names *out)
{
	unsigned char hash[crypto_generichash_BYTES];
	uint32_t n;

	crypto_generichash(hash, sizeof hash, (const unsigned char *)config->dir, strlen(config->dir), NULL, 0);
	memcpy(&n, hash, sizeof n);
	snprintf(out->prefix, sizeof out->prefix, "pp%08x", n);
	snprintf(out->tap_prefix, sizeof out->tap_prefix, "%st", out->prefix);
	if (strcmp(config->network.bridge, "auto") == 0)
		snprintf(out->bridge, sizeof out->bridge, "%sbr", out->prefix);
	else
		snprintf(out->bridge, sizeof out->bridge, "%s", config->network.bridge);
	snprintf(out->alias, sizeof out->alias, "ppce %.250s", config->dir);
	out->group = 0x50000000u | (n & 0x07ffffffu);
	out->doomed = out->group | 0x08000000u;
}

void net_tap_name(const struct net_names *names, unsigned number, char out[IFNAMSIZ])
{
	snprintf(out, IFNAMSIZ, "%.11s%04x", names->tap_prefix, number & 0xffff);
}

void net_mac(uint32_t ipv4, uint8_t out[MAC_SIZE])
{
	const uint8_t mac[MAC_SIZE] = {
		0x02, 0x50, (uint8_t)(ipv4 >> 24), (uint8_t)(ipv4 >> 16), (uint8_t)(ipv4 >> 8), (uint8_t)ipv4
	};
	memcpy(out, mac, sizeof mac);
}

const char *net_ipv4_text(uint32_t ipv4, char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", ipv4 >> 24, (ipv4 >> 16) & 255, (ipv4 >> 8) & 255, ipv4 & 255);
	return out;
}
