// SPDX-License-Identifier: MIT
#include "auth/throttle.h"

#include <arpa/inet.h>
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"

#define NS_PER_S 1000000000ull

/* `full_at`: when the bucket will be full again (the generic cell rate algorithm's "theoretical arrival time"). In the
 * past: the bucket is full, the entry says nothing and is free. One number holds both the count and its age. */
struct entry {
	uint64_t key;
	uint64_t full_at;
};

struct throttle {
	uint64_t interval; /* ns that one try takes to come back */
	uint64_t burst;	   /* ns of a whole bucket */
	size_t sets;
	uint8_t secret[crypto_shorthash_KEYBYTES];
	struct entry entries[];
};

struct throttle *throttle_new(size_t entries, unsigned limit)
{
	struct throttle *t = calloc(1, sizeof *t + entries * sizeof t->entries[0]);

	if (!t)
		return NULL;
	t->interval = 60 * NS_PER_S / limit;
	t->burst = t->interval * limit;
	t->sets = entries / THROTTLE_WAYS;
	random_bytes(t->secret, sizeof t->secret);
	return t;
}

void throttle_free(struct throttle *t)
{
	free(t);
}

uint64_t throttle_key(const struct throttle *t, const void *bytes, size_t len)
{
	uint64_t key;

	static_assert(sizeof key == crypto_shorthash_BYTES, "SipHash gives 64 bits");
	crypto_shorthash((uint8_t *)&key, bytes, len, t->secret);
	return key;
}

static size_t first_of_set(const struct throttle *t, uint64_t key)
{
	return (size_t)(key & (t->sets - 1)) * THROTTLE_WAYS;
}

/* The key's own entry, or else the one it would take over: the fullest bucket of its set. */
static size_t find(const struct throttle *t, uint64_t key)
{
	size_t first = first_of_set(t, key), best = first;

	for (size_t i = first; i < first + THROTTLE_WAYS; i++) {
		if (t->entries[i].key == key && t->entries[i].full_at)
			return i;
		if (t->entries[i].full_at < t->entries[best].full_at)
			best = i;
	}
	return best;
}

/* When the bucket would be full again after one more try. */
static uint64_t after_try(const struct throttle *t, const struct entry *e, uint64_t now)
{
	return (e->full_at > now ? e->full_at : now) + t->interval;
}

unsigned throttle_peek(const struct throttle *t, uint64_t key, uint64_t now)
{
	uint64_t next = after_try(t, &t->entries[find(t, key)], now);

	if (next - now <= t->burst)
		return 0;
	return (unsigned)((next - now - t->burst + NS_PER_S - 1) / NS_PER_S);
}

unsigned throttle_take(struct throttle *t, uint64_t key, uint64_t now)
{
	unsigned wait = throttle_peek(t, key, now);
	struct entry *e = &t->entries[find(t, key)];

	if (wait)
		return wait;
	e->full_at = after_try(t, e, now);
	e->key = key;
	return 0;
}

void throttle_give_back(struct throttle *t, uint64_t key)
{
	struct entry *e = &t->entries[find(t, key)];

	if (e->key == key && e->full_at > t->interval)
		e->full_at -= t->interval;
}

/* "1.2.3.4:5" and "[::1]:5" without their ports; an address without a port stays whole. */
static void cut_port(const char *text, char *out, size_t size)
{
	const char *colon = strchr(text, ':');
	size_t len = strnlen(text, size - 1);

	if (*text == '[') {
		text++;
		len = strcspn(text, "]");
	} else if (colon && !strchr(colon + 1, ':')) {
		len = (size_t)(colon - text);
	}
	if (len >= size)
		len = size - 1;
	memcpy(out, text, len);
	out[len] = 0;
}

size_t throttle_address(const char *text, unsigned char out[64])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char host[64];
	uint8_t a[16];

	cut_port(text, host, sizeof host);
	if (inet_pton(AF_INET, host, a) == 1) {
		memcpy(out, a, 4);
		return 4;
	}
	if (inet_pton(AF_INET6, host, a) == 1) {
		bool v4 = !memcmp(a, mapped, sizeof mapped);

		memcpy(out, v4 ? a + 12 : a, v4 ? 4 : 8);
		return v4 ? 4 : 8;
	}
	memcpy(out, host, strlen(host));
	return strlen(host);
}
