/* SPDX-License-Identifier: MIT
 *
 * A clone's memory: a private (copy-on-write) mapping of the snapshot, and the bookkeeping that puts it back. After a
 * reset exactly those pages are resident that the synthetic warm-up leaves resident, whatever the request did: pages the
 * warm-up wrote are copied back and stay mapped, all others go. Otherwise the time of the next user's page faults would
 * tell what the last user did.
 */
#ifndef TENDER_MEMORY_H
#define TENDER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "tender/snapshot.h"

struct memory {
	uint8_t *base;		 /* the mapping the guest runs in */
	const uint8_t *snapshot; /* read-only view of the same file, NULL while booting */
	size_t size;		 /* bytes, page-aligned */
	uint8_t *state;		 /* enum page_state per page: scratch of the last scan */
};

/* /proc/self/pagemap, opened before the jail closes the file system. */
int memory_open_pagemap(struct err *err);
/* Maps the first `size` bytes of `fd`: shared and writable for a boot, else private plus the view. A second call
 * replaces the first mapping at the same address. */
int memory_map(struct memory *m, int fd, size_t size, bool shared, struct err *err);
/* Fills m->state from the kernel's page map. */
int memory_scan(struct memory *m, int pagemap_fd, struct err *err);
/* Puts the memory back. `warm` as in struct snapshot; NULL drops every page. */
int memory_reset(struct memory *m, int pagemap_fd, const uint8_t *warm, bool *deviated, uint32_t *resident,
		 struct err *err);
/* Makes the pages that the warm-up wrote resident ahead of their first use. Best effort. */
void memory_prefault(struct memory *m, const uint8_t *warm);
void memory_unmap(struct memory *m);

#endif
