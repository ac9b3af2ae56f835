/* SPDX-License-Identifier: MIT
 *
 * Sockets over lwIP's raw API. What a peer sends is copied into a ring of the socket's own, as large as the window, so that
 * a socket nobody reads from cannot use up the buffers that all share. */
#include "guest/tcp.h"

#include <errno.h>

enum { SOCKETS = 16 };

static struct los_socket sockets[SOCKETS];

int los_tcp_errno(err_t e)
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

	s->error = s->state == CONNECTING && e == ERR_RST ? ECONNREFUSED : los_tcp_errno(e);
	s->pcb = NULL;
	s->state = GONE;
	s->eof = true;
}

void los_tcp_let_go(struct los_socket *s)
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
			los_tcp_let_go(s);
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
	struct los_socket *s = e == ERR_OK && pcb && listener->waiting < LOS_BACKLOG ? take_free() : NULL;

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
		los_tcp_let_go(s);
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

long los_tcp_take_error(struct los_socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

long los_tcp_wait(struct los_socket *s, bool (*ready)(const struct los_socket *), bool dont_wait, uint64_t span)
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
	long r = -los_tcp_errno(tcp_bind(s->pcb, &to, port));
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
		s->pcb, (uint8_t)(backlog < 1 || backlog > LOS_BACKLOG ? LOS_BACKLOG : backlog), &e);
	if (!pcb)
		return -los_tcp_errno(e);
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
	long r = los_tcp_wait(s, somebody_waits, false, s->recv_ns);
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
	if (los_tcp_wait(s, decided, false, s->send_ns) < 0)
		return -EINPROGRESS;
	return los_tcp_take_error(s);
}

long los_socket_connect(struct los_socket *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t to = { lwip_htonl(ip) };

	if (s->state == CONNECTING)
		return s->nonblock ? -EALREADY : await_connection(s);
	if (s->state == CONNECTED)
		return -EISCONN;
	if (s->state != FRESH)
		return s->error ? los_tcp_take_error(s) : -EINVAL;
	if (!granted(ip, port))
		return -ECONNREFUSED;
	err_t e = tcp_connect(s->pcb, &to, port, on_connected);
	if (e != ERR_OK)
		return -los_tcp_errno(e);
	s->state = CONNECTING;
	s->peer_ip = ip;
	s->peer_port = port;
	los_net_flush();
	return s->nonblock ? -EINPROGRESS : await_connection(s);
}
