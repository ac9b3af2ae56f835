/* SPDX-License-Identifier: MIT
 *
 * Bytes placed right before a page that cannot be read: a function that looks one byte past its input dies at once, in
 * builds without a sanitizer too.
 */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_ROOM 65536u /* largest input; a multiple of the page size */

struct guard {
	char *base;
};

static inline void guard_init(struct guard *g)
{
	g->base = mmap(NULL, GUARD_ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->base == MAP_FAILED || mprotect(g->base + GUARD_ROOM, 4096, PROT_NONE) != 0)
		abort();
}

/* A copy of the bytes that ends where the guard page starts. */
static inline const char *guard_place(struct guard *g, const void *bytes, size_t len)
{
	char *at = g->base + GUARD_ROOM - len;
	if (len > GUARD_ROOM)
		abort();
	memcpy(at, bytes, len);
	return at;
}

static inline void guard_free(struct guard *g)
{
	munmap(g->base, GUARD_ROOM + 4096);
}

#endif
