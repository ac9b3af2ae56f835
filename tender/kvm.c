/* SPDX-License-Identifier: MIT
 *
 * The kvm backend: one VM, one vCPU, one memory slot (Linux Documentation/virt/kvm/api.rst). Guest code runs at CPL 3
 * from its first instruction; ring 0 holds a few host-made stubs (tender/paging.h).
 */
#include "tender/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "lib/names.h"
#include "tender/memory.h"
#include "tender/paging.h"

#define MSR_TSC 0x10
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define CPUID_MAX 256

/* CR0: PE MP ET NE WP AM PG. CR4: PAE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE; no SMEP and SMAP, as the syscall stub's page
 * belongs to ring 3 on the PVM kind of KVM; no PKE, so PKRU does not exist. EFER: SCE LME LMA NXE. */
enum { GUEST_CR0 = 0x80050033, GUEST_CR4 = 0x50620, GUEST_EFER = 0xd01, GUEST_XCR0 = 7, GUEST_RFLAGS = 0x202 };

struct kvm_vm {
	int kvm, vm, vcpu, pagemap;
	struct kvm_run *run;
	size_t run_size;
	struct memory memory;
	struct kvm_sregs sregs; /* what the vCPU gets at every start and reset; fs and gs base are the snapshot's */
};

/* The signal handler's way to stop the vCPU: a KVM_RUN that has not begun yet returns at once (api.rst, 5). */
static struct kvm_run *running;

static void on_alarm(int sig)
{
	(void)sig;
	if (running)
		running->immediate_exit = 1;
}

static int set_cpuid(struct kvm_vm *v, struct err *err)
{
	union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
	} id = { .head.nent = CPUID_MAX };

	if (ioctl(v->kvm, KVM_GET_SUPPORTED_CPUID, &id) < 0 || ioctl(v->vcpu, KVM_SET_CPUID2, &id) < 0)
		return err_errno(err, ERR_INTERNAL, "setting the vCPU's CPUID");
	return 0;
}

static int open_kvm(struct err *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		return err_errno(err, ERR_UNAVAILABLE, "/dev/kvm (join the group kvm: usermod -aG kvm USER)");
	if (fd < 0)
		return err_errno(err, ERR_UNAVAILABLE, "/dev/kvm (no hardware virtualisation here?)");
	if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		close(fd);
		return err_set(err, ERR_UNAVAILABLE, "/dev/kvm speaks another API version");
	}
	unsigned long sync = (unsigned long)ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
	if ((sync & KVM_SYNC_X86_REGS) && (sync & KVM_SYNC_X86_SREGS) &&
	    ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0)
		return fd;
	close(fd);
	return err_set(err, ERR_UNAVAILABLE, "this kernel's KVM lacks KVM_CAP_SYNC_REGS or KVM_CAP_IMMEDIATE_EXIT");
}

static void init_sregs(struct kvm_sregs *s)
{
	struct kvm_segment user = { .limit = 0xffffffff,
				    .selector = SELECTOR_USER_CODE,
				    .type = 11,
				    .present = 1,
				    .dpl = 3,
				    .s = 1,
				    .l = 1,
				    .g = 1 };

	s->cr0 = GUEST_CR0;
	s->cr2 = 0;
	s->cr4 = GUEST_CR4;
	s->efer = GUEST_EFER;
	s->cs = user;
	user.selector = SELECTOR_USER_DATA;
	user.type = 3;
	user.l = 0;
	user.db = 1;
	s->ss = s->ds = s->es = s->fs = s->gs = user;
}

static void point_sregs(struct kvm_sregs *s, const struct layout *l)
{
	uint64_t descriptors = layout_address(l->system + SYSTEM_DESCRIPTORS * PPCE_PAGE);

	s->cr3 = layout_address(l->tables);
	s->gdt.base = descriptors + DESCRIPTOR_GDT;
	s->gdt.limit = DESCRIPTOR_GDT_LIMIT;
	s->idt.base = descriptors + DESCRIPTOR_IDT;
	s->idt.limit = FAULT_VECTORS * 16 - 1;
	s->tr = (struct kvm_segment){
		.base = descriptors + DESCRIPTOR_TSS, .limit = 0x67, .selector = SELECTOR_TSS, .type = 11, .present = 1
	};
}

