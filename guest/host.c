/* SPDX-License-Identifier: MIT
 *
 * Calls from the guest to its host: the doorbell of both backends, and the calls behind it. */
#include "guest/net.h"

#include <errno.h>
#include <asm/prctl.h>
#include <sys/syscall.h>

struct ppce_io *los_io;
static uint32_t process_id = 1;

/* Only for the process backend, whose seccomp filter lets these few through; a VM has nothing below this library. */
static long linux_call(long number, long a, long b, long c, long d)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = 0;
	register long r9 asm("r9") = 0;
	long result = number;

	asm volatile("syscall"
		     : "+a"(result)
		     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
}

static void ring_process(int fd)
{
	char byte = 0;
	long n;

	do
		n = linux_call(SYS_sendto, fd, (long)&byte, 1, 0);
	while (n == -EINTR);
	if (n == 1)
		do
			n = linux_call(SYS_recvfrom, fd, (long)&byte, 1, 0);
		while (n == -EINTR);
	if (n != 1) /* the tender is gone */
		linux_call(SYS_exit_group, 1, 0, 0, 0);
}

int64_t los_call(enum ppce_call call, uint64_t arg0, uint64_t arg1)
{
	struct ppce_io *io = los_io;

	io->call = call;
	io->arg[0] = arg0;
	io->arg[1] = arg1;
	if (io->backend == PPCE_BACKEND_PROCESS)
		ring_process(io->doorbell_fd);
	else
		asm volatile("movb $1, (%0)" : : "r"(io->doorbell) : "memory");
	return io->result;
}

void los_log(unsigned severity, const char *text, size_t len)
{
	if (len > PPCE_IO_TEXT - 1)
		len = PPCE_IO_TEXT - 1;
	los_copy(los_io->text, text, len);
	los_call(PPCE_CALL_LOG, severity, len);
}

void los_exit(long status)
{
	los_console_flush();
	for (;;)
		los_call(PPCE_CALL_EXIT, (uint64_t)status & 0xff, 0);
}

void los_panic(const char *text)
{
	size_t len = los_strlen(text);

	los_console_flush();
	if (len > PPCE_IO_TEXT - 1)
		len = PPCE_IO_TEXT - 1;
	los_copy(los_io->text, text, len);
	for (;;)
		los_call(PPCE_CALL_PANIC, 0, len);
}

/* Every byte is given out once and wiped, so that nothing later in the same request can read a key's bytes here. */
void los_random(void *out, size_t len)
{
	struct ppce_io *io = los_io;
	uint8_t *to = out;

	while (len) {
		if (!io->random_left || io->random_left > PPCE_IO_RANDOM) {
			if (los_call(PPCE_CALL_RANDOM, 0, 0) != PPCE_IO_RANDOM)
				los_panic("the host gave no random bytes");
			io->random_left = PPCE_IO_RANDOM;
		}
		size_t n = len < io->random_left ? len : io->random_left;
		uint8_t *from = io->random + (PPCE_IO_RANDOM - io->random_left);
		los_copy(to, from, n);
		los_zero(from, n);
		io->random_left -= (uint32_t)n;
		to += n;
		len -= n;
	}
}

/* The process id is drawn afresh for every request. Random generators in user space (OpenSSL's, for one) seed again when
 * they see another id, as after a fork; thereby two clones of one snapshot never share a key stream. */
static void renew_process_id(void)
{
	uint32_t r;

	los_random(&r, sizeof r);
	process_id = 2 + r % 0x3ffffe;
}

long los_getpid(void)
{
	return (long)process_id;
}

void los_next_request(void)
{
	los_console_flush();
	renew_process_id();
}

size_t los_wait(size_t response)
{
	los_console_flush();
	int64_t len = los_call(PPCE_CALL_WAIT, response, 0);

	if (len < 0 || (uint64_t)len > los_io->request_max)
		los_panic("the host gave a request longer than the request buffer");
	renew_process_id();
	if (len == 0) {
		los_net_start();
		if (!los_net_up())
			los_panic("there is neither a request nor a network");
	}
	return (size_t)len;
}

long los_set_fs(unsigned long base)
{
	if (los_io->backend == PPCE_BACKEND_PROCESS)
		return linux_call(SYS_arch_prctl, ARCH_SET_FS, (long)base, 0, 0);
	asm volatile("wrfsbase %0" : : "r"(base));
	return 0;
}
