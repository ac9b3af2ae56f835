/* SPDX-License-Identifier: MIT
 *
 * Bytes of a connection, how it ends, and what a program may ask and set of a socket. */
#include "guest/tcp.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static bool readable(const struct los_socket *s)
{
	return s->len || s->eof || s->no_read || s->error;
}

static size_t copy_out(struct los_socket *s, size_t skip, uint8_t *to, size_t len)
{
	size_t have = s->len - skip, from = (s->at + skip) % sizeof s->ring, first = sizeof s->ring - from;

	if (len > have)
		len = have;
	if (first > len)
		first = len;
	los_copy(to, s->ring + from, first);
	los_copy(to + first, s->ring, len - first);
	return len;
}

/* Takes what is there now into the vectors, from byte `done` of them on. */
static size_t drain(struct los_socket *s, const struct iovec *v, size_t count, size_t done, bool peek)
{
	size_t got = 0;

	for (size_t i = 0; i < count; i++) {
		size_t skip = done < v[i].iov_len ? done : v[i].iov_len;
		done -= skip;
		got += copy_out(s, got, (uint8_t *)v[i].iov_base + skip, v[i].iov_len - skip);
	}
	if (peek)
		return got;
	s->at = (s->at + got) % sizeof s->ring;
	s->len -= got;
	if (s->pcb && got)
		tcp_recved(s->pcb, (uint16_t)got);
	return got;
}

static size_t total(const struct iovec *v, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		if (__builtin_add_overflow(sum, v[i].iov_len, &sum))
			return PTRDIFF_MAX;
	return sum;
}

long los_socket_recv(struct los_socket *s, const struct iovec *v, size_t count, int flags)
{
	size_t want = total(v, count), got = 0;
	bool all = (flags & MSG_WAITALL) && !(flags & MSG_PEEK);

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (s->state == FRESH || s->state == LISTENING)
		return -ENOTCONN;
	if (!want)
		return 0;
	do {
		long r = los_tcp_wait(s, readable, flags & MSG_DONTWAIT, s->recv_ns);
		if (r < 0)
			return got ? (long)got : r;
		size_t n = drain(s, v, count, got, flags & MSG_PEEK);
		got += n;
		if (n == 0)
			break;
	} while (all && got < want);
	los_net_flush();
	return got || !s->error ? (long)got : los_tcp_take_error(s);
}

static bool writable(const struct los_socket *s)
{
	return s->state != CONNECTING &&
	       (s->state != CONNECTED || s->no_write || s->error ||
		(tcp_sndbuf(s->pcb) >= TCP_SND_BUF / 3 && tcp_sndqueuelen(s->pcb) < TCP_SND_QUEUELEN / 2));
}

/* Hands lwIP as much as it takes now; -EAGAIN: nothing, because its memory is in use by other connections. */
static long push(struct los_socket *s, const uint8_t *from, size_t len)
{
	size_t n = len < tcp_sndbuf(s->pcb) ? len : tcp_sndbuf(s->pcb);
	err_t e = tcp_write(s->pcb, from, (uint16_t)n, TCP_WRITE_FLAG_COPY | (n < len ? TCP_WRITE_FLAG_MORE : 0));

	return e == ERR_OK ? (long)n : e == ERR_MEM ? -EAGAIN : -los_tcp_errno(e);
}

static long may_send(struct los_socket *s, int flags)
{
	if (s->state == FRESH || s->state == LISTENING)
		return -ENOTCONN;
	if (!writable(s) && s->pcb)
		tcp_output(s->pcb);
	long r = los_tcp_wait(s, writable, flags & MSG_DONTWAIT, s->send_ns);
	if (r < 0)
		return r;
	if (s->error)
		return los_tcp_take_error(s);
	return s->state == CONNECTED && !s->no_write ? 0 : -EPIPE;
}

static long send_bytes(struct los_socket *s, const uint8_t *from, size_t len, int flags)
{
	size_t done = 0;
	long r = 0;

	while (done < len && (r = may_send(s, flags)) == 0) {
		r = push(s, from + done, len - done);
		if (r > 0) {
			done += (size_t)r;
			continue;
		}
		tcp_output(s->pcb);
		if (r != -EAGAIN || s->nonblock || flags & MSG_DONTWAIT)
			break;
		los_net_wait(los_monotonic_ns() + 5000000);
	}
	return done ? (long)done : r;
}