static int read_tsc_offset(struct vm *vm, struct err *err)
{
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} tsc = { .head.nmsrs = 1 };
	struct kvm_vm *v = vm->kvm;

	tsc.head.entries[0].index = MSR_TSC;
	int khz = ioctl(v->vcpu, KVM_GET_TSC_KHZ, 0);
	uint64_t before = __rdtsc();
	if (khz <= 0 || ioctl(v->vcpu, KVM_GET_MSRS, &tsc) != 1)
		return err_errno(err, ERR_INTERNAL, "reading the vCPU's time stamp counter");
	vm->tsc_offset = tsc.head.entries[0].data - (before + (__rdtsc() - before) / 2);
	vm->tsc_mult = ((uint64_t)1000000 << 32) / (uint64_t)khz;
	return 0;
}

static int make_vcpu(struct kvm_vm *v, struct err *err)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = GUEST_XCR0 } };

	v->vcpu = ioctl(v->vm, KVM_CREATE_VCPU, 0);
	if (v->vcpu < 0)
		return err_errno(err, ERR_UNAVAILABLE, "creating a vCPU");
	int size = ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof *v->run)
		return err_errno(err, ERR_INTERNAL, "sizing the vCPU's run page");
	v->run_size = (size_t)size;
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return err_errno(err, ERR_INTERNAL, "mapping the vCPU's run page");
	}
	if (set_cpuid(v, err) < 0)
		return -1;
	if (ioctl(v->vcpu, KVM_SET_XCRS, &xcrs) < 0)
		return err_errno(err, ERR_INTERNAL, "enabling AVX in the vCPU");
	if (ioctl(v->vcpu, KVM_GET_SREGS, &v->sregs) < 0)
		return err_errno(err, ERR_INTERNAL, "reading the vCPU's registers");
	init_sregs(&v->sregs);
	return 0;
}

static void kvm_destroy(struct vm *vm)
{
	struct kvm_vm *v = vm->kvm;

	if (!v)
		return;
	running = NULL;
	if (v->run)
		munmap(v->run, v->run_size);
	for (int i = 0; i < 4; i++) {
		int fd = ((const int[]){ v->vcpu, v->vm, v->kvm, v->pagemap })[i];
		if (fd >= 0)
			close(fd);
	}
	memory_unmap(&v->memory);
	free(v);
	vm->kvm = NULL;
	vm->io = NULL;
}

static int kvm_create(struct vm *vm, struct err *err)
{
	struct kvm_vm *v = calloc(1, sizeof *v);

	if (!v)
		return err_set(err, ERR_INTERNAL, "out of memory");
	vm->kvm = v;
	v->kvm = v->vm = v->vcpu = v->pagemap = -1;
	v->kvm = open_kvm(err);
	if (v->kvm < 0)
		goto fail;
	v->vm = ioctl(v->kvm, KVM_CREATE_VM, 0);
	if (v->vm < 0) {
		err_errno(err, ERR_UNAVAILABLE, "creating a virtual machine");
		goto fail;
	}
	v->pagemap = memory_open_pagemap(err);
	if (v->pagemap < 0 || make_vcpu(v, err) < 0 || read_tsc_offset(vm, err) < 0)
		goto fail;
	struct sigaction alarm_action = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &alarm_action, NULL);
	running = v->run;
	return 0;
fail:
	kvm_destroy(vm);
	return -1;
}

static void show_windows(struct vm *vm)
{
	uint8_t *base = vm->kvm->memory.base;

	vm->io = (struct ppce_io *)(void *)(base + vm->layout.io);
	vm->request = base + vm->layout.request;
	vm->response = base + vm->layout.response;
	vm->data = base + vm->layout.data;
	vm->net = (struct ppce_net *)(void *)(base + vm->layout.net);
}

static int attach_memory(struct vm *vm, int fd, bool shared, struct err *err)
{
	struct kvm_vm *v = vm->kvm;

	if (memory_map(&v->memory, fd, vm->layout.size, shared, err) < 0)
		return -1;
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = PPCE_IMAGE_BASE,
						    .memory_size = vm->layout.size,
						    .userspace_addr = (uintptr_t)v->memory.base };
	if (ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return err_errno(err, ERR_INTERNAL, "giving the VM its memory");
	show_windows(vm);
	return 0;
}

/* MSR_CSTAR (AMD: `syscall` of 32-bit code) and the LDT's base stay 0, where nothing is ever mapped: both end in a page
 * fault. */
static int set_msrs(struct vm *vm, struct err *err)
{
	const struct kvm_msr_entry entries[] = {
		{ .index = MSR_STAR, .data = 0x23ULL << 48 | (uint64_t)SELECTOR_KERNEL_CODE << 32 },
		{ .index = MSR_LSTAR, .data = layout_address(vm->layout.system + SYSTEM_STUB * PPCE_PAGE) },
		{ .index = MSR_FMASK, .data = 0 },
	};
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof entries];
	} msrs = { .head.nmsrs = 3 };

	memcpy(msrs.head.entries, entries, sizeof entries);
	if (ioctl(vm->kvm->vcpu, KVM_SET_MSRS, &msrs) != 3)
		return err_errno(err, ERR_INTERNAL, "setting the vCPU's syscall entry");
	return 0;
}

