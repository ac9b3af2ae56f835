/* SPDX-License-Identifier: MIT
 *
 * Memory calls over the one heap area that the host laid out: brk grows from its bottom, mappings come from its top.
 * Two bits a page: is it given out, and may it hold old bytes. Fresh pages are zero already and stay untouched, which
 * keeps the pages that a request dirties few. Page rights are the host's alone: memory here is always readable and
 * writable and never executable, whatever the program asks for. */
#include "guest/os.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGES_MAX (PPCE_MEMORY_MIB_MAX * 256u)
#define NONE SIZE_MAX

static struct {
	uint64_t used, stale;
} map[PAGES_MAX / 64];
static uint64_t brk_at; /* 0: not asked yet */

static size_t heap_pages(void)
{
	size_t n = (size_t)(los_io->heap_end - los_io->heap_start) / PPCE_PAGE;
	return n < PAGES_MAX ? n : PAGES_MAX;
}

static uint64_t round_up(uint64_t n)
{
	return (n + PPCE_PAGE - 1) & ~(uint64_t)(PPCE_PAGE - 1);
}

static uint8_t *page_address(size_t page)
{
	return (uint8_t *)(los_io->heap_start + page * PPCE_PAGE);
}

static bool page_used(size_t page)
{
	return map[page / 64].used >> (page % 64) & 1;
}

static void mark(size_t page, size_t n)
{
	for (; n; n--, page++) {
		uint64_t bit = 1ull << (page % 64);
		map[page / 64].used |= bit;
		map[page / 64].stale |= bit;
	}
}

/* Gives pages out as the kernel would: full of zeros. */
static void take(size_t page, size_t n)
{
	for (size_t i = page; i < page + n; i++)
		if (map[i / 64].stale >> (i % 64) & 1)
			los_zero(page_address(i), PPCE_PAGE);
	mark(page, n);
}

static void give_back(size_t page, size_t n)
{
	for (; n; n--, page++)
		map[page / 64].used &= ~(1ull << (page % 64));
}

/* The highest run of n free pages, or NONE. Whole words of 64 pages are stepped over where they can be. */
static size_t find_run(size_t n)
{
	size_t run = 0;

	for (size_t p = heap_pages(); p-- > 0;) {
		uint64_t word = map[p / 64].used;
		if (p % 64 == 63 && (word == UINT64_MAX || (word == 0 && run + 64 < n))) {
			run = word ? 0 : run + 64;
			p -= 63;
			continue;
		}
		run = page_used(p) ? 0 : run + 1;
		if (run == n)
			return p;
	}
	return NONE;
}

/* Pages [*first, *first + *n) of the heap that [at, at + len) covers; false if it leaves the area that mmap serves. */
static bool in_heap(uint64_t at, uint64_t len, size_t *first, size_t *n)
{
	uint64_t start = los_io->heap_start, end = start + heap_pages() * PPCE_PAGE;
	uint64_t low = brk_at ? round_up(brk_at) : start;

	if (at % PPCE_PAGE || at < low || at > end || len > end - at)
		return false;
	*first = (size_t)(at - start) / PPCE_PAGE;
	*n = (size_t)round_up(len) / PPCE_PAGE;
	return true;
}

long los_brk(uint64_t to)
{
	uint64_t start = los_io->heap_start;

	if (!brk_at)
		brk_at = start;
	if (to < start || to > start + heap_pages() * PPCE_PAGE)
		return (long)brk_at;
	size_t was = (size_t)(round_up(brk_at) - start) / PPCE_PAGE, will = (size_t)(round_up(to) - start) / PPCE_PAGE;
	for (size_t p = was; p < will; p++)
		if (page_used(p))
			return (long)brk_at;
	if (will > was)
		take(was, will - was);
	else
		give_back(will, was - will);
	brk_at = to;
	return (long)brk_at;
}

static long map_fixed(uint64_t at, uint64_t len)
{
	size_t first, n;

	if (!in_heap(at, len, &first, &n))
		return -ENOMEM;
	take(first, n);
	return (long)at;
}

long los_mmap(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t offset)
{
	if (!len)
		return -EINVAL;
	if (prot & PROT_EXEC)
		return -EACCES;
	if (!(flags & MAP_ANONYMOUS) && (flags & MAP_SHARED) && (prot & PROT_WRITE))
		return -EACCES;
	if (len > (uint64_t)heap_pages() * PPCE_PAGE)
		return -ENOMEM;
	long r;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		r = map_fixed(at, len);
	} else {
		size_t n = (size_t)round_up(len) / PPCE_PAGE, page = find_run(n);
		if (page == NONE)
			return -ENOMEM;
		take(page, n);
		r = (long)page_address(page);
	}
	if (r > 0 && !(flags & MAP_ANONYMOUS)) {
		long got = los_pread(fd, (void *)r, len, offset);
		if (got < 0) {
			los_munmap((uint64_t)r, len);
			return got;
		}
	}
	return r;
}

long los_munmap(uint64_t at, uint64_t len)
{
	size_t first, n;

	if (!len || !in_heap(at, len, &first, &n))
		return -EINVAL;
	give_back(first, n);
	return 0;
}

static bool all_free(size_t page, size_t n)
{
	if (page + n > heap_pages())
		return false;
	for (size_t i = 0; i < n; i++)
		if (page_used(page + i))
			return false;
	return true;
}

/* Moves n pages to where `want` fit. Their own room counts as free, so the new place may overlap the old; it then lies
 * lower (growing in place was tried before), and copying upwards is right. */
static long move(size_t first, size_t n, size_t want)
{
	give_back(first, n);
	size_t page = find_run(want);
	if (page == NONE) {
		mark(first, n);
		return -ENOMEM;
	}
	los_copy(page_address(page), page_address(first), n * PPCE_PAGE);
	mark(page, n);
	take(page + n, want - n);
	return (long)page_address(page);
}

long los_mremap(uint64_t at, uint64_t old_len, uint64_t new_len, int flags, uint64_t to)
{
	size_t first, n;

	(void)to;
	if (flags & ~MREMAP_MAYMOVE || !old_len || !new_len || !in_heap(at, old_len, &first, &n))
		return -EINVAL;
	if (new_len > (uint64_t)heap_pages() * PPCE_PAGE)
		return -ENOMEM;
	size_t want = (size_t)round_up(new_len) / PPCE_PAGE;
	if (want <= n) {
		give_back(first + want, n - want);
		return (long)at;
	}
	if (all_free(first + n, want - n)) {
		take(first + n, want - n);
		return (long)at;
	}
	return flags & MREMAP_MAYMOVE ? move(first, n, want) : -ENOMEM;
}

/* Accepted without effect, because libc asks to protect its own tables and must not fail; only code is refused. */
long los_mprotect(uint64_t at, uint64_t len, int prot)
{
	(void)len;
	if (at % PPCE_PAGE)
		return -EINVAL;
	return prot & PROT_EXEC ? -EACCES : 0;
}

long los_madvise(uint64_t at, uint64_t len, int advice)
{
	size_t first, n;

	if (advice != MADV_DONTNEED)
		return 0;
	if (!in_heap(at, len, &first, &n))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (page_used(first + i))
			los_zero(page_address(first + i), PPCE_PAGE);
	return 0;
}

uint64_t los_memory_free(void)
{
	uint64_t n = 0;

	for (size_t p = 0; p < heap_pages(); p++)
		n += !page_used(p);
	return n * PPCE_PAGE;
}
