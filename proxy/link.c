/* SPDX-License-Identifier: MIT */
#include "proxy/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/sock.h"

#define RETRY_MIN_MS 100u
#define RETRY_MAX_MS 1000u
#define WAITING_BYTES (4u << 20) /* packets not yet taken by the peer: more means that it hangs */
#define PACKETS_A_TURN 64	 /* then the other sockets of the loop get their turn */

static void try_connect(uv_timer_t *timer);

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void close_socket(struct link *l)
{
	if (l->poll) {
		uv_close((uv_handle_t *)l->poll, free_handle);
		l->poll = NULL;
	}
	sock_close(&l->fd);
	buf_free(&l->out);
	l->out.failed = false;
}

static void retry_later(struct link *l)
{
	uv_timer_start(l->retry, try_connect, l->retry_ms, 0);
	l->retry_ms = l->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : l->retry_ms * 2;
}

static void lose(struct link *l, const char *why)
{
	log_warn("lost the connection to %s: %s", l->peer, why);
	l->lost_logged = true;
	close_socket(l);
	l->retry_ms = RETRY_MIN_MS;
	retry_later(l);
	l->events->down(l->ctx);
}

/* Sends what waits. 0: all gone or the socket is full; -1: the connection is broken. */
static int flush(struct link *l)
{
	while (l->out.len > 0) {
		ssize_t n = send(l->fd, l->out.data, l->packet_size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		buf_consume(&l->out, l->packet_size);
	}
	return 0;
}

static int receive(struct link *l)
{
	_Alignas(8) char data[LINK_PACKET_MAX];
	for (int turn = 0; turn < PACKETS_A_TURN && l->fd >= 0; turn++) {
		int fds[SOCK_FDS_MAX];
		ssize_t n = sock_recv_fds(l->fd, data, sizeof data, fds);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n == 0)
			errno = 0;
		if (n <= 0)
			return -1;
		for (int i = 1; i < SOCK_FDS_MAX; i++)
			sock_close(&fds[i]);
		if (l->events->packet(l->ctx, data, (size_t)n, fds[0]) < 0) {
			errno = EPROTO;
			return -1;
		}
	}
	return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *l = poll->data;
	if (status < 0) {
		lose(l, uv_strerror(status));
		return;
	}
	if ((events & UV_WRITABLE) && flush(l) < 0) {
		lose(l, strerror(errno));
		return;
	}
	if ((events & UV_READABLE) && receive(l) < 0) {
		lose(l, errno ? strerror(errno) : "closed");
		return;
	}
	if ((events & UV_WRITABLE) && l->out.len == 0)
		uv_poll_start(l->poll, UV_READABLE, on_poll);
}

static int attach(struct link *l, struct err *err)
{
	l->fd = sock_connect_unix(l->path, SOCK_SEQPACKET, err);
	if (l->fd < 0)
		return -1;
	if (sock_check_peer(l->fd, NULL, err) < 0)
		return -1;
	l->poll = malloc(sizeof *l->poll);
	if (!l->poll)
		return err_set(err, ERR_INTERNAL, "out of memory");
	if (uv_poll_init(l->loop, l->poll, l->fd) < 0) {
		free(l->poll);
		l->poll = NULL;
		return err_set(err, ERR_INTERNAL, "%s: cannot be polled", l->path);
	}
	l->poll->data = l;
	uv_poll_start(l->poll, UV_READABLE, on_poll);
	return 0;
}

static void try_connect(uv_timer_t *timer)
{
	struct link *l = timer->data;
	struct err err = { 0 };
	if (attach(l, &err) < 0) {
		if (!l->lost_logged)
			log_warn("no connection to %s yet, trying on: %s", l->peer, err.text);
		l->lost_logged = true;
		sock_close(&l->fd);
		retry_later(l);
		return;
	}
	log_info("connected to %s", l->peer);
	l->lost_logged = false;
	l->retry_ms = RETRY_MIN_MS;
	l->events->up(l->ctx);
}

int link_start(struct link *l, uv_loop_t *loop, const char *peer, const char *path, size_t packet_size,
	       const struct link_events *events, void *ctx, struct err *err)
{
	*l = (struct link){ .loop = loop,
			    .peer = peer,
			    .packet_size = packet_size,
			    .events = events,
			    .ctx = ctx,
			    .fd = -1,
			    .retry_ms = RETRY_MIN_MS,
			    .out = { .cap = WAITING_BYTES } };
	if (strlen(path) >= sizeof l->path)
		return err_set(err, ERR_CONFIG, "%s: too long for a socket address", path);
	strcpy(l->path, path);
	l->retry = malloc(sizeof *l->retry);
	if (!l->retry)
		return err_set(err, ERR_INTERNAL, "out of memory");
	uv_timer_init(loop, l->retry);
	l->retry->data = l;
	uv_timer_start(l->retry, try_connect, 0, 0);
	return 0;
}

bool link_up(const struct link *l)
{
	return l->fd >= 0;
}

int link_send(struct link *l, const void *packet)
{
	if (l->fd < 0)
		return -1;
	if (l->out.len == 0) {
		ssize_t n = send(l->fd, packet, l->packet_size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == (ssize_t)l->packet_size)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -1; /* the loop will see the end of the connection and call lose() */
	}
	if (buf_append(&l->out, packet, l->packet_size) < 0) {
		shutdown(l->fd, SHUT_RDWR);
		return -1;
	}
	uv_poll_start(l->poll, UV_READABLE | UV_WRITABLE, on_poll);
	return 0;
}

void link_stop(struct link *l)
{
	close_socket(l);
	if (l->retry)
		uv_close((uv_handle_t *)l->retry, free_handle);
	l->retry = NULL;
}
