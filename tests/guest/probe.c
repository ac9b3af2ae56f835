/* SPDX-License-Identifier: MIT
 *
 * A hostile or broken guest, one misdeed a path. Each must end this instance with a reason, or be refused, and touch
 * nothing else. Paths that come back alive answer 200 and a word that the tests look for: "survived" where the guest
 * should have died. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ppce/abi.h>
#include <ppce/ppce.h>

#include "guest/os.h"
#include "tests/guest/paths.h"

__attribute__((noinline, used)) static int survived(struct ppce_response *res)
{
	return ppce_reply(res, 200, "text/plain", "survived\n");
}

static uint64_t number(const struct ppce_request *req, const char *name, uint64_t otherwise)
{
	char text[32];

	return ppce_query_get(req, name, text, sizeof text) > 0 ? strtoull(text, NULL, 0) : otherwise;
}

/* --- memory rights --- */

static int null_read(const struct ppce_request *req, struct ppce_response *res)
{
	volatile char *p = (volatile char *)number(req, "at", 0);

	(void)*p;
	return survived(res);
}

static int null_write(const struct ppce_request *req, struct ppce_response *res)
{
	*(volatile char *)number(req, "at", 0) = 1;
	return survived(res);
}

static int null_call(const struct ppce_request *req, struct ppce_response *res)
{
	((void (*)(void))number(req, "at", 0))();
	return survived(res);
}

static int write_text(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	*(volatile uint8_t *)(uintptr_t)&survived = 0xc3;
	return survived(res);
}

static int write_rodata(const struct ppce_request *req, struct ppce_response *res)
{
	static const char constant[] = "constant";

	(void)req;
	*(volatile char *)(uintptr_t)constant = 'C';
	return survived(res);
}

static const uint8_t return_instruction[] = { 0xc3 };

static int run_copy(void *at, struct ppce_response *res)
{
	memcpy(at, return_instruction, sizeof return_instruction);
	((void (*)(void))at)();
	return survived(res);
}

static int exec_heap(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return run_copy(malloc(64), res);
}

static int exec_stack(const struct ppce_request *req, struct ppce_response *res)
{
	uint8_t code[64];

	(void)req;
	return run_copy(code, res);
}

static int exec_data(const struct ppce_request *req, struct ppce_response *res)
{
	static uint8_t code[64] = { 1 };

	(void)req;
	return run_copy(code, res);
}

/* Asking the library OS nicely must not help either. */
static int exec_mprotect(const struct ppce_request *req, struct ppce_response *res)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)req;
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0)
		return run_copy(page, res);
	return ppce_reply(res, 200, "text/plain", "refused: %s\n", strerror(errno));
}

static int stack_overflow(const struct ppce_request *req, struct ppce_response *res);
static int (*volatile again)(const struct ppce_request *, struct ppce_response *) = stack_overflow;

static int stack_overflow(const struct ppce_request *req, struct ppce_response *res)
{
	volatile char frame[1024];

	frame[0] = 1;
	int r = again(req, res);
	return r + frame[0];
}

static int smash_stack(const struct ppce_request *req, struct ppce_response *res)
{
	char small[16];

	memset(small, 'A', (size_t)number(req, "len", 64)); /* the canary catches it on return */
	asm volatile("" : : "r"(small) : "memory");
	return survived(res);
}

/* Reads one byte at an address relative to the control page: io guards, host pages, page tables, the doorbell. */
static int peek_io(const struct ppce_request *req, struct ppce_response *res)
{
	uint64_t at = los_io ? (uint64_t)los_io + number(req, "offset", 0) : 0;
	uint8_t value = *(volatile uint8_t *)at;

	return ppce_reply(res, 200, "text/plain", "survived %02x\n", value);
}

static int poke_io(const struct ppce_request *req, struct ppce_response *res)
{
	*(volatile uint8_t *)((uint64_t)los_io + number(req, "offset", 0)) = 0xff;
	return survived(res);
}

