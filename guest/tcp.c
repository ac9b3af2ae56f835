/* SPDX-License-Identifier: MIT
 *
 * Sockets over lwIP's raw API. What a peer sends is copied into a ring of the socket's own, as large as the window, so that
 * a socket nobody reads from cannot use up the buffers that all share. */
#include "guest/net.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <lwip/tcp.h>

enum { SOCKETS = 16, BACKLOG = 4 };

enum state { FREE, FRESH, LISTENING, CONNECTING, CONNECTED, GONE };

struct los_socket {
	enum state state;
	unsigned refs;
	struct tcp_pcb *pcb; /* NULL when lwIP has given it up (GONE), or goes on with it alone */
	bool nonblock, eof, no_read, no_write;
	int error;		   /* that the program has not seen yet: errno */
	uint64_t recv_ns, send_ns; /* SO_RCVTIMEO, SO_SNDTIMEO; 0: none */
	uint32_t peer_ip;
	uint16_t peer_port, port;
	unsigned waiting; /* LISTENING: connections not accepted yet */
	struct los_socket *queue[BACKLOG];
	size_t at, len; /* of the bytes received in ring[] */
	uint8_t ring[TCP_WND];
};

static struct los_socket sockets[SOCKETS];

static int to_errno(err_t e)
{
	switch (e) {
	case ERR_OK:
	case ERR_CLSD: /* both sides have said that they are done */
		return 0;
	case ERR_MEM:
	case ERR_BUF:
		return ENOBUFS;
	case ERR_USE:
		return EADDRINUSE;
	case ERR_RTE:
		return ENETUNREACH;
	case ERR_ABRT: /* no answer to anything for too long */
	case ERR_TIMEOUT:
		return ETIMEDOUT;
	case ERR_RST:
		return ECONNRESET;
	case ERR_CONN:
		return ENOTCONN;
	default:
		return EINVAL;
	}
}

/* --- what lwIP calls --- */

static void on_error(void *arg, err_t e)
{
	struct los_socket *s = arg;

	s->error = s->state == CONNECTING && e == ERR_RST ? ECONNREFUSED : to_errno(e);
	s->pcb = NULL;
	s->state = GONE;
	s->eof = true;
}

/* The connection ends by itself from here on: both directions are closed, and a pcb in these states may vanish silently. */
static void let_go(struct los_socket *s)
{
	tcp_arg(s->pcb, NULL);
	tcp_recv(s->pcb, NULL);
	tcp_err(s->pcb, NULL);
	s->pcb = NULL;
	s->state = GONE;
}

static void keep(struct los_socket *s, const struct pbuf *p)
{
	size_t end = (s->at + s->len) % sizeof s->ring, first = sizeof s->ring - end;

	if (first > p->tot_len)
		first = p->tot_len;
	pbuf_copy_partial(p, s->ring + end, (uint16_t)first, 0);
	pbuf_copy_partial(p, s->ring, (uint16_t)(p->tot_len - first), (uint16_t)first);
	s->len += p->tot_len;
}

static err_t on_receive(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t e)
{
	struct los_socket *s = arg;

	(void)e;
	if (!p) {
		s->eof = true;
		if (s->no_write)
			let_go(s);
		return ERR_OK;
	}
	if (p->tot_len > sizeof s->ring - s->len)
		return ERR_MEM; /* lwIP keeps it and asks again */
	if (s->no_read)
		tcp_recved(pcb, p->tot_len);
	else
		keep(s, p);
	pbuf_free(p);
	return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t e)
{
	struct los_socket *s = arg;

	(void)e; /* always ERR_OK; failures come by on_error() */
	s->port = pcb->local_port;
	s->state = CONNECTED;
	return ERR_OK;
}

static struct los_socket *take_free(void)
{
	for (size_t i = 0; i < SOCKETS; i++) {
		struct los_socket *s = &sockets[i];
		if (s->state != FREE)
			continue;
		los_zero(s, offsetof(struct los_socket, ring));
		s->state = FRESH;
		s->refs = 1;
		return s;
	}
	return NULL;
}

static void attach(struct los_socket *s, struct tcp_pcb *pcb)
{
	s->pcb = pcb;
	tcp_arg(pcb, s);
	tcp_recv(pcb, on_receive);
	tcp_err(pcb, on_error);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t e)
{
	struct los_socket *listener = arg;
	struct los_socket *s = e == ERR_OK && pcb && listener->waiting < BACKLOG ? take_free() : NULL;

	if (!s)
		return ERR_MEM; /* lwIP ends the connection */
	attach(s, pcb);
	tcp_backlog_delayed(pcb);
	s->state = CONNECTED;
	s->port = pcb->local_port;
	s->peer_ip = lwip_ntohl(pcb->remote_ip.addr);
	s->peer_port = pcb->remote_port;
	listener->queue[listener->waiting++] = s;
	return ERR_OK;
}

/* --- life --- */

struct los_socket *los_socket_new(bool nonblock)
{
	struct los_socket *s = take_free();
	struct tcp_pcb *pcb = s ? tcp_new() : NULL;

	if (s && !pcb)
		s->state = FREE;
	if (!pcb)
		return NULL;
	attach(s, pcb);
	s->nonblock = nonblock;
	return s;
}

void los_socket_retain(struct los_socket *s)
{
	s->refs++;
}

