/* SPDX-License-Identifier: MIT
 *
 * The guest's memory calls against a simple model: random sequences of mmap, munmap, mremap and brk on a small heap. No
 * two areas overlap, everything fresh is zero, contents survive a move, and everything can be had again in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "guest/os.h"

enum { PAGES = 300, AREAS = 24, STEPS = 20000 };

static uint8_t *heap;
static struct ppce_io io;

struct area {
	uint8_t *at;
	size_t pages;
	uint8_t mark; /* every byte of it */
};

static const long anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

static int make_heap(void **state)
{
	(void)state;
	heap = mmap(NULL, PAGES * PPCE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	io.heap_start = (uint64_t)heap;
	io.heap_end = (uint64_t)heap + PAGES * PPCE_PAGE;
	los_io = &io;
	return heap == MAP_FAILED ? -1 : 0;
}

static bool filled(const uint8_t *at, size_t len, uint8_t with)
{
	return !len || (at[0] == with && memcmp(at, at + 1, len - 1) == 0);
}

static long get(size_t bytes)
{
	return los_mmap(0, bytes, PROT_READ | PROT_WRITE, (int)anonymous, -1, 0);
}

static void area_map(struct area *a, size_t pages, uint8_t mark)
{
	long at = get(pages * PPCE_PAGE - 7);

	if (at < 0) {
		assert_int_equal(at, -ENOMEM);
		return;
	}
	*a = (struct area){ (uint8_t *)at, pages, mark };
	assert_true(a->at >= heap && a->at + pages * PPCE_PAGE <= heap + PAGES * PPCE_PAGE);
	assert_true(filled(a->at, pages * PPCE_PAGE, 0));
	memset(a->at, mark, pages * PPCE_PAGE);
}

static void area_resize(struct area *a, size_t pages)
{
	size_t kept = pages < a->pages ? pages : a->pages;
	long at = los_mremap((uint64_t)a->at, a->pages * PPCE_PAGE, pages * PPCE_PAGE, MREMAP_MAYMOVE, 0);

	if (at < 0) {
		assert_int_equal(at, -ENOMEM);
		return;
	}
	a->at = (uint8_t *)at;
	a->pages = pages;
	assert_true(filled(a->at, kept * PPCE_PAGE, a->mark));
	assert_true(filled(a->at + kept * PPCE_PAGE, (pages - kept) * PPCE_PAGE, 0));
	memset(a->at, a->mark, pages * PPCE_PAGE);
}

static void area_unmap(struct area *a)
{
	assert_true(filled(a->at, a->pages * PPCE_PAGE, a->mark)); /* nobody else wrote here */
	assert_int_equal(los_munmap((uint64_t)a->at, a->pages * PPCE_PAGE), 0);
	a->pages = 0;
}

static void step_brk(uint64_t *top, unsigned r)
{
	uint64_t want = io.heap_start + r % (40 * PPCE_PAGE), got = (uint64_t)los_brk(want);
	uint64_t whole = (*top + PPCE_PAGE - 1) & ~(uint64_t)(PPCE_PAGE - 1);

	if (got != want) {
		assert_int_equal(got, *top);
		return;
	}
	if (got > whole) {
		assert_true(filled((uint8_t *)whole, got - whole, 0));
		memset((void *)whole, 0xbb, got - whole);
	}
	*top = got;
}

static void random_sequences(void **state)
{
	struct area areas[AREAS] = { 0 };
	uint64_t top = (uint64_t)los_brk(0);

	(void)state;
	srandom(7);
	assert_int_equal(top, io.heap_start);
	for (int i = 0; i < STEPS; i++) {
		unsigned r = (unsigned)random(), size = 1 + (unsigned)random() % 60;
		struct area *a = &areas[r % AREAS];
		if (r % 7 == 0)
			step_brk(&top, (unsigned)random());
		else if (!a->pages)
			area_map(a, size, (uint8_t)(1 + r % 200));
		else if (r % 3 == 0)
			area_resize(a, size);
		else
			area_unmap(a);
	}
	for (int i = 0; i < AREAS; i++)
		if (areas[i].pages)
			area_unmap(&areas[i]);
	assert_int_equal(los_brk(io.heap_start), io.heap_start);
	assert_int_equal(los_memory_free(), PAGES * PPCE_PAGE);
	long all = get(PAGES * PPCE_PAGE);
	assert_int_equal(all, io.heap_start);
	assert_true(filled((uint8_t *)all, PAGES * PPCE_PAGE, 0));
	assert_int_equal(get(1), -ENOMEM);
	assert_int_equal(los_munmap((uint64_t)all, PAGES * PPCE_PAGE), 0);
}

/* A block that cannot grow where it is, in a heap that has no second room of its size, slides down over itself. */
static void grow_by_sliding(void **state)
{
	long top = get(PPCE_PAGE), block = get(200 * PPCE_PAGE);

	(void)state;
	for (size_t i = 0; i < 200; i++)
		memset((void *)(block + (long)(i * PPCE_PAGE)), (int)i, PPCE_PAGE);
	long grown = los_mremap((uint64_t)block, 200 * PPCE_PAGE, 250 * PPCE_PAGE, MREMAP_MAYMOVE, 0);
	assert_true(grown > 0);
	for (size_t i = 0; i < 200; i++)
		assert_true(filled((void *)(grown + (long)(i * PPCE_PAGE)), PPCE_PAGE, (uint8_t)i));
	assert_true(filled((void *)(grown + 200l * PPCE_PAGE), 50 * PPCE_PAGE, 0));
	assert_int_equal(los_munmap((uint64_t)grown, 250 * PPCE_PAGE), 0);
	assert_int_equal(los_munmap((uint64_t)top, PPCE_PAGE), 0);
}

static void bad_arguments(void **state)
{
	uint64_t start = io.heap_start;

	(void)state;
	assert_int_equal(get(0), -EINVAL);
	assert_int_equal(get(SIZE_MAX), -ENOMEM);
	assert_int_equal(get(SIZE_MAX - 4095), -ENOMEM);
	assert_int_equal(los_mmap(0, 1, PROT_EXEC, (int)anonymous, -1, 0), -EACCES);
	assert_int_equal(los_mmap(start - PPCE_PAGE, PPCE_PAGE, PROT_READ, (int)anonymous | MAP_FIXED, -1, 0), -ENOMEM);
	assert_int_equal(los_mmap(start, UINT64_MAX - start, PROT_READ, (int)anonymous | MAP_FIXED, -1, 0), -ENOMEM);
	assert_int_equal(los_munmap(start, 0), -EINVAL);
	assert_int_equal(los_munmap(start + 1, 1), -EINVAL);
	assert_int_equal(los_munmap(start, SIZE_MAX), -EINVAL);
	assert_int_equal(los_munmap(io.heap_end, 1), -EINVAL);
	assert_int_equal(los_mremap(start, 1, SIZE_MAX, MREMAP_MAYMOVE, 0), -ENOMEM);
	assert_int_equal(los_mremap(start, SIZE_MAX, 1, MREMAP_MAYMOVE, 0), -EINVAL);
	assert_int_equal(los_mremap(start, 1, 1, MREMAP_FIXED | MREMAP_MAYMOVE, start), -EINVAL);
	assert_int_equal(los_mprotect(start, 1, PROT_EXEC), -EACCES);
	assert_int_equal(los_brk(UINT64_MAX), start);
	assert_int_equal(los_brk(0), start);
	assert_int_equal(los_madvise(start + 1, 1, MADV_DONTNEED), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sequences),
		cmocka_unit_test(grow_by_sliding),
		cmocka_unit_test(bad_arguments),
	};

	return cmocka_run_group_tests(tests, make_heap, NULL);
}