/* Answers the map that a test needs to aim: everything in bytes relative to the control page. */
static int show_map(const struct ppce_request *req, struct ppce_response *res)
{
	const struct ppce_io *io = los_io;

	(void)req;
	if (!io)
		return ppce_reply(res, 501, NULL, "not in a guest\n");
	return ppce_reply(
		res, 200, "text/plain",
		"io=%#lx heap_start=%#lx heap_end=%#lx request=%#lx response=%#lx response_end=%#lx doorbell=%#lx\n",
		(unsigned long)io, io->heap_start, io->heap_end, io->request_at, io->response_at,
		io->response_at + io->response_max, io->doorbell);
}

/* --- time and space --- */

static int endless(const struct ppce_request *req, struct ppce_response *res)
{
	volatile bool on = true;

	(void)req;
	while (on)
		;
	return survived(res);
	return 0;
}

static int endless_calls(const struct ppce_request *req, struct ppce_response *res)
{
	volatile bool on = true;

	(void)req;
	while (on)
		los_call(PPCE_CALL_LOG, PPCE_DEBUG, 0);
	return survived(res);
	return 0;
}

static int huge_alloc(const struct ppce_request *req, struct ppce_response *res)
{
	size_t mib = (size_t)number(req, "mib", 4096);
	char *p = malloc(mib << 20);

	if (!p)
		return ppce_reply(res, 200, "text/plain", "refused: %s\n", strerror(errno));
	memset(p, 1, mib << 20);
	free(p);
	return survived(res);
}

/* Takes all memory there is in small pieces, uses it, gives it back; the next request must find it free again. */
static int fill_memory(const struct ppce_request *req, struct ppce_response *res)
{
	size_t pieces = 0;
	void **chain = NULL;

	(void)req;
	for (void **p; (p = malloc(1000)); pieces++) {
		memset(p, 0xee, 1000);
		*p = chain;
		chain = p;
	}
	while (chain) {
		void **next = *chain;
		free(chain);
		chain = next;
	}
	return ppce_reply(res, 200, "text/plain", "%zu\n", pieces);
}

/* --- the doorbell --- */

static int wild_doorbell(const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_io *io = los_io;

	if (!io)
		return ppce_reply(res, 501, NULL, "not in a guest\n");
	io->arg[2] = number(req, "arg2", 0);
	io->arg[3] = number(req, "arg3", 0);
	int64_t r = los_call((enum ppce_call)number(req, "call", 0), number(req, "arg0", 0), number(req, "arg1", 0));
	return ppce_reply(res, 200, "text/plain", "survived %ld\n", (long)r);
}

/* Overwrites what only the host should write; none of it may matter to the host. */
static int forge_io(const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_io *io = los_io;

	(void)req;
	if (!io)
		return ppce_reply(res, 501, NULL, "not in a guest\n");
	io->request_at = io->response_at = 0xfffffffffffff000;
	io->request_max = io->response_max = UINT64_MAX;
	io->heap_end = UINT64_MAX;
	io->tsc_mult = 0;
	io->random_left = 0;
	return ppce_reply(res, 200, "text/plain", "forged\n");
}

/* --- ends --- */

static int end_exit(const struct ppce_request *req, struct ppce_response *res)
{
	(void)res;
	exit((int)number(req, "status", 0));
}

static int end_abort(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	(void)res;
	abort();
}

static int end_assert(const struct ppce_request *req, struct ppce_response *res)
{
	assert(strcmp(req->path, "/an-assertion-that-fails") == 0);
	return survived(res);
}

static int end_kill(const struct ppce_request *req, struct ppce_response *res)
{
	kill(getpid(), (int)number(req, "signal", SIGKILL));
	return survived(res);
}

static int failing(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	(void)res;
	return -1;
}

static int silent(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	(void)res;
	return 0;
}

/* --- instructions that ring 3 must not have --- */

#define INSTRUCTION(name, text)                                                            \
	static int name(const struct ppce_request *req, struct ppce_response *res)         \
	{                                                                                  \
		(void)req;                                                                 \
		asm volatile(text : : "a"(0), "d"(0), "c"(0xc0000080), "r"(0) : "memory"); \
		return survived(res);                                                      \
	}
