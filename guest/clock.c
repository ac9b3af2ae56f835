/* SPDX-License-Identifier: MIT
 *
 * Time in a guest: the host states both clocks at one reading of the TSC, and the guest counts on from there by itself,
 * so that telling the time never leaves the VM. */
#include "guest/net.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define NS 1000000000ull

static uint64_t since_entry_ns(void)
{
	const struct ppce_io *io = los_io;
	uint64_t now = __builtin_ia32_rdtsc();

	if (now < io->tsc)
		return 0;
	return (uint64_t)((unsigned __int128)(now - io->tsc) * io->tsc_mult >> 32);
}

uint64_t los_monotonic_ns(void)
{
	return los_io->monotonic_ns + since_entry_ns();
}

uint64_t los_realtime_ns(void)
{
	return los_io->realtime_ns + since_entry_ns();
}

static long read_clock(long id, uint64_t *ns)
{
	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI:
		*ns = los_realtime_ns();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_PROCESS_CPUTIME_ID: /* a guest that waits does not run, so this is an upper bound */
	case CLOCK_THREAD_CPUTIME_ID:
		*ns = los_monotonic_ns();
		return 0;
	default:
		return -EINVAL;
	}
}

/* Nothing else is to run: with a network the host waits, without one there is no interrupt to wake up from, and sleeping
 * is counting. The request's deadline bounds it. */
static long sleep_until(long id, uint64_t end)
{
	uint64_t now;

	while (read_clock(id, &now) == 0 && now < end)
		los_net_wait(los_monotonic_ns() + (end - now));
	return 0;
}

static long sleep_call(long id, bool absolute, const struct timespec *t)
{
	uint64_t now;
	long r = read_clock(id, &now);

	if (r < 0)
		return r;
	if (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= (long)NS)
		return -EINVAL;
	uint64_t span = t->tv_sec > 4000000000 ? 4000000000ull * NS : (uint64_t)t->tv_sec * NS + (uint64_t)t->tv_nsec;
	return sleep_until(id, absolute ? span : now + span);
}

static long tell_time(long id, struct timespec *t)
{
	uint64_t ns = 0;
	long r = read_clock(id, &ns);

	if (r == 0 && t)
		*t = (struct timespec){ .tv_sec = (time_t)(ns / NS), .tv_nsec = (long)(ns % NS) };
	return r;
}

static long tell_day(struct timeval *tv)
{
	uint64_t ns = los_realtime_ns();

	if (tv)
		*tv = (struct timeval){ .tv_sec = (time_t)(ns / NS), .tv_usec = (long)(ns % NS / 1000) };
	return 0;
}

long los_time_call(long number, const long *a)
{
	uint64_t ns;
	long r;

	switch (number) {
	case SYS_clock_gettime:
		return tell_time(a[0], (struct timespec *)a[1]);
	case SYS_gettimeofday:
		return tell_day((struct timeval *)a[0]);
	case SYS_time:
		r = (long)(los_realtime_ns() / NS);
		if (a[0])
			*(time_t *)a[0] = r;
		return r;
	case SYS_clock_getres:
		r = read_clock(a[0], &ns);
		if (r == 0 && a[1])
			*(struct timespec *)a[1] = (struct timespec){ .tv_nsec = 1 };
		return r;
	case SYS_nanosleep:
		return sleep_call(CLOCK_MONOTONIC, false, (const struct timespec *)a[0]);
	case SYS_clock_nanosleep:
		return sleep_call(a[0], a[1] & TIMER_ABSTIME, (const struct timespec *)a[2]);
	default:
		return -ENOSYS;
	}
}
