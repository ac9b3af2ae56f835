/* SPDX-License-Identifier: MIT */
#include "tender/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bits of a /proc/PID/pagemap entry (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_FILE (1ULL << 61)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define PAGEMAP_PRESENT (1ULL << 63)

int memory_open_pagemap(struct err *err)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "/proc/self/pagemap");
	return fd;
}

int memory_map(struct memory *m, int fd, size_t size, bool shared, struct err *err)
{
	int flags = (shared ? MAP_SHARED : MAP_PRIVATE) | (m->base ? MAP_FIXED : 0);
	uint8_t *base = mmap(m->base, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	if (base == MAP_FAILED)
		return err_errno(err, ERR_INTERNAL, "mapping %zu bytes of guest memory", size);
	m->base = base;
	m->size = size;
	if (shared)
		return 0;
	if (!m->snapshot) {
		void *view = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		if (view == MAP_FAILED)
			return err_errno(err, ERR_INTERNAL, "mapping the snapshot");
		m->snapshot = view;
	}
	if (!m->state)
		m->state = malloc(size / PPCE_PAGE);
	return m->state ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

int memory_scan(struct memory *m, int pagemap_fd, struct err *err)
{
	uint64_t entries[512];
	size_t pages = m->size / PPCE_PAGE;

	for (size_t at = 0; at < pages;) {
		size_t count = pages - at < 512 ? pages - at : 512;
		off_t offset = (off_t)(((uintptr_t)m->base / PPCE_PAGE + at) * sizeof *entries);
		ssize_t n = pread(pagemap_fd, entries, count * sizeof *entries, offset);
		if (n < (ssize_t)sizeof *entries)
			return err_errno(err, ERR_INTERNAL, "reading the page map");
		for (size_t i = 0; i < (size_t)n / sizeof *entries; i++, at++) {
			/* A private page is written; a page of the file is only read. Swapped out counts as there. */
			if (!(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
				m->state[at] = PAGE_ABSENT;
			else
				m->state[at] = (entries[i] & PAGEMAP_FILE) ? PAGE_READ : PAGE_WRITTEN;
		}
	}
	return 0;
}

/* How one page gets from its state after the request to its state after the warm-up. */
static bool must_drop(uint8_t now, uint8_t warm)
{
	return now != PAGE_ABSENT && now != warm;
}

static int drop_pages(struct memory *m, const uint8_t *warm, struct err *err)
{
	size_t pages = m->size / PPCE_PAGE;

	for (size_t i = 0; i < pages; i++) {
		size_t first = i;
		while (i < pages && must_drop(m->state[i], warm ? warm[i] : PAGE_ABSENT))
			i++;
		if (i > first && madvise(m->base + first * PPCE_PAGE, (i - first) * PPCE_PAGE, MADV_DONTNEED) < 0)
			return err_errno(err, ERR_INTERNAL, "dropping guest pages");
	}
	return 0;
}

/* Calls madvise on every run of pages that warm-up left in state `warm_state` and that are absent now. */
static bool populate(struct memory *m, const uint8_t *warm, uint8_t warm_state, int advice)
{
	size_t pages = m->size / PPCE_PAGE;
	bool any = false;

	for (size_t i = 0; i < pages; i++) {
		size_t first = i;
		while (i < pages && warm[i] == warm_state && m->state[i] == PAGE_ABSENT)
			i++;
		if (i > first && madvise(m->base + first * PPCE_PAGE, (i - first) * PPCE_PAGE, advice) == 0)
			any = true;
	}
	return any;
}

/* The kernel maps file pages around a fault as it likes (and takes them away under pressure), so pages that were only
 * read are brought back without running the guest. */
static int scan_and_populate(struct memory *m, int pagemap_fd, const uint8_t *warm, struct err *err)
{
	if (memory_scan(m, pagemap_fd, err) < 0)
		return -1;
	if (warm && populate(m, warm, PAGE_READ, MADV_POPULATE_READ))
		return memory_scan(m, pagemap_fd, err);
	return 0;
}

int memory_reset(struct memory *m, int pagemap_fd, const uint8_t *warm, bool *deviated, uint32_t *resident,
		 struct err *err)
{
	uint32_t kept = 0;

	*deviated = false;
	if (scan_and_populate(m, pagemap_fd, warm, err) < 0 || drop_pages(m, warm, err) < 0)
		return -1;
	for (size_t i = 0; warm && i < m->size / PPCE_PAGE; i++) {
		if (warm[i] != m->state[i] && warm[i] != PAGE_ABSENT)
			*deviated = true;
		if (warm[i] != PAGE_WRITTEN || m->state[i] != PAGE_WRITTEN)
			continue;
		memcpy(m->base + i * PPCE_PAGE, m->snapshot + i * PPCE_PAGE, PPCE_PAGE);
		kept++;
	}
	*resident = kept;
	return 0;
}

void memory_prefault(struct memory *m, const uint8_t *warm)
{
	memset(m->state, PAGE_ABSENT, m->size / PPCE_PAGE);
	(void)populate(m, warm, PAGE_WRITTEN, MADV_POPULATE_WRITE);
	(void)populate(m, warm, PAGE_READ, MADV_POPULATE_READ);
}

void memory_unmap(struct memory *m)
{
	if (m->base)
		munmap(m->base, m->size);
	if (m->snapshot)
		munmap((void *)(uintptr_t)m->snapshot, m->size);
	free(m->state);
	memset(m, 0, sizeof *m);
}
