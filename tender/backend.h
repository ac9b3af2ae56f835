/* SPDX-License-Identifier: MIT
 *
 * What runs guest code: a virtual machine (kvm.c) or a seccomp-jailed process (process.c). Both run the same image,
 * keep the same memory file and obey the same few verbs, so that everything above them is written once.
 *
 *   create ─▶ boot ─▶ run ... ─▶ save        once per image: the snapshot
 *   create ─▶ clone ─▶ run ... ─▶ reset ─▶ run ...    an instance
 *
 * The host sees the guest through five windows only: vm->io, vm->request, vm->response and vm->data (tender/guest.c), and
 * vm->net (tender/net.c).
 * Everything in them may change or lie at any time in the process backend, where the guest is another process: copy, then check.
 */
#ifndef TENDER_BACKEND_H
#define TENDER_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <ppce/abi.h>
#include "lib/err.h"
#include "tender/snapshot.h"

enum vm_exit { VM_DOORBELL, VM_CRASHED, VM_DEADLINE };

struct vm {
	const struct backend *backend;
	struct layout layout;
	struct ppce_io *io; /* host's view of the IO window; NULL before boot or clone */
	uint8_t *request, *response, *data;
	struct ppce_net *net;
	uint64_t tsc_offset; /* guest TSC - host TSC */
	uint64_t tsc_mult;   /* ns per tick, 32.32 */
	uint64_t resets, rewarms;
	uint32_t resident_pages;      /* private pages after the last reset */
	char crash[PPCE_REASON_SIZE]; /* after VM_CRASHED: why, for operators */
	struct kvm_vm *kvm;	      /* the backend's own; one of the two */
	struct process_vm *process;
};

struct backend {
	const char *name; /* "kvm", "process": isolation class in listings */
	enum ppce_backend kind;
	/* The empty VM: whatever can be made before the image is known. Runs before the jail. */
	int (*create)(struct vm *vm, struct err *err);
	/* Maps the memory file shared and writable, and points the vCPU at the image's entry. */
	int (*boot)(struct vm *vm, int memory_fd, const struct image *image, uint64_t stack_pointer, struct err *err);
	/* Maps the sealed snapshot copy-on-write and restores its registers. */
	int (*clone)(struct vm *vm, int snapshot_fd, const struct snapshot *snap, struct err *err);
	/* Runs the guest until it rings, dies or `deadline_ns` (CLOCK_MONOTONIC) passes. After the last two the guest may
	 * only be reset or destroyed. -1: the tender itself failed. */
	int (*run)(struct vm *vm, uint64_t deadline_ns, enum vm_exit *why, struct err *err);
	/* At a doorbell during boot: the registers for the snapshot (snap->state). */
	int (*save)(struct vm *vm, struct snapshot *snap, struct err *err);
	/* Memory and registers back to the snapshot. *deviated: the set of resident pages is no longer what the warm-up
	 * leaves; run the warm-up and reset again to make it so. */
	int (*reset)(struct vm *vm, const struct snapshot *snap, bool *deviated, struct err *err);
	/* Fills snap->warm with the pages that are resident now; right after clone and one run of the warm-up. NULL for a
	 * backend without warm pages, whose reset starts from nothing. */
	int (*record_warm)(struct vm *vm, struct snapshot *snap, struct err *err);
	void (*destroy)(struct vm *vm);
};

extern const struct backend backend_kvm, backend_process;

/* Can virtual machines be made and run here? Really makes one. 0, or -1 with the reason and what to do. */
int kvm_probe(struct err *err);

#endif
