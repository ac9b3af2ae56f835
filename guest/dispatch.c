/* SPDX-License-Identifier: MIT
 *
 * The system calls that a guest has. libc's start-up, stdio, malloc, time, randomness and TCP need about eighty; what is
 * not here does not exist (ENOSYS), which is most of the attack surface that a program does not have. */
#include "guest/net.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>

static long do_uname(struct utsname *u)
{
	los_zero(u, sizeof *u);
	los_copy(u->sysname, "Linux", 6); /* libc refuses to start on a kernel older than it was built for */
	los_copy(u->nodename, "ppce", 5);
	los_copy(u->release, "6.1.0-ppce", 11);
	los_copy(u->version, "#1", 3);
	los_copy(u->machine, "x86_64", 7);
	los_copy(u->domainname, "(none)", 7);
	return 0;
}

static long do_getrlimit(long resource, struct rlimit *old)
{
	uint32_t stack_kib = ppce_note.manifest.stack_kib;

	if (!old)
		return 0;
	old->rlim_cur = old->rlim_max = RLIM_INFINITY;
	if (resource == RLIMIT_STACK)
		old->rlim_cur = old->rlim_max = (rlim_t)(stack_kib ? stack_kib : 256) << 10;
	if (resource == RLIMIT_NOFILE)
		old->rlim_cur = old->rlim_max = 32;
	if (resource == RLIMIT_CORE || resource == RLIMIT_NPROC)
		old->rlim_cur = old->rlim_max = 0;
	return 0;
}

static long do_arch_prctl(long code, unsigned long value)
{
	static unsigned long fs;

	switch (code) {
	case ARCH_SET_FS:
		fs = value;
		return los_set_fs(value);
	case ARCH_GET_FS:
		*(unsigned long *)value = fs;
		return 0;
	default: /* the shadow-stack queries of libc among them */
		return -EINVAL;
	}
}

/* With a single thread nobody else can wake a sleeper: what would wait for ever is a deadlock, so say so and stop. */
static long do_futex(const int *word, long op, int value, const struct timespec *timeout)
{
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		return 0;
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		if (*(const volatile int *)word != value)
			return -EAGAIN;
		if (!timeout)
			los_panic("deadlock: the only thread waits for a lock");
		return -ETIMEDOUT;
	default:
		return -ENOSYS;
	}
}

static long do_kill(long signal)
{
	if (signal == 0)
		return 0;
	los_panic(signal == SIGABRT ? "abort" : "killed itself by a signal");
}

static long do_sysinfo(struct sysinfo *s)
{
	los_zero(s, sizeof *s);
	s->uptime = (long)(los_monotonic_ns() / 1000000000);
	s->totalram = los_io->heap_end - los_io->heap_start;
	s->freeram = los_memory_free();
	s->procs = 1;
	s->mem_unit = 1;
	return 0;
}

static long do_affinity(size_t size, unsigned long *mask)
{
	if (size < sizeof *mask)
		return -EINVAL;
	*mask = 1;
	return sizeof *mask;
}

static long do_getcpu(unsigned *cpu, unsigned *node)
{
	if (cpu)
		*cpu = 0;
	if (node)
		*node = 0;
	return 0;
}

static long do_getcwd(char *to, size_t size)
{
	if (size < 2)
		return -ERANGE;
	to[0] = '/';
	to[1] = '\0';
	return 2;
}

static long do_getrandom(void *to, size_t len)
{
	if (len > 1u << 25)
		len = 1u << 25;
	los_random(to, len);
	return (long)len;
}

static long do_sigaction(long signal, struct sigaction *old, size_t set_size)
{
	if (signal < 1 || signal > 64 || set_size != 8)
		return -EINVAL;
	if (old) /* the kernel's structure: handler, flags, restorer, 8 bytes of mask; all zero is SIG_DFL */
		los_zero(old, 32);
	return 0;
}

