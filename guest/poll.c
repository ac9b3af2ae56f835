/* SPDX-License-Identifier: MIT
 *
 * poll and select: which descriptors are ready, and waiting for one. Files and devices always are. */
#include "guest/net.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

enum { FDS_MAX = 64 }; /* more than a guest can have open */

static long look(struct pollfd *p, size_t n)
{
	long found = 0;

	for (size_t i = 0; i < n; i++) {
		p[i].revents = 0;
		if (p[i].fd < 0)
			continue;
		p[i].revents = los_fd_ready(p[i].fd) & (short)(p[i].events | POLLERR | POLLHUP | POLLNVAL);
		found += p[i].revents != 0;
	}
	return found;
}

static long wait_until(struct pollfd *p, size_t n, uint64_t until)
{
	long found;

	los_net_poll();
	while (!(found = look(p, n)) && los_monotonic_ns() < until)
		los_net_wait(until);
	return found;
}

static uint64_t after(uint64_t ns)
{
	uint64_t now = los_monotonic_ns();

	return ns > LOS_FOREVER - now ? LOS_FOREVER : now + ns;
}

/* -EINVAL, or 0 and the time at which to give up; NULL: never. `unit`: ns of one tv_nsec or tv_usec. */
static long limit(const struct timespec *t, long unit, uint64_t *until)
{
	*until = LOS_FOREVER;
	if (!t)
		return 0;
	if (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= 1000000000 / unit)
		return -EINVAL;
	*until = after(t->tv_sec > 4000000000 ? LOS_FOREVER
					      : (uint64_t)t->tv_sec * 1000000000 + (uint64_t)(t->tv_nsec * unit));
	return 0;
}

static long do_poll(struct pollfd *p, size_t n, long ms)
{
	if (n > FDS_MAX)
		return -EINVAL;
	return wait_until(p, n, ms < 0 ? LOS_FOREVER : after((uint64_t)ms * 1000000));
}

static long do_ppoll(struct pollfd *p, size_t n, const struct timespec *t)
{
	uint64_t until;
	long r = limit(t, 1, &until);

	if (r < 0 || n > FDS_MAX)
		return -EINVAL;
	return wait_until(p, n, until);
}

/* --- select: the same by three sets of bits --- */

static const struct {
	short events, answers;
} kinds[3] = { { POLLIN, POLLIN | POLLHUP | POLLERR }, { POLLOUT, POLLOUT | POLLERR }, { POLLPRI, POLLPRI } };

/* Every descriptor beyond FDS_MAX is closed: a bit there is an error. */
static bool valid_sets(fd_set *const *sets, int n)
{
	for (int k = 0; k < 3; k++)
		for (int fd = 0; sets[k] && fd < n; fd++)
			if (FD_ISSET(fd, sets[k]) && !los_fd_open(fd))
				return false;
	return true;
}

static size_t collect(struct pollfd *p, fd_set *const *sets, int n)
{
	size_t count = 0;

	for (int fd = 0; fd < n && fd < FDS_MAX; fd++) {
		short events = 0;
		for (int k = 0; k < 3; k++)
			if (sets[k] && FD_ISSET(fd, sets[k]))
				events |= kinds[k].events;
		if (events)
			p[count++] = (struct pollfd){ .fd = fd, .events = events };
	}
	return count;
}

static long report(const struct pollfd *p, size_t count, fd_set *const *sets)
{
	long bits = 0;

	for (size_t i = 0; i < count; i++)
		for (int k = 0; k < 3; k++) {
			if (!(p[i].events & kinds[k].events))
				continue;
			if (p[i].revents & kinds[k].answers)
				bits++;
			else
				FD_CLR(p[i].fd, sets[k]);
		}
	return bits;
}

static long do_select(int n, fd_set *const *sets, const struct timespec *t, long unit)
{
	struct pollfd p[FDS_MAX];
	uint64_t until;

	if (n < 0 || n > FD_SETSIZE || limit(t, unit, &until) < 0)
		return -EINVAL;
	if (!valid_sets(sets, n))
		return -EBADF;
	size_t count = collect(p, sets, n);
	wait_until(p, count, until);
	return report(p, count, sets);
}

long los_poll_call(long number, const long *a)
{
	fd_set *const sets[3] = { (fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3] };

	switch (number) {
	case SYS_poll:
		return do_poll((struct pollfd *)a[0], (size_t)a[1], (int)a[2]);
	case SYS_ppoll:
		return do_ppoll((struct pollfd *)a[0], (size_t)a[1], (const struct timespec *)a[2]);
	case SYS_select: /* struct timeval: the same shape, in us */
		return do_select((int)a[0], sets, (const struct timespec *)a[4], 1000);
	case SYS_pselect6:
		return do_select((int)a[0], sets, (const struct timespec *)a[4], 1);
	default:
		return -ENOSYS;
	}
}
