/* SPDX-License-Identifier: MIT
 *
 * In place of the network where lwIP was not to be had: there is none, and no socket can be made. */
#include "guest/net.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>

void los_net_start(void)
{
}

bool los_net_up(void)
{
	return false;
}

void los_net_wait(uint64_t until)
{
	(void)until;
	__builtin_ia32_pause();
}

void los_net_poll(void)
{
}

const struct los_file *los_net_file(const char *path)
{
	(void)path;
	return NULL;
}

long los_socket_call(long number, const long *args)
{
	if (number != SYS_socket)
		return -ENOSYS;
	return args[0] == AF_INET ? -ENETDOWN : -EAFNOSUPPORT;
}

/* No descriptor is a socket, so nothing below is ever called. */
void los_socket_retain(struct los_socket *s)
{
	(void)s;
}

void los_socket_release(struct los_socket *s)
{
	(void)s;
}

long los_socket_recv(struct los_socket *s, const struct iovec *v, size_t count, int flags)
{
	(void)s, (void)v, (void)count, (void)flags;
	return -ENOTCONN;
}

long los_socket_send(struct los_socket *s, const struct iovec *v, size_t count, int flags)
{
	(void)s, (void)v, (void)count, (void)flags;
	return -ENOTCONN;
}

short los_socket_ready(const struct los_socket *s)
{
	(void)s;
	return 0;
}

bool los_socket_nonblock(const struct los_socket *s)
{
	(void)s;
	return false;
}

void los_socket_set_nonblock(struct los_socket *s, bool on)
{
	(void)s, (void)on;
}

long los_socket_ioctl(struct los_socket *s, unsigned long request, int *value)
{
	(void)s, (void)request, (void)value;
	return -ENOTTY;
}