static long memory_call(long number, const long *a)
{
	switch (number) {
	case SYS_brk:
		return los_brk((uint64_t)a[0]);
	case SYS_mmap:
		return los_mmap((uint64_t)a[0], (uint64_t)a[1], (int)a[2], (int)a[3], (int)a[4], (uint64_t)a[5]);
	case SYS_munmap:
		return los_munmap((uint64_t)a[0], (uint64_t)a[1]);
	case SYS_mremap:
		return los_mremap((uint64_t)a[0], (uint64_t)a[1], (uint64_t)a[2], (int)a[3], (uint64_t)a[4]);
	case SYS_mprotect:
		return los_mprotect((uint64_t)a[0], (uint64_t)a[1], (int)a[2]);
	case SYS_madvise:
		return los_madvise((uint64_t)a[0], (uint64_t)a[1], (int)a[2]);
	default:
		return -ENOSYS;
	}
}

/* Who and where am I: one process, one thread, no privileges. */
static long identity_call(long number, const long *a)
{
	switch (number) {
	case SYS_getpid:
	case SYS_gettid:
	case SYS_set_tid_address:
	case SYS_getpgrp:
		return los_getpid();
	case SYS_getppid:
		return 1;
	case SYS_getuid:
	case SYS_geteuid:
	case SYS_getgid:
	case SYS_getegid:
		return 65534;
	case SYS_uname:
		return do_uname((struct utsname *)a[0]);
	case SYS_sysinfo:
		return do_sysinfo((struct sysinfo *)a[0]);
	case SYS_getcwd:
		return do_getcwd((char *)a[0], (size_t)a[1]);
	case SYS_getrlimit:
		return do_getrlimit(a[0], (struct rlimit *)a[1]);
	case SYS_prlimit64:
		return do_getrlimit(a[1], (struct rlimit *)a[3]);
	case SYS_getcpu:
		return do_getcpu((unsigned *)a[0], (unsigned *)a[1]);
	case SYS_sched_getaffinity:
		return do_affinity((size_t)a[1], (unsigned long *)a[2]);
	default:
		return -ENOSYS;
	}
}

static long process_call(long number, const long *a)
{
	switch (number) {
	case SYS_arch_prctl:
		return do_arch_prctl(a[0], (unsigned long)a[1]);
	case SYS_rt_sigaction:
		return do_sigaction(a[0], (struct sigaction *)a[2], (size_t)a[3]);
	case SYS_rt_sigprocmask:
		if (a[2])
			los_zero((void *)a[2], (size_t)a[3] > 8 ? 8 : (size_t)a[3]);
		return 0;
	case SYS_sigaltstack:
	case SYS_set_robust_list:
	case SYS_sched_yield:
		return 0;
	case SYS_futex:
		return do_futex((const int *)a[0], a[1], (int)a[2], (const struct timespec *)a[3]);
	case SYS_kill:
	case SYS_tkill:
		return do_kill(a[1]);
	case SYS_tgkill:
		return do_kill(a[2]);
	case SYS_exit:
	case SYS_exit_group:
		los_exit(a[0]);
	default:
		return identity_call(number, a);
	}
}

static bool of_time(long number)
{
	return number == SYS_clock_gettime || number == SYS_clock_getres || number == SYS_clock_nanosleep ||
	       number == SYS_nanosleep || number == SYS_gettimeofday || number == SYS_time;
}

long los_dispatch(long number, const long *args)
{
	if (of_time(number))
		return los_time_call(number, args);
	if (number == SYS_getrandom)
		return do_getrandom((void *)args[0], (size_t)args[1]);
	long r = memory_call(number, args);
	if (r == -ENOSYS)
		r = los_file_call(number, args);
	if (r == -ENOSYS)
		r = los_socket_call(number, args);
	if (r == -ENOSYS)
		r = los_poll_call(number, args);
	return r == -ENOSYS ? process_call(number, args) : r;
}
