/* SPDX-License-Identifier: MIT
 *
 * The system calls on sockets: arguments in Linux's form, turned into calls of tcp.c. TCP over IPv4 is all there is. */
#include "guest/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define NS 1000000000ull

static long new_fd(struct los_socket *s)
{
	long fd = los_fd_new(s);

	if (fd < 0)
		los_socket_release(s);
	return fd;
}

static long do_socket(long domain, long type, long protocol)
{
	if (domain != AF_INET)
		return -EAFNOSUPPORT;
	if (!los_net_up())
		return -ENETDOWN;
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != 0 && protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	struct los_socket *s = los_socket_new(type & SOCK_NONBLOCK);
	return s ? new_fd(s) : -ENFILE;
}

/* --- addresses --- */

static long take_address(const struct sockaddr_in *from, size_t len, uint32_t *ip, uint16_t *port)
{
	if (len < sizeof *from)
		return -EINVAL;
	if (from->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	*ip = __builtin_bswap32(from->sin_addr.s_addr);
	*port = __builtin_bswap16(from->sin_port);
	return 0;
}

static void give_address(struct sockaddr_in *to, socklen_t *len, uint32_t ip, uint16_t port)
{
	struct sockaddr_in a;

	if (!to || !len)
		return;
	los_zero(&a, sizeof a);
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = __builtin_bswap32(ip);
	a.sin_port = __builtin_bswap16(port);
	los_copy(to, &a, *len < sizeof a ? *len : sizeof a);
	*len = sizeof a;
}

static long give_name(const struct los_socket *s, bool peer, struct sockaddr_in *to, socklen_t *len)
{
	uint32_t ip;
	uint16_t port;

	los_socket_name(s, peer, &ip, &port);
	if (peer && !port)
		return -ENOTCONN;
	give_address(to, len, ip, port);
	return 0;
}

static long do_accept(struct los_socket *s, struct sockaddr_in *to, socklen_t *len, long flags)
{
	struct los_socket *peer = NULL;

	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	long r = los_socket_accept(s, &peer);
	if (r < 0)
		return r;
	los_socket_set_nonblock(peer, flags & SOCK_NONBLOCK);
	r = new_fd(peer);
	if (r >= 0)
		give_name(peer, true, to, len);
	return r;
}

static long do_bind(struct los_socket *s, const struct sockaddr_in *from, size_t len)
{
	uint32_t ip = 0;
	uint16_t port = 0;
	long r = take_address(from, len, &ip, &port);

	return r < 0 ? r : los_socket_bind(s, ip, port);
}

static long do_connect(struct los_socket *s, const struct sockaddr_in *from, size_t len)
{
	uint32_t ip = 0;
	uint16_t port = 0;
	long r = take_address(from, len, &ip, &port);

	return r < 0 ? r : los_socket_connect(s, ip, port);
}

/* --- bytes --- */

static long do_recvfrom(struct los_socket *s, const long *a)
{
	const struct iovec v = { (void *)a[1], (size_t)a[2] };

	if (a[4] && a[5])
		*(socklen_t *)a[5] = 0; /* a stream names its peer by getpeername() */
	return los_socket_recv(s, &v, 1, (int)a[3]);
}

static long do_sendto(struct los_socket *s, const long *a)
{
	const struct iovec v = { (void *)a[1], (size_t)a[2] };

	return los_socket_send(s, &v, 1, (int)a[3]);
}

static long do_message(struct los_socket *s, struct msghdr *m, int flags, bool sending)
{
	if (m->msg_iovlen > 1024)
		return -EMSGSIZE;
	if (sending)
		return los_socket_send(s, m->msg_iov, m->msg_iovlen, flags);
	m->msg_namelen = 0;
	m->msg_controllen = 0;
	m->msg_flags = 0;
	return los_socket_recv(s, m->msg_iov, m->msg_iovlen, flags);
}

/* --- options --- */

static int tcp_option(long name)
{
	switch (name) {
	case TCP_NODELAY:
		return LOS_NODELAY;
	case TCP_KEEPIDLE:
		return LOS_KEEPIDLE;
	case TCP_KEEPINTVL:
		return LOS_KEEPINTVL;
	case TCP_KEEPCNT:
		return LOS_KEEPCNT;
	default:
		return -1;
	}
}

static long set_limit(uint64_t *limit, const struct timeval *t, size_t len)
{
	if (len < sizeof *t)
		return -EINVAL;
	if (t->tv_usec < 0 || t->tv_usec >= 1000000)
		return -EDOM;
	*limit = t->tv_sec < 0 || t->tv_sec > 4000000000 ? 0 : (uint64_t)t->tv_sec * NS + (uint64_t)t->tv_usec * 1000;
	return 0;
}

/* Options that make no difference here are taken, as programs set them without need. */
static bool harmless(long level, long name)
{
	if (level == SOL_SOCKET)
		return name == SO_REUSEADDR || name == SO_REUSEPORT || name == SO_SNDBUF || name == SO_RCVBUF ||
		       name == SO_LINGER || name == SO_PRIORITY || name == SO_OOBINLINE || name == SO_DONTROUTE;
	if (level == IPPROTO_TCP)
		return name == TCP_USER_TIMEOUT || name == TCP_QUICKACK || name == TCP_CORK ||
		       name == TCP_DEFER_ACCEPT || name == TCP_SYNCNT;
	return level == IPPROTO_IP && (name == IP_TOS || name == IP_TTL);
}

static long do_setsockopt(struct los_socket *s, long level, long name, const void *value, size_t len)
{
	int option = level == IPPROTO_TCP			   ? tcp_option(name)
		     : level == SOL_SOCKET && name == SO_KEEPALIVE ? LOS_KEEPALIVE
								   : -1;

	if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO))
		return set_limit(los_socket_limit(s, name == SO_SNDTIMEO), value, len);
	if (len < sizeof(int))
		return -EINVAL;
	int n = *(const int *)value;
	if (option < 0)
		return harmless(level, name) ? 0 : -ENOPROTOOPT;
	if (option != LOS_NODELAY && option != LOS_KEEPALIVE && (n < 1 || n > 32767))
		return -EINVAL;
	los_socket_set(s, (enum los_socket_option)option, n);
	return 0;
}

