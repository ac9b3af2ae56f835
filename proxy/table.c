/* SPDX-License-Identifier: MIT */
#include "proxy/table.h"

#include <assert.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_START 64

static unsigned char table_key[crypto_shorthash_KEYBYTES];
static bool table_keyed;

int table_init(struct table *t)
{
	if (!table_keyed) {
		randombytes_buf(table_key, sizeof table_key);
		table_keyed = true;
	}
	*t = (struct table){ .buckets = calloc(TABLE_START, sizeof(struct table_link *)), .mask = TABLE_START - 1 };
	return t->buckets ? 0 : -1;
}

void table_free(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}

uint64_t table_hash(const void *key, size_t len)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t hash;
	_Static_assert(sizeof out == sizeof hash, "a hash is 64 bits");
	crypto_shorthash(out, key, len, table_key);
	memcpy(&hash, out, sizeof hash);
	return hash;
}

struct table_link *table_first(const struct table *t, uint64_t hash)
{
	struct table_link *l = t->buckets[hash & t->mask];
	while (l && l->hash != hash)
		l = l->next;
	return l;
}

struct table_link *table_next(const struct table_link *link)
{
	struct table_link *l = link->next;
	while (l && l->hash != link->hash)
		l = l->next;
	return l;
}

/* Doubles the table. When memory is short the chains just stay longer. */
static void grow(struct table *t)
{
	size_t size = (t->mask + 1) * 2;
	struct table_link **buckets = calloc(size, sizeof(struct table_link *));
	if (!buckets)
		return;
	for (size_t i = 0; i <= t->mask; i++) {
		for (struct table_link *l = t->buckets[i], *next; l; l = next) {
			next = l->next;
			l->next = buckets[l->hash & (size - 1)];
			buckets[l->hash & (size - 1)] = l;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->mask = size - 1;
}

void table_insert(struct table *t, struct table_link *link, uint64_t hash)
{
	if (t->count > t->mask)
		grow(t);
	link->hash = hash;
	link->next = t->buckets[hash & t->mask];
	t->buckets[hash & t->mask] = link;
	t->count++;
}

void table_remove(struct table *t, struct table_link *link)
{
	struct table_link **at = &t->buckets[link->hash & t->mask];
	while (*at && *at != link)
		at = &(*at)->next;
	assert(*at);
	*at = link->next;
	link->next = NULL;
	t->count--;
}