/* Queues the registers for the next KVM_RUN, which takes them from the run page: no ioctl of their own. */
static void queue_registers(struct kvm_vm *v, const struct kvm_regs *regs)
{
	v->run->s.regs.regs = *regs;
	v->run->s.regs.sregs = v->sregs;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

static int kvm_boot(struct vm *vm, int memory_fd, const struct image *image, uint64_t stack_pointer, struct err *err)
{
	struct kvm_regs regs = { .rip = image->entry, .rsp = stack_pointer, .rflags = GUEST_RFLAGS };

	if (attach_memory(vm, memory_fd, true, err) < 0 || set_msrs(vm, err) < 0)
		return -1;
	paging_build(vm->kvm->memory.base, &vm->layout, image);
	point_sregs(&vm->kvm->sregs, &vm->layout);
	queue_registers(vm->kvm, &regs);
	return 0;
}

static int restore_state(struct kvm_vm *v, const struct snapshot_state *state, struct err *err)
{
	struct kvm_regs regs;

	_Static_assert(sizeof regs == sizeof state->registers, "the snapshot stores struct kvm_regs");
	memcpy(&regs, state->registers, sizeof regs);
	v->sregs.fs.base = state->fs_base;
	v->sregs.gs.base = state->gs_base;
	queue_registers(v, &regs);
	_Static_assert(sizeof(struct kvm_xsave) == SNAPSHOT_XSAVE, "the snapshot stores struct kvm_xsave");
	if (ioctl(v->vcpu, KVM_SET_XSAVE, state->xsave) < 0)
		return err_errno(err, ERR_INTERNAL, "restoring the vCPU's vector registers");
	return 0;
}

static int kvm_clone(struct vm *vm, int snapshot_fd, const struct snapshot *snap, struct err *err)
{
	struct kvm_vm *v = vm->kvm;

	/* The boot tender turns its own VM into the first clone, to record the warm-up. */
	bool again = v->memory.base != NULL;
	if (again ? memory_map(&v->memory, snapshot_fd, vm->layout.size, false, err) < 0
		  : attach_memory(vm, snapshot_fd, false, err) < 0)
		return -1;
	if (snap->warm)
		memory_prefault(&v->memory, snap->warm);
	point_sregs(&v->sregs, &vm->layout);
	if (set_msrs(vm, err) < 0)
		return -1;
	return restore_state(v, &snap->file.state, err);
}

static const char *const fault_names[FAULT_VECTORS] = {
	[0] = "division error",
	[1] = "debug trap",
	[3] = "breakpoint",
	[4] = "overflow",
	[5] = "bound range",
	[6] = "invalid instruction",
	[7] = "no FPU",
	[8] = "double fault",
	[10] = "invalid TSS",
	[11] = "segment not present",
	[12] = "stack segment fault",
	[13] = "general protection fault",
	[14] = "page fault",
	[16] = "floating point error",
	[17] = "alignment error",
	[19] = "SIMD error",
};

/* The frame on the ring-0 stack: [error code] rip cs rflags rsp ss. Only for the operator's log. */
static void describe_fault(struct vm *vm, unsigned vector)
{
	struct kvm_vm *v = vm->kvm;
	const uint8_t *stack_top = v->memory.base + vm->layout.system + (SYSTEM_STACK + 1) * PPCE_PAGE;
	const uint64_t *frame = (const uint64_t *)(const void *)(stack_top - 48);
	struct kvm_sregs sregs = { 0 };
	const char *name = fault_names[vector] ? fault_names[vector] : "exception";

	(void)ioctl(v->vcpu, KVM_GET_SREGS, &sregs);
	if (vector == 14)
		snprintf(vm->crash, sizeof vm->crash, "page fault: %s %#llx at rip %#lx",
			 (frame[0] & 16) ? "execute" : ((frame[0] & 2) ? "write to" : "read of"),
			 (unsigned long long)sregs.cr2, (unsigned long)frame[1]);
	else
		snprintf(vm->crash, sizeof vm->crash, "%s (vector %u) at rip %#lx", name, vector,
			 (unsigned long)frame[1]);
}

static enum vm_exit classify_exit(struct vm *vm)
{
	const struct kvm_run *run = vm->kvm->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		if (run->mmio.is_write && run->mmio.phys_addr == vm->layout.doorbell && run->mmio.len == 1)
			return VM_DOORBELL;
		snprintf(vm->crash, sizeof vm->crash, "%s guest-physical address %#llx, where nothing is",
			 run->mmio.is_write ? "write to" : "read of", (unsigned long long)run->mmio.phys_addr);
		return VM_CRASHED;
	case KVM_EXIT_IO:
		if (run->io.port >= FAULT_PORT && run->io.port < FAULT_PORT + FAULT_VECTORS)
			describe_fault(vm, run->io.port - FAULT_PORT);
		else
			snprintf(vm->crash, sizeof vm->crash, "access to I/O port %#x", run->io.port);
		return VM_CRASHED;
	case KVM_EXIT_SHUTDOWN:
		snprintf(vm->crash, sizeof vm->crash, "triple fault");
		return VM_CRASHED;
	default:
		snprintf(vm->crash, sizeof vm->crash, "unexpected VM exit %u", run->exit_reason);
		return VM_CRASHED;
	}
}

