/* SPDX-License-Identifier: MIT
 *
 * Where everything lies in a guest's memory: the address map of include/ppce/abi.h in numbers. Computed from a validated
 * manifest, the same for boot, snapshot and clone. "Offset" counts from the start of the memory file, whose byte 0 is
 * guest address PPCE_IMAGE_BASE; every value is page-aligned.
 */
#ifndef TENDER_LAYOUT_H
#define TENDER_LAYOUT_H

#include <stdint.h>

#include <ppce/abi.h>
#include <ppce/manifest.h>

struct layout {
	uint64_t memory; /* bytes of image memory, from offset 0: segments, heap, guard, stack */
	uint64_t stack;	 /* bytes of the stack at the end of it; the page below is the guard */
	uint64_t io;	 /* offset of the control page */
	uint64_t request, request_size;
	uint64_t response, response_size;
	uint64_t data, data_size; /* for calls to the store; size 0 in an image that lists no queries */
	uint64_t net;		  /* struct ppce_net and its frames; untouched in an instance without a network */
	uint64_t io_end;	  /* offset after them: the IO window is [io, io_end) */
	uint64_t system;	  /* offset of the host's pages, see tender/paging.h */
	uint64_t tables;	  /* offset of the page tables, PML4 first */
	uint64_t size;		  /* end of all: the size of the VM's memory slot */
	uint64_t doorbell;	  /* guest address (not offset) of the doorbell page */
};

/* Pages of the system area before the page tables. */
enum layout_system_page {
	SYSTEM_STUB,	    /* user r-x: syscall stub; the process backend's entry code */
	SYSTEM_DESCRIPTORS, /* GDT, TSS, IDT: supervisor, read-only */
	SYSTEM_FAULTS,	    /* exception handlers: supervisor, r-x */
	SYSTEM_STACK,	    /* ring-0 stack: supervisor, rw */
	SYSTEM_PAGES
};

/* `memory_mib` and the sizes must be in the ranges of ppce/manifest.h (tender/image.c and snapshot.c check them);
 * data_kib may be 0. */
void layout_compute(struct layout *l, uint32_t memory_mib, uint32_t stack_kib, uint32_t request_kib,
		    uint32_t response_kib, uint32_t data_kib);

static inline uint64_t layout_address(uint64_t offset)
{
	return PPCE_IMAGE_BASE + offset;
}

#endif
