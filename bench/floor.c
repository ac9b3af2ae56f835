/* SPDX-License-Identifier: MIT
 *
 * The floor under PPCE's figures: the bare KVM steps of a request, alone in one process, without HTTP, sockets, labels or
 * a library OS. It uses nothing of the tender, so that it can also show what the tender adds.
 *
 *   cold      a VM and vCPU from nothing, memory mapped, first run: touch READS pages, write WRITES pages, one exit
 *   shell     the same with VM and vCPU made ahead
 *   warm      one entry and exit, all pages mapped
 *   pristine  the same and then WRITES pages copied back and registers restored, as a reset does
 *
 * Prints one line of JSON: microseconds, p50 and p99, per step and in sum.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	MEMORY = 5 << 20,
	TABLES = 0x10000,
	GDT = 0x8000,
	IDT = 0x9000,
	CODE = 0x20000,
	STACK = 0x30000,
	DATA = 0x100000
};
enum { DOORBELL = MEMORY + 0x1000, SAMPLES = 60, CPUID_MAX = 256 };

static unsigned reads = 28, writes = 10; /* what apps/hello touches in a request */

struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *memory;
};

static uint8_t *snapshot;
static int snapshot_fd;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* In ring 3: touch `esi` pages, write `edx` pages, ring, again. */
extern const uint8_t guest[], guest_end[];
asm(".pushsection .rodata\n"
    "guest:\n"
    "	mov $0x100000, %edi\n"
    "	mov %esi, %ecx\n"
    "1:	mov (%rdi), %al\n"
    "	add $4096, %rdi\n"
    "	dec %ecx\n"
    "	jnz 1b\n"
    "	mov %edx, %ecx\n"
    "2:	movb $1, (%rdi)\n"
    "	add $4096, %rdi\n"
    "	dec %ecx\n"
    "	jnz 2b\n"
    "	mov $0x501000, %ebx\n"
    "	mov %al, (%rbx)\n"
    "	jmp guest\n"
    "guest_end:\n"
    ".popsection\n");

static void build_snapshot(void)
{
	snapshot_fd = memfd_create("floor", MFD_CLOEXEC);
	if (snapshot_fd < 0 || ftruncate(snapshot_fd, MEMORY) < 0)
		die("memfd");
	snapshot = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, snapshot_fd, 0);
	if (snapshot == MAP_FAILED)
		die("mmap");
	memset(snapshot + DATA, 7, (size_t)(reads + writes) * 4096);
	memcpy(snapshot + CODE, guest, (size_t)(guest_end - guest));
	uint64_t *table = (uint64_t *)(void *)(snapshot + TABLES);
	table[0] = (TABLES + 0x1000) | 0x27;
	table[512] = (TABLES + 0x2000) | 0x27;
	for (uint64_t i = 0; i < 4; i++) {
		table[1024 + i] = (TABLES + 0x3000 + i * 0x1000) | 0x27;
		for (uint64_t k = 0; k < 512; k++)
			table[1536 + i * 512 + k] = (i * 512 + k) << 12 | 0x67;
	}
	uint64_t *gdt = (uint64_t *)(void *)(snapshot + GDT);
	gdt[5] = 0x00cff3000000ffff;
	gdt[6] = 0x00affb000000ffff;
}

static void create(struct machine *m)
{
	static union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
	} id;

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		die("/dev/kvm");
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	id.head.nent = CPUID_MAX;
	if (m->vcpu < 0 || ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, &id) < 0 || ioctl(m->vcpu, KVM_SET_CPUID2, &id) < 0)
		die("creating a vCPU");
	m->run_size = (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		die("vCPU run page");
}

static void set_registers(struct machine *m)
{
	struct kvm_segment user = {
		.limit = 0xffffffff, .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1
	};
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = 0x202, .rsi = reads, .rdx = writes };

	if (ioctl(m->vcpu, KVM_GET_SREGS, &s) < 0)
		die("KVM_GET_SREGS");
	s.cr0 = 0x80050033;
	s.cr3 = TABLES;
	s.cr4 = 0x620;
	s.efer = 0xd01;
	s.gdt.base = GDT;
	s.gdt.limit = 0x7f;
	s.idt.base = IDT;
	s.cs = user;
	user.selector = 0x2b;
	user.type = 3;
	user.l = 0;
	user.db = 1;
	s.ss = s.ds = s.es = s.fs = s.gs = user;
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(m->vcpu, KVM_SET_REGS, &r) < 0)
		die("setting registers");
}

static void attach(struct machine *m)
{
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE, snapshot_fd, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = MEMORY, .userspace_addr = (uintptr_t)m->memory };
	if (m->memory == MAP_FAILED || ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		die("giving the VM memory");
	set_registers(m);
}

static void enter(struct machine *m)
{
	if (ioctl(m->vcpu, KVM_RUN, 0) < 0 || m->run->exit_reason != KVM_EXIT_MMIO ||
	    m->run->mmio.phys_addr != DOORBELL)
		die("KVM_RUN");
}

static void destroy(struct machine *m)
{
	munmap(m->run, m->run_size);
	munmap(m->memory, MEMORY);
	close(m->vcpu);
	close(m->vm);
	close(m->kvm);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, double *samples, const char *after)
{
	qsort(samples, SAMPLES, sizeof *samples, by_value);
	printf("\"%s\":{\"p50\":%.1f,\"p99\":%.1f}%s", name, samples[SAMPLES / 2], samples[SAMPLES * 99 / 100], after);
}

static double created[SAMPLES], attached[SAMPLES], ran[SAMPLES], cold[SAMPLES], shell[SAMPLES], warm[SAMPLES],
	reset[SAMPLES], pristine[SAMPLES];

static void measure(int i)
{
	struct machine m;
	double t0 = now_us();

	create(&m);
	double t1 = now_us();
	attach(&m);
	double t2 = now_us();
	enter(&m);
	double t3 = now_us();
	enter(&m);
	double t4 = now_us();
	for (unsigned p = 0; p < writes; p++) {
		size_t at = DATA + (size_t)(reads + p) * 4096;
		memcpy(m.memory + at, snapshot + at, 4096);
	}
	set_registers(&m);
	double t5 = now_us();
	enter(&m);
	double t6 = now_us();
	created[i] = t1 - t0;
	attached[i] = t2 - t1;
	ran[i] = t3 - t2;
	cold[i] = t3 - t0;
	shell[i] = t3 - t1;
	warm[i] = t4 - t3;
	reset[i] = t5 - t4;
	pristine[i] = t6 - t5;
	destroy(&m);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		reads = (unsigned)atoi(argv[1]);
	if (argc > 2)
		writes = (unsigned)atoi(argv[2]);
	if (reads < 1 || writes < 1 || reads + writes > 900) {
		fprintf(stderr, "usage: %s [PAGES-READ [PAGES-WRITTEN]]\n", argv[0]);
		return 2;
	}
	build_snapshot();
	for (int i = 0; i < SAMPLES; i++)
		measure(i);
	printf("{\"pages_read\":%u,\"pages_written\":%u,", reads, writes);
	print("create", created, ",");
	print("attach", attached, ",");
	print("first_run", ran, ",");
	print("cold", cold, ",");
	print("shell", shell, ",");
	print("warm", warm, ",");
	print("reset", reset, ",");
	print("pristine", pristine, "}\n");
	return 0;
}