static void set_alarm(uint64_t ns)
{
	struct itimerval t = { .it_value = { .tv_sec = (time_t)(ns / 1000000000),
					     .tv_usec = (suseconds_t)(ns % 1000000000 / 1000) } };

	(void)setitimer(ITIMER_REAL, &t, NULL);
}

static int kvm_run_guest(struct vm *vm, uint64_t deadline_ns, enum vm_exit *why, struct err *err)
{
	struct kvm_vm *v = vm->kvm;
	uint64_t now = clock_ns();

	v->run->immediate_exit = 0;
	set_alarm(deadline_ns > now + 1000 ? deadline_ns - now : 1000);
	for (;;) {
		int r = ioctl(v->vcpu, KVM_RUN, 0);
		if (r == 0)
			break;
		if (errno != EINTR && errno != EAGAIN) {
			set_alarm(0);
			return err_errno(err, ERR_INTERNAL, "running the vCPU");
		}
		v->run->immediate_exit = 0; /* before the clock is read: an alarm after that stops the next round */
		if (clock_ns() >= deadline_ns) {
			*why = VM_DEADLINE;
			return 0;
		}
	}
	set_alarm(0);
	*why = classify_exit(vm);
	return 0;
}

static int kvm_save(struct vm *vm, struct snapshot *snap, struct err *err)
{
	struct kvm_vm *v = vm->kvm;
	struct snapshot_state *state = &snap->file.state;
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	/* The doorbell's store is complete only after the next entry; this one comes back before the next instruction
	 * (api.rst, KVM_EXIT_MMIO). */
	v->run->immediate_exit = 1;
	(void)ioctl(v->vcpu, KVM_RUN, 0);
	v->run->immediate_exit = 0;
	if (ioctl(v->vcpu, KVM_GET_REGS, &regs) < 0 || ioctl(v->vcpu, KVM_GET_SREGS, &sregs) < 0 ||
	    ioctl(v->vcpu, KVM_GET_XSAVE, state->xsave) < 0)
		return err_errno(err, ERR_INTERNAL, "saving the vCPU's registers");
	memcpy(state->registers, &regs, sizeof regs);
	state->fs_base = sregs.fs.base;
	state->gs_base = sregs.gs.base;
	return 0;
}

static int kvm_reset(struct vm *vm, const struct snapshot *snap, bool *deviated, struct err *err)
{
	struct kvm_vm *v = vm->kvm;

	if (memory_reset(&v->memory, v->pagemap, snap->warm, deviated, &vm->resident_pages, err) < 0)
		return -1;
	return restore_state(v, &snap->file.state, err);
}

static int kvm_record_warm(struct vm *vm, struct snapshot *snap, struct err *err)
{
	struct memory *m = &vm->kvm->memory;

	if (memory_scan(m, vm->kvm->pagemap, err) < 0)
		return -1;
	snap->warm = malloc(m->size / PPCE_PAGE);
	if (!snap->warm)
		return err_set(err, ERR_INTERNAL, "out of memory");
	memcpy(snap->warm, m->state, m->size / PPCE_PAGE);
	return 0;
}

int kvm_probe(struct err *err)
{
	struct vm vm = { .backend = &backend_kvm };
	int r = kvm_create(&vm, err);

	kvm_destroy(&vm);
	return r;
}

const struct backend backend_kvm = {
	.name = "kvm",
	.kind = PPCE_BACKEND_KVM,
	.create = kvm_create,
	.boot = kvm_boot,
	.clone = kvm_clone,
	.run = kvm_run_guest,
	.save = kvm_save,
	.reset = kvm_reset,
	.record_warm = kvm_record_warm,
	.destroy = kvm_destroy,
};
