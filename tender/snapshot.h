/* SPDX-License-Identifier: MIT
 *
 * A snapshot: an image's memory at its first wait for a request, with the registers to go on from there. It is one file
 * (a memfd that vmmd seals once it is written): the guest's memory as the VM sees it, layout.size bytes, then one
 * struct snapshot_file. Written by the boot tender, read by every clone. The boot tender ran guest code, so a clone
 * trusts none of it beyond what snapshot_read() checks: a bad snapshot can hurt only guests of its own image.
 */
#ifndef TENDER_SNAPSHOT_H
#define TENDER_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include <ppce/abi.h>
#include "tender/image.h"
#include "tender/layout.h"

#define SNAPSHOT_MAGIC 0x31534350u
#define SNAPSHOT_XSAVE 4096

enum page_state { PAGE_ABSENT = 0, PAGE_READ = 1, PAGE_WRITTEN = 2 };

/* General registers in the order of struct kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags. */
enum { REGISTER_RSP = 6, REGISTER_RIP = 16, REGISTER_RFLAGS = 17, REGISTERS = 18 };

struct snapshot_state {
	uint64_t registers[REGISTERS]; /* kvm */
	uint64_t fs_base, gs_base;
	uint64_t frame; /* process: guest address of the signal frame that rt_sigreturn restores everything from */
	uint8_t xsave[SNAPSHOT_XSAVE]; /* kvm: x87, SSE, AVX state as KVM_GET_XSAVE gives it */
};

struct snapshot_file {
	uint32_t magic, backend; /* enum ppce_backend */
	uint32_t memory_mib, stack_kib, request_kib, response_kib;
	uint32_t data_kib; /* 0: the image lists no queries */
	uint32_t nsegments, has_warm, pad;
	uint64_t image_end, signal_entry;
	struct image_segment segments[IMAGE_SEGMENTS_MAX];
	struct snapshot_state state;
	char warm_path[128];
	/* then, if has_warm, layout.size / PPCE_PAGE bytes of enum page_state; then, as the last word of the file, the
	 * offset of this struct (uint64_t) */
};

/* In memory: the file's content plus what is derived from it. */
struct snapshot {
	struct snapshot_file file;
	struct layout layout;
	uint8_t *warm; /* one enum page_state per page of the memory slot; malloc'd, NULL if there was no warm-up */
};

/* Takes over what describes the image; state and warm stay empty. */
void snapshot_init(struct snapshot *s, enum ppce_backend backend, const struct image *image);
int snapshot_write(const struct snapshot *s, int fd, struct err *err);
/* ERR_INVALID for anything out of range or another backend. */
int snapshot_read(struct snapshot *s, int fd, enum ppce_backend backend, struct err *err);
void snapshot_free(struct snapshot *s);

#endif