INSTRUCTION(i_hlt, "hlt")
INSTRUCTION(i_cli, "cli")
INSTRUCTION(i_out, "outb %%al, %%dx")
INSTRUCTION(i_in, "inb %%dx, %%al")
INSTRUCTION(i_rdmsr, "rdmsr")
INSTRUCTION(i_wrmsr, "wrmsr")
INSTRUCTION(i_cr3, "mov %%cr3, %%rax")
INSTRUCTION(i_cr0, "mov %%rax, %%cr0")
INSTRUCTION(i_dr7, "mov %%rax, %%dr7")
INSTRUCTION(i_lidt, "lidt (%%rsp)")
INSTRUCTION(i_ud2, "ud2")
INSTRUCTION(i_int3, "int3")
INSTRUCTION(i_int80, "int $0x80")
INSTRUCTION(i_int20, "int $0x20")
INSTRUCTION(i_divide, "div %%ecx; xor %%ecx, %%ecx; div %%ecx")
INSTRUCTION(i_trap_flag, "pushfq; orq $0x100, (%%rsp); popfq; nop; nop")
INSTRUCTION(i_alignment, "pushfq; orq $0x40000, (%%rsp); popfq; mov 1(%%rsp), %%rax")
INSTRUCTION(i_far_kernel, "pushq $8; lea 1f(%%rip), %%rax; push %%rax; lretq; 1: nop")
INSTRUCTION(i_noncanonical, "mov $0x8000000000000000, %%rax; mov (%%rax), %%rax")
INSTRUCTION(i_wild_stack, "mov $0x8000000000000000, %%rsp; push %%rax")
INSTRUCTION(i_syscall_stack, "xor %%esp, %%esp; mov $39, %%eax; syscall")
INSTRUCTION(i_syscall_stack_high, "mov $0xffffffff80000000, %%rsp; mov $39, %%eax; syscall")
INSTRUCTION(i_swapgs, "swapgs")
INSTRUCTION(i_xsetbv, "xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; xsetbv")
INSTRUCTION(i_wbinvd, "wbinvd")
INSTRUCTION(i_rdpmc, "rdpmc")
INSTRUCTION(i_vmcall, "vmcall")
INSTRUCTION(i_vmmcall, "vmmcall")
INSTRUCTION(i_sysenter, "sysenter")
INSTRUCTION(i_ldt, "mov $0xf, %%eax; mov %%eax, %%ds")
/* 32-bit code has entries of its own: on AMD `syscall` there goes to MSR_CSTAR, and `sysenter` exists. */
#define IN_32_BITS(instruction)                                                                          \
	"pushq $0x23; lea 1f(%%rip), %%rax; push %%rax; lretq; .code32; 1: mov $20, %%eax; " instruction \
	"; ud2; .code64"
INSTRUCTION(i_syscall32, IN_32_BITS("syscall"))
INSTRUCTION(i_sysenter32, IN_32_BITS("sysenter"))

/* Accesses to the doorbell that the library never makes. A host emulates them, as nothing is there to be accessed. The call
 * would be a harmless one, an empty log line. */
#define DOORBELL(name, text)                                                                            \
	static int name(const struct ppce_request *req, struct ppce_response *res)                      \
	{                                                                                               \
		struct ppce_io *io = los_io;                                                            \
		(void)req;                                                                              \
		if (!io)                                                                                \
			return ppce_reply(res, 501, NULL, "not in a guest\n");                          \
		io->call = PPCE_CALL_LOG;                                                               \
		io->arg[0] = PPCE_DEBUG;                                                                \
		io->arg[1] = 0;                                                                         \
		asm volatile(text : : "D"(io->doorbell), "S"(io->doorbell), "c"(3), "a"(0) : "memory"); \
		return survived(res);                                                                   \
	}
DOORBELL(d_read, "movb (%%rdi), %%al")
DOORBELL(d_wide, "movq %%rax, (%%rdi)")
DOORBELL(d_vector, "movups %%xmm0, (%%rdi)")
DOORBELL(d_avx, "vmovups %%ymm0, (%%rdi)")
DOORBELL(d_x87, "fnsave (%%rdi)")
DOORBELL(d_repeat, "rep stosb")
DOORBELL(d_copy, "rep movsb")
DOORBELL(d_locked, "lock xaddb %%al, (%%rdi)")
DOORBELL(d_compare, "lock cmpxchg16b (%%rdi)")
DOORBELL(d_elsewhere, "movb $1, 8(%%rdi)")
DOORBELL(d_across, "movq %%rax, 4092(%%rdi)")
DOORBELL(d_execute, "call *%%rdi")
DOORBELL(d_push, "lea 64(%%rdi), %%rsp; push %%rax")
DOORBELL(d_syscall, "lea 512(%%rdi), %%rsp; mov $39, %%eax; syscall")
DOORBELL(d_return, "mov %%rdi, %%rsp; iretq")
DOORBELL(d_xsave, "mov $7, %%eax; xor %%edx, %%edx; xsave (%%rdi)")