long los_socket_send(struct los_socket *s, const struct iovec *v, size_t count, int flags)
{
	size_t done = 0;
	long r = flags & MSG_OOB ? -EOPNOTSUPP : may_send(s, flags);

	for (size_t i = 0; i < count && r >= 0; i++) {
		r = send_bytes(s, v[i].iov_base, v[i].iov_len, flags);
		if (r > 0)
			done += (size_t)r;
		if (r >= 0 && (size_t)r < v[i].iov_len)
			break;
	}
	if (s->pcb && s->state == CONNECTED) /* once for all vectors: small ones share a segment */
		tcp_output(s->pcb);
	los_net_flush();
	return done ? (long)done : r;
}

long los_socket_shutdown(struct los_socket *s, int how)
{
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (s->state != CONNECTED)
		return -ENOTCONN;
	if (how != SHUT_WR) {
		s->no_read = true;
		tcp_recved(s->pcb, (uint16_t)s->len);
		s->len = 0;
	}
	if (how != SHUT_RD && !s->no_write) {
		tcp_shutdown(s->pcb, 0, 1);
		s->no_write = true;
		if (s->eof)
			los_tcp_let_go(s);
	}
	los_net_flush();
	return 0;
}

/* --- questions --- */

void los_socket_name(const struct los_socket *s, bool peer, uint32_t *ip, uint16_t *port)
{
	*port = peer ? s->peer_port : s->port;
	*ip = peer ? s->peer_ip : s->peer_port ? los_net_page()->ipv4 : 0;
}

short los_socket_ready(const struct los_socket *s)
{
	short mask = 0;

	if (s->state == LISTENING)
		return s->waiting ? POLLIN | POLLRDNORM : 0;
	if (s->state == FRESH)
		return POLLOUT | POLLHUP;
	if (readable(s))
		mask |= POLLIN | POLLRDNORM;
	if (writable(s))
		mask |= POLLOUT | POLLWRNORM;
	if (s->eof)
		mask |= POLLRDHUP;
	if (s->error)
		mask |= POLLERR;
	if (s->state == GONE)
		mask |= POLLHUP;
	return mask;
}

size_t los_socket_unread(const struct los_socket *s)
{
	return s->len;
}

bool los_socket_nonblock(const struct los_socket *s)
{
	return s->nonblock;
}

void los_socket_set_nonblock(struct los_socket *s, bool on)
{
	s->nonblock = on;
}

uint64_t *los_socket_limit(struct los_socket *s, bool of_sending)
{
	return of_sending ? &s->send_ns : &s->recv_ns;
}

long los_socket_get(struct los_socket *s, enum los_socket_option option)
{
	if (option == LOS_ERROR)
		return -los_tcp_take_error(s);
	if (option == LOS_LISTENS)
		return s->state == LISTENING;
	if (!s->pcb || s->state == LISTENING)
		return 0;
	switch (option) {
	case LOS_NODELAY:
		return tcp_nagle_disabled(s->pcb);
	case LOS_KEEPALIVE:
		return ip_get_option(s->pcb, SOF_KEEPALIVE) != 0;
	case LOS_KEEPIDLE:
		return s->pcb->keep_idle / 1000;
	case LOS_KEEPINTVL:
		return s->pcb->keep_intvl / 1000;
	default:
		return s->pcb->keep_cnt;
	}
}

void los_socket_set(struct los_socket *s, enum los_socket_option option, int value)
{
	if (!s->pcb || s->state == LISTENING)
		return;
	if (option == LOS_NODELAY && value)
		tcp_nagle_disable(s->pcb);
	else if (option == LOS_NODELAY)
		tcp_nagle_enable(s->pcb);
	else if (option == LOS_KEEPALIVE && value)
		ip_set_option(s->pcb, SOF_KEEPALIVE);
	else if (option == LOS_KEEPALIVE)
		ip_reset_option(s->pcb, SOF_KEEPALIVE);
	else if (option == LOS_KEEPIDLE)
		s->pcb->keep_idle = (uint32_t)value * 1000;
	else if (option == LOS_KEEPINTVL)
		s->pcb->keep_intvl = (uint32_t)value * 1000;
	else if (option == LOS_KEEPCNT)
		s->pcb->keep_cnt = (uint32_t)value;
}
