/* SPDX-License-Identifier: MIT
 *
 * What survives from one request to the next. This guest has a request loop of its own, so that it can fill every
 * register right before it hands over an answer and look at every register right after it is given the next request:
 *
 *   /state     all registers as they were when this request arrived, one "name value" a line
 *   /fill      scribbles over all memory it can write and, on the way out, over every register
 *   /stale     counts 64-byte runs of the scribble pattern in all writable memory
 *   /counter   how many requests this memory has seen */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/app.h"
#include "guest/os.h"
#include "tests/guest/paths.h"

#define PATTERN 0x5aa55aa5c33cc33cull /* for memory */
#define REGISTER_PATTERN \
	0x0000133773317331ull /* for registers: not the same, or their copy here would count as stale */

static struct dump {
	uint64_t gp[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 */
	uint64_t ymm[16][4];
	uint64_t rflags, fs, gs;
	uint32_t mxcsr, avx;
	uint8_t x87[108];
} state __attribute__((aligned(64), used));

static uint64_t fill_line[8] __attribute__((aligned(64), used)); /* the assembly below names it */
static const uint32_t fill_mxcsr = 0x7f80;			 /* another rounding mode than the usual 0x1f80 */
static const uint16_t fill_control = 0x0c7f;
static bool scribble;
static uint64_t counter;

#define EACH_YMM(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_YMM(n) "vmovdqa fill_line(%%rip), %%ymm" #n "\n"
#define SAVE_YMM(n) "vmovdqu %%ymm" #n ", state+128+32*" #n "(%%rip)\n"
#define LOAD_XMM(n) "movdqa fill_line(%%rip), %%xmm" #n "\n"
#define SAVE_XMM(n) "movdqu %%xmm" #n ", state+128+32*" #n "(%%rip)\n"

static void fill_vectors(void)
{
	if (state.avx)
		asm volatile(EACH_YMM(LOAD_YMM) : : : "memory");
	else
		asm volatile(EACH_YMM(LOAD_XMM) : : : "memory");
	asm volatile("ldmxcsr %0\n fninit\n fld1\n fldpi\n fldcw %1" : : "m"(fill_mxcsr), "m"(fill_control));
}

/* Rings for the next request with nothing but the pattern in every register that the doorbell leaves free, and stores
 * all registers before anything else happens. Only for KVM: the process backend's doorbell is a system call. */
static void ring_full(uint64_t doorbell, bool fill)
{
	asm volatile("lea -128(%%rsp), %%rsp\n" /* the red zone is the compiler's */
		     "push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		     "mov %0, %%rbx\n"
		     "test %1, %1\n jz 1f\n"
		     "mov fill_line(%%rip), %%rax\n"
		     "mov %%rax, %%rcx\n mov %%rax, %%rdx\n mov %%rax, %%rsi\n mov %%rax, %%rdi\n mov %%rax, %%rbp\n"
		     "mov %%rax, %%r8\n mov %%rax, %%r9\n mov %%rax, %%r10\n mov %%rax, %%r11\n mov %%rax, %%r12\n"
		     "mov %%rax, %%r13\n mov %%rax, %%r14\n mov %%rax, %%r15\n wrgsbase %%rax\n"
		     "push $0xcd7\n popfq\n" /* carry, parity, ..., direction, overflow */
		     "1: movb $1, (%%rbx)\n"
		     "mov %%rax, state(%%rip)\n mov %%rbx, state+8(%%rip)\n mov %%rcx, state+16(%%rip)\n"
		     "mov %%rdx, state+24(%%rip)\n mov %%rsi, state+32(%%rip)\n mov %%rdi, state+40(%%rip)\n"
		     "mov %%rbp, state+48(%%rip)\n mov %%rsp, state+56(%%rip)\n mov %%r8, state+64(%%rip)\n"
		     "mov %%r9, state+72(%%rip)\n mov %%r10, state+80(%%rip)\n mov %%r11, state+88(%%rip)\n"
		     "mov %%r12, state+96(%%rip)\n mov %%r13, state+104(%%rip)\n mov %%r14, state+112(%%rip)\n"
		     "mov %%r15, state+120(%%rip)\n pushfq\n pop %%rax\n mov %%rax, state+640(%%rip)\n cld\n"
		     "rdfsbase %%rax\n mov %%rax, state+648(%%rip)\n rdgsbase %%rax\n mov %%rax, state+656(%%rip)\n"
		     "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"
		     "lea 128(%%rsp), %%rsp\n"
		     :
		     : "c"(doorbell), "d"((long)fill)
		     : "rax", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

_Static_assert(offsetof(struct dump, ymm) == 128 && offsetof(struct dump, rflags) == 640, "ring_full() counts on it");

static size_t wait_and_look(size_t answer, bool fill)
{
	static const uint32_t usual_mxcsr = 0x1f80;
	struct ppce_io *io = los_io;

	los_console_flush();
	if (fill)
		fill_vectors();
	if (io->backend == PPCE_BACKEND_KVM) {
		io->call = PPCE_CALL_WAIT;
		io->arg[0] = answer;
		ring_full(io->doorbell, fill);
	} else {
		los_call(PPCE_CALL_WAIT, answer, 0);
	}
	if (state.avx)
		asm volatile(EACH_YMM(SAVE_YMM) : : : "memory");
	else
		asm volatile(EACH_YMM(SAVE_XMM) : : : "memory");
	asm volatile("stmxcsr %0\n fnsave %1\n ldmxcsr %2" : "=m"(state.mxcsr), "=m"(state.x87) : "m"(usual_mxcsr));
	return (size_t)io->result;
}

static int show_state(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	ppce_reply(res, 200, "text/plain", "%s", "");
	for (int i = 0; i < 16; i++)
		ppce_printf(res, "gp%d %016lx\n", i, state.gp[i]);
	for (int i = 0; i < 16; i++)
		ppce_printf(res, "ymm%d %016lx%016lx%016lx%016lx\n", i, state.ymm[i][3], state.ymm[i][2],
			    state.ymm[i][1], state.ymm[i][0]);
	ppce_printf(res, "mxcsr %x\nrflags %lx\nfs %lx\ngs %lx\nx87 ", state.mxcsr, state.rflags, state.fs, state.gs);
	for (size_t i = 0; i < sizeof state.x87; i++)
		ppce_printf(res, "%02x", state.x87[i]);
	return ppce_printf(res, "\n");
}

/* All writable memory of the guest that can be named: data, heap, stack, IO window. */
static size_t regions(uint64_t (*out)[2])
{
	extern char __data_start[] __attribute__((weak)), _end[];
	const struct ppce_io *io = los_io;
	uint64_t stack_end = (uint64_t)io - PPCE_PAGE;
	uint32_t stack_kib = ppce_note.manifest.stack_kib;

	out[0][0] = (uint64_t)__data_start;
	out[0][1] = (uint64_t)_end;
	out[1][0] = io->heap_start;
	out[1][1] = io->heap_end;
	out[2][0] = stack_end - ((uint64_t)(stack_kib ? stack_kib : 256) << 10);
	out[2][1] = stack_end;
	out[3][0] = io->request_at;
	out[3][1] = io->data_at + io->data_max;
	return 4;
}

static int show_stale(const struct ppce_request *req, struct ppce_response *res)
{
	uint64_t r[4][2];
	size_t found = 0, seen = 0;

	(void)req;
	for (size_t i = 0, n = regions(r); i < n; i++)
		for (uint64_t at = (r[i][0] + 63) & ~63ull; at + 64 <= r[i][1]; at += 64, seen++) {
			const volatile uint64_t *line = (const volatile uint64_t *)at;
			int same = 0;
			for (int k = 0; k < 8; k++)
				same += line[k] == PATTERN;
			found += same == 8;
		}
	return ppce_reply(res, 200, "text/plain", "stale %zu of %zu lines\n", found, seen);
}

static void fill_lines(uint64_t from, uint64_t to)
{
	for (uint64_t at = (from + 63) & ~63ull; at + 64 <= to; at += 64)
		for (int k = 0; k < 8; k++)
			((volatile uint64_t *)at)[k] = PATTERN;
}

static uint64_t ballast[16384] __attribute__((aligned(64))); /* stands for the app's own data */

/* Everything but what is needed to answer once more: own data, the free heap, the stack below, the IO buffers. */
static void scribble_memory(uint64_t response_end)
{
	uint64_t r[4][2];
	size_t len = 1 << 12;

	regions(r);
	fill_lines((uint64_t)ballast, (uint64_t)(ballast + 16384));
	for (void *p; (p = malloc(len)); free(p), len *= 2) /* largest piece of the heap, by doubling */
		fill_lines((uint64_t)p, (uint64_t)p + len);
	fill_lines(los_io->request_at, los_io->request_at + los_io->request_max);
	fill_lines(response_end, los_io->response_at + los_io->response_max);
	fill_lines(los_io->data_at, los_io->data_at + los_io->data_max);
	fill_lines(r[2][0], (uint64_t)__builtin_frame_address(0) - 4096);
}

static int fill(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	scribble = true;
	return ppce_reply(res, 200, "text/plain", "filled\n");
}

static int count(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_reply(res, 200, "text/plain", "%lu\n", counter);
}

static const struct test_path paths[] = {
	{ "/state", show_state }, { "/fill", fill }, { "/stale", show_stale }, { "/counter", count }
};

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	counter++;
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

static int own_loop(void)
{
	struct ppce_io *io = los_io;

	if (!io)
		return 0;
	for (int i = 0; i < 8; i++)
		fill_line[i] = REGISTER_PATTERN;
	state.avx = __builtin_cpu_supports("avx") != 0;
	for (size_t answer = 0;;) {
		size_t len = wait_and_look(answer, scribble);
		scribble = false;
		answer =
			app_serve((const void *)io->request_at, len, (void *)io->response_at, (size_t)io->response_max);
		if (scribble)
			scribble_memory(io->response_at + answer);
	}
}

PPCE_APP(.name = "state", .init = own_loop, .handle = handle, .memory_mib = 4, .queries = "none",
	 .warm_path = "/counter")