/* lwIP goes on sending what is queued; unread bytes make it reset the connection, as in Linux. */
static void end(struct los_socket *s)
{
	struct tcp_pcb *pcb = s->pcb;

	if (s->state != LISTENING)
		let_go(s);
	if (tcp_close(pcb) != ERR_OK)
		tcp_abort(pcb);
}

void los_socket_release(struct los_socket *s)
{
	if (--s->refs)
		return;
	for (unsigned i = 0; i < s->waiting; i++)
		los_socket_release(s->queue[i]);
	if (s->pcb)
		end(s);
	s->state = FREE;
	los_net_flush();
}

static long take_error(struct los_socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

/* Waits until ready(s), unless the caller does not want to; `span` ns at most, 0: no limit. */
static long wait_for(struct los_socket *s, bool (*ready)(const struct los_socket *), bool dont_wait, uint64_t span)
{
	uint64_t until = span ? los_monotonic_ns() + span : LOS_FOREVER;

	if (ready(s))
		return 0;
	los_net_poll();
	while (!ready(s)) {
		if (dont_wait || s->nonblock || los_monotonic_ns() >= until)
			return -EAGAIN;
		los_net_wait(until);
	}
	return 0;
}

/* --- the server's side --- */

long los_socket_bind(struct los_socket *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t to = { lwip_htonl(ip) };

	if (s->state != FRESH || s->port)
		return -EINVAL;
	if (ip && ip != los_net_page()->ipv4)
		return -EADDRNOTAVAIL;
	long r = -to_errno(tcp_bind(s->pcb, &to, port));
	if (r == 0)
		s->port = s->pcb->local_port;
	return r;
}

long los_socket_listen(struct los_socket *s, int backlog)
{
	err_t e;

	if (s->state == LISTENING)
		return 0;
	if (s->state != FRESH)
		return -EINVAL;
	if (!s->port && los_socket_bind(s, 0, 0) < 0)
		return -EADDRINUSE;
	struct tcp_pcb *pcb = tcp_listen_with_backlog_and_err(
		s->pcb, (uint8_t)(backlog < 1 || backlog > BACKLOG ? BACKLOG : backlog), &e);
	if (!pcb)
		return -to_errno(e);
	s->pcb = pcb;
	s->state = LISTENING;
	tcp_accept(pcb, on_accept);
	return 0;
}

static bool somebody_waits(const struct los_socket *s)
{
	return s->waiting;
}

long los_socket_accept(struct los_socket *s, struct los_socket **out)
{
	if (s->state != LISTENING)
		return -EINVAL;
	long r = wait_for(s, somebody_waits, false, s->recv_ns);
	if (r < 0)
		return r;
	*out = s->queue[0];
	s->waiting--;
	for (unsigned i = 0; i < s->waiting; i++)
		s->queue[i] = s->queue[i + 1];
	if ((*out)->pcb)
		tcp_backlog_accepted((*out)->pcb);
	return 0;
}

/* --- the client's side --- */

/* The host would drop the segments; an answer at once is kinder than none. */
static bool granted(uint32_t ip, uint16_t port)
{
	const struct ppce_net *net = los_net_page();

	for (unsigned i = 0; i < net->nsinks && i < PPCE_SINKS_MAX; i++)
		if (net->sink[i].ipv4 == ip && net->sink[i].port == port)
			return true;
	return false;
}

static bool decided(const struct los_socket *s)
{
	return s->state != CONNECTING;
}

static long await_connection(struct los_socket *s)
{
	if (wait_for(s, decided, false, s->send_ns) < 0)
		return -EINPROGRESS;
	return take_error(s);
}

long los_socket_connect(struct los_socket *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t to = { lwip_htonl(ip) };

	if (s->state == CONNECTING)
		return s->nonblock ? -EALREADY : await_connection(s);
	if (s->state == CONNECTED)
		return -EISCONN;
	if (s->state != FRESH)
		return s->error ? take_error(s) : -EINVAL;
	if (!granted(ip, port))
		return -ECONNREFUSED;
	err_t e = tcp_connect(s->pcb, &to, port, on_connected);
	if (e != ERR_OK)
		return -to_errno(e);
	s->state = CONNECTING;
	s->peer_ip = ip;
	s->peer_port = port;
	los_net_flush();
	return s->nonblock ? -EINPROGRESS : await_connection(s);
}

/* --- bytes --- */

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
		long r = wait_for(s, readable, flags & MSG_DONTWAIT, s->recv_ns);
		if (r < 0)
			return got ? (long)got : r;
		size_t n = drain(s, v, count, got, flags & MSG_PEEK);
		got += n;
		if (n == 0)
			break;
	} while (all && got < want);
	los_net_flush();
	return got || !s->error ? (long)got : take_error(s);
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

	return e == ERR_OK ? (long)n : e == ERR_MEM ? -EAGAIN : -to_errno(e);
}

static long may_send(struct los_socket *s, int flags)
{
	if (s->state == FRESH || s->state == LISTENING)
		return -ENOTCONN;
	if (!writable(s) && s->pcb)
		tcp_output(s->pcb);
	long r = wait_for(s, writable, flags & MSG_DONTWAIT, s->send_ns);
	if (r < 0)
		return r;
	if (s->error)
		return take_error(s);
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
			let_go(s);
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
		return somebody_waits(s) ? POLLIN | POLLRDNORM : 0;
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
		return -take_error(s);
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