static int index_page(const struct ppce_request *req, struct ppce_response *res);

static const struct test_path paths[] = {
	{ "/", index_page },
	{ "/map", show_map },
	{ "/null", null_read },
	{ "/null-write", null_write },
	{ "/null-call", null_call },
	{ "/wx-write-text", write_text },
	{ "/wx-write-rodata", write_rodata },
	{ "/wx-exec-heap", exec_heap },
	{ "/wx-exec-stack", exec_stack },
	{ "/wx-exec-data", exec_data },
	{ "/wx-mprotect", exec_mprotect },
	{ "/stack-overflow", stack_overflow },
	{ "/smash-stack", smash_stack },
	{ "/peek-io", peek_io },
	{ "/poke-io", poke_io },
	{ "/loop", endless },
	{ "/loop-calls", endless_calls },
	{ "/huge-alloc", huge_alloc },
	{ "/fill-memory", fill_memory },
	{ "/doorbell-wild", wild_doorbell },
	{ "/forge-io", forge_io },
	{ "/exit", end_exit },
	{ "/abort", end_abort },
	{ "/assert", end_assert },
	{ "/kill", end_kill },
	{ "/fail", failing },
	{ "/silent", silent },
	{ "/hlt", i_hlt },
	{ "/cli", i_cli },
	{ "/out", i_out },
	{ "/in", i_in },
	{ "/rdmsr", i_rdmsr },
	{ "/wrmsr", i_wrmsr },
	{ "/cr3", i_cr3 },
	{ "/cr0", i_cr0 },
	{ "/dr7", i_dr7 },
	{ "/lidt", i_lidt },
	{ "/ud2", i_ud2 },
	{ "/int3", i_int3 },
	{ "/int80", i_int80 },
	{ "/int20", i_int20 },
	{ "/divide", i_divide },
	{ "/trap-flag", i_trap_flag },
	{ "/alignment", i_alignment },
	{ "/far-kernel", i_far_kernel },
	{ "/noncanonical", i_noncanonical },
	{ "/wild-stack", i_wild_stack },
	{ "/syscall-stack", i_syscall_stack },
	{ "/syscall-stack-high", i_syscall_stack_high },
	{ "/swapgs", i_swapgs },
	{ "/xsetbv", i_xsetbv },
	{ "/wbinvd", i_wbinvd },
	{ "/rdpmc", i_rdpmc },
	{ "/vmcall", i_vmcall },
	{ "/vmmcall", i_vmmcall },
	{ "/sysenter", i_sysenter },
	{ "/ldt", i_ldt },
	{ "/syscall32", i_syscall32 },
	{ "/sysenter32", i_sysenter32 },
	{ "/doorbell-read", d_read },
	{ "/doorbell-wide", d_wide },
	{ "/doorbell-vector", d_vector },
	{ "/doorbell-avx", d_avx },
	{ "/doorbell-x87", d_x87 },
	{ "/doorbell-repeat", d_repeat },
	{ "/doorbell-copy", d_copy },
	{ "/doorbell-locked", d_locked },
	{ "/doorbell-compare", d_compare },
	{ "/doorbell-elsewhere", d_elsewhere },
	{ "/doorbell-across", d_across },
	{ "/doorbell-execute", d_execute },
	{ "/doorbell-push", d_push },
	{ "/doorbell-syscall", d_syscall },
	{ "/doorbell-return", d_return },
	{ "/doorbell-xsave", d_xsave },
};

static int index_page(const struct ppce_request *req, struct ppce_response *res)
{
	return test_index(req, res, paths, sizeof paths / sizeof *paths);
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "probe", .handle = handle, .memory_mib = 8, .stack_kib = 64)