static long give(void *to, socklen_t *len, const void *value, socklen_t size)
{
	if (*len > size)
		*len = size;
	los_copy(to, value, *len);
	return 0;
}

static long give_limit(const uint64_t *limit, void *to, socklen_t *len)
{
	const struct timeval t = { .tv_sec = (time_t)(*limit / NS), .tv_usec = (suseconds_t)(*limit % NS / 1000) };

	return give(to, len, &t, sizeof t);
}

static long get_number(struct los_socket *s, long level, long name)
{
	if (level == IPPROTO_TCP && tcp_option(name) >= 0)
		return los_socket_get(s, (enum los_socket_option)tcp_option(name));
	if (level == IPPROTO_TCP && name == TCP_MAXSEG)
		return 1460;
	if (level != SOL_SOCKET)
		return harmless(level, name) ? 0 : -ENOPROTOOPT;
	switch (name) {
	case SO_ERROR:
		return los_socket_get(s, LOS_ERROR);
	case SO_TYPE:
		return SOCK_STREAM;
	case SO_DOMAIN:
		return AF_INET;
	case SO_PROTOCOL:
		return IPPROTO_TCP;
	case SO_ACCEPTCONN:
		return los_socket_get(s, LOS_LISTENS);
	case SO_KEEPALIVE:
		return los_socket_get(s, LOS_KEEPALIVE);
	case SO_SNDBUF:
	case SO_RCVBUF:
		return 6 * 1460;
	default:
		return harmless(level, name) ? 0 : -ENOPROTOOPT;
	}
}

static long do_getsockopt(struct los_socket *s, long level, long name, void *to, socklen_t *len)
{
	if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO))
		return give_limit(los_socket_limit(s, name == SO_SNDTIMEO), to, len);
	long n = get_number(s, level, name);
	if (n < 0)
		return n;
	int value = (int)n;
	return give(to, len, &value, sizeof value);
}

long los_socket_ioctl(struct los_socket *s, unsigned long request, int *value)
{
	if (request == FIONBIO)
		los_socket_set_nonblock(s, *value);
	else if (request == FIONREAD)
		*value = (int)los_socket_unread(s);
	else
		return -ENOTTY;
	return 0;
}

/* --- dispatch --- */

static bool of_sockets(long number)
{
	return (number >= SYS_connect && number <= SYS_getsockopt && number != SYS_socketpair) || number == SYS_accept4;
}

static long connection_call(struct los_socket *s, long number, const long *a)
{
	switch (number) {
	case SYS_bind:
		return do_bind(s, (const struct sockaddr_in *)a[1], (socklen_t)a[2]);
	case SYS_listen:
		return los_socket_listen(s, (int)a[1]);
	case SYS_connect:
		return do_connect(s, (const struct sockaddr_in *)a[1], (socklen_t)a[2]);
	case SYS_accept:
		return do_accept(s, (struct sockaddr_in *)a[1], (socklen_t *)a[2], 0);
	case SYS_accept4:
		return do_accept(s, (struct sockaddr_in *)a[1], (socklen_t *)a[2], a[3]);
	case SYS_shutdown:
		return los_socket_shutdown(s, (int)a[1]);
	case SYS_getsockname:
		return give_name(s, false, (struct sockaddr_in *)a[1], (socklen_t *)a[2]);
	case SYS_getpeername:
		return give_name(s, true, (struct sockaddr_in *)a[1], (socklen_t *)a[2]);
	default:
		return -ENOSYS;
	}
}

long los_socket_call(long number, const long *a)
{
	if (number == SYS_socket)
		return do_socket(a[0], a[1], a[2]);
	if (!of_sockets(number))
		return -ENOSYS;
	struct los_socket *s = los_fd_socket(a[0]);
	if (!s)
		return los_fd_open(a[0]) ? -ENOTSOCK : -EBADF;
	switch (number) {
	case SYS_recvfrom:
		return do_recvfrom(s, a);
	case SYS_sendto:
		return do_sendto(s, a);
	case SYS_recvmsg:
		return do_message(s, (struct msghdr *)a[1], (int)a[2], false);
	case SYS_sendmsg:
		return do_message(s, (struct msghdr *)a[1], (int)a[2], true);
	case SYS_setsockopt:
		return do_setsockopt(s, a[1], a[2], (const void *)a[3], (socklen_t)a[4]);
	case SYS_getsockopt:
		return do_getsockopt(s, a[1], a[2], (void *)a[3], (socklen_t *)a[4]);
	default:
		return connection_call(s, number, a);
	}
}
