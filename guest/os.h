/* SPDX-License-Identifier: MIT
 *
 * The library OS, internal header: what answers libc's system calls when the program runs as a guest (in a VM or in the
 * process backend). Everything declared here but los_call() and the loop's helpers runs inside a `syscall` instruction
 * of the program, perhaps before libc is up, so those files are compiled without SSE, stack protector and builtins and
 * call nothing of libc. Results are as in the kernel: >= 0, or -errno.
 *
 * Pointers from the program are not validated: program and library OS are one trust domain, and the host believes
 * neither. A bad pointer ends the instance by a page fault.
 */
#ifndef GUEST_OS_H
#define GUEST_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/abi.h>
#include <ppce/manifest.h>

_Static_assert(AT_PPCE == 0x50504345u, "entry.S looks for this number");

#define LOS_HIDDEN __attribute__((visibility("hidden")))

LOS_HIDDEN extern struct ppce_io *los_io; /* NULL under plain Linux; set before libc starts */
extern const struct ppce_note ppce_note;  /* made by PPCE_APP in the app */

/* A file of the read-only view, put there by `ppce-cc --file GUESTPATH=HOSTFILE` (section ppce_files). */
struct los_file {
	const char *path; /* absolute */
	const uint8_t *data;
	uint64_t size;
};

/* dispatch.c: one system call; args are rdi, rsi, rdx, r10, r8, r9 */
LOS_HIDDEN long los_dispatch(long number, const long *args);

/* host.c: calls to the host. los_call() sets call and arguments, rings the doorbell, returns the host's result. */
LOS_HIDDEN int64_t los_call(enum ppce_call call, uint64_t arg0, uint64_t arg1);
LOS_HIDDEN void los_log(unsigned severity, const char *text, size_t len);
_Noreturn LOS_HIDDEN void los_exit(long status);
_Noreturn LOS_HIDDEN void los_panic(const char *text);
/* Ends the current request: flushes half lines, hands over `response` bytes, returns the length of the next request. 0:
 * there will be none; the network is up, and requests come over it. */
LOS_HIDDEN size_t los_wait(size_t response);
LOS_HIDDEN void los_next_request(void); /* ends a request that came over the network */
LOS_HIDDEN long los_getpid(void);
LOS_HIDDEN void los_random(void *out, size_t len);
LOS_HIDDEN long los_set_fs(unsigned long base);

/* memory.c */
LOS_HIDDEN long los_brk(uint64_t to);
LOS_HIDDEN long los_mmap(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t offset);
LOS_HIDDEN long los_munmap(uint64_t at, uint64_t len);
LOS_HIDDEN long los_mremap(uint64_t at, uint64_t old_len, uint64_t new_len, int flags, uint64_t to);
LOS_HIDDEN long los_mprotect(uint64_t at, uint64_t len, int prot);
LOS_HIDDEN long los_madvise(uint64_t at, uint64_t len, int advice);
LOS_HIDDEN uint64_t los_memory_free(void); /* bytes */

/* clock.c */
LOS_HIDDEN uint64_t los_monotonic_ns(void);
LOS_HIDDEN uint64_t los_realtime_ns(void);
LOS_HIDDEN long los_time_call(long number, const long *args);

/* files.c: descriptors 0-2, a few devices and the embedded files */
LOS_HIDDEN long los_file_call(long number, const long *args);
LOS_HIDDEN long los_pread(int fd, void *to, size_t len, uint64_t offset);
LOS_HIDDEN void los_console_flush(void); /* sends half lines of descriptors 1 and 2 to the log */

/* What a freestanding file may use in place of libc's string functions, which use SSE and AVX. */
static inline void los_copy(void *to, const void *from, size_t len)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

static inline void los_zero(void *to, size_t len)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(0) : "memory");
}

static inline size_t los_strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

static inline bool los_streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

#endif
