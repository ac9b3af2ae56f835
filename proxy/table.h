/* SPDX-License-Identifier: MIT
 *
 * An intrusive hash table: the caller embeds struct table_link, owns the memory and compares the keys. Hashes come
 * from table_hash(), which is keyed (SipHash with a random key of the process), so that clients who choose labels or
 * tokens cannot choose collisions.
 *
 *	for (struct table_link *l = table_first(&t, hash); l; l = table_next(l))
 *		if (same_key(table_entry(l, struct thing, link), key)) ...
 */
#ifndef PROXY_TABLE_H
#define PROXY_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_link {
	struct table_link *next;
	uint64_t hash;
};

struct table {
	struct table_link **buckets;
	size_t mask, count;
};

#define table_entry(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Needs sodium_init() to have run. -1: out of memory. */
int table_init(struct table *t);
void table_free(struct table *t); /* the entries stay the caller's */

uint64_t table_hash(const void *key, size_t len);
/* Candidates: entries of the same hash, in no order. NULL at the end. */
struct table_link *table_first(const struct table *t, uint64_t hash);
struct table_link *table_next(const struct table_link *link);
void table_insert(struct table *t, struct table_link *link, uint64_t hash);
void table_remove(struct table *t, struct table_link *link); /* must be in the table */

#endif
