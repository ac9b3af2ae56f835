/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"

enum { BACKLOG = 511, SWEEP_MS = 200 };

const struct http_limits http_limits_default = {
	.target_bytes = 8192,
	.header_bytes = 16384,
	.headers = 64,
	.body_bytes = 1 << 20,
	.head_ms = 10000,
	.body_ms = 30000,
	.idle_ms = 60000,
	.write_ms = 30000,
	.connections = 1024,
};

const char *server_date(struct http_server *s)
{
	int64_t now = clock_unix();
	if (now != s->date_second) {
		time_t t = (time_t)now;
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_second = now;
	}
	return s->date;
}

/* ---- end of life ---- */

static void free_if_done(struct http_server *s)
{
	if (s->open_handles == 0 && s->nconns == 0)
		free(s);
}

static void on_own_close(uv_handle_t *handle)
{
	struct http_server *s = handle->data;
	s->open_handles--;
	free_if_done(s);
}

void server_forget(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c->in);
	buf_free(&c->body);
	buf_free(&c->path);
	buf_free(&c->out);
	free(c);
	s->nconns--;
	if (s->nconns == 0 && !s->stopping)
		uv_timer_stop(&s->sweep);
	else if (s->nconns == 0)
		uv_close((uv_handle_t *)&s->sweep, on_own_close);
}

void http_server_stop(struct http_server *s)
{
	struct http_conn *c, *next;
	if (s->stopping)
		return;
	s->stopping = true;
	uv_close(&s->handle, on_own_close);
	if (s->nconns == 0)
		uv_close((uv_handle_t *)&s->sweep, on_own_close);
	for (c = s->conns; c; c = next) {
		next = c->next;
		if (c->state != CONN_HANDLING && c->state != CONN_WRITING)
			conn_close(c);
		else
			c->close_after = true;
	}
}

static void on_sweep(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	uint64_t now = uv_now(s->loop);
	struct http_conn *c, *next;
	for (c = s->conns; c; c = next) {
		next = c->next; /* expiring frees nothing before the loop's next turn */
		if (c->deadline && now >= c->deadline)
			conn_expire(c, now);
	}
}

/* ---- accepting ---- */

static void name_peer(struct http_conn *c)
{
	struct sockaddr_storage addr;
	int len = sizeof(addr);
	memcpy(c->x.peer, "unix", 5);
	if (c->server->is_unix)
		return;
	memcpy(c->x.peer, "unknown", 8);
	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&addr, &len) == 0)
		uv_ip_name((struct sockaddr *)&addr, c->x.peer, sizeof(c->x.peer));
}

static bool peer_welcome(struct http_conn *c)
{
	struct err err;
	int fd;
	if (!c->server->check_peers)
		return true;
	if (uv_fileno(&c->handle, &fd) == 0 && sock_check_peer(fd, NULL, &err) == 0)
		return true;
	log_warn("connection refused: the peer is another user");
	return false;
}

static struct http_conn *conn_new(struct http_server *s)
{
	struct http_conn *c = calloc(1, sizeof(*c) + s->limits.headers * sizeof(c->fields[0]));
	if (!c)
		return NULL;
	int e = s->is_unix ? uv_pipe_init(s->loop, &c->pipe, 0) : uv_tcp_init(s->loop, &c->tcp);
	if (e) {
		free(c);
		return NULL;
	}
	c->server = s;
	c->handle.data = c;
	c->body.cap = s->limits.body_bytes + 1;
	c->path.cap = s->limits.target_bytes + 1;
	c->out.cap = SIZE_MAX / 2;
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	if (s->nconns++ == 0)
		uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	return c;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct http_server *s = listener->data;
	struct http_conn *c = status == 0 && !s->stopping ? conn_new(s) : NULL;
	if (!c) {
		static int64_t last; /* a flood of connections must not become a flood of lines */
		if (last != clock_unix())
			log_warn("cannot accept a connection: %s", status ? uv_strerror(status) : "no memory");
		last = clock_unix();
		return;
	}
	bool full = s->nconns > s->limits.connections;
	if (uv_accept(listener, &c->stream) || full || !peer_welcome(c)) {
		conn_close(c);
		return;
	}
	if (!s->is_unix)
		uv_tcp_nodelay(&c->tcp, 1);
	name_peer(c);
	conn_start(c);
}

/* ---- starting ---- */

static int open_listener(struct http_server *s, int fd, struct err *err)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return err_errno(err, ERR_INTERNAL, "not a socket");
	s->is_unix = addr.ss_family == AF_UNIX;
	int e = s->is_unix ? uv_pipe_init(s->loop, &s->pipe, 0) : uv_tcp_init(s->loop, &s->tcp);
	if (e)
		return err_set(err, ERR_INTERNAL, "cannot make a handle: %s", uv_strerror(e));
	s->open_handles++;
	s->handle.data = s;
	e = s->is_unix ? uv_pipe_open(&s->pipe, fd) : uv_tcp_open(&s->tcp, fd);
	if (e == 0)
		e = uv_listen(&s->stream, BACKLOG, on_connection);
	if (e)
		return err_set(err, ERR_INTERNAL, "cannot listen: %s", uv_strerror(e));
	return 0;
}

struct http_server *http_server_start(uv_loop_t *loop, int fd, const struct http_limits *limits, http_handler *handler,
				      void *ctx, struct err *err)
{
	struct http_server *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_INTERNAL, "no memory");
		sock_close(&fd);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	s->loop = loop;
	s->limits = limits ? *limits : http_limits_default;
	if (s->limits.headers > HTTP_FIELDS_MAX)
		s->limits.headers = HTTP_FIELDS_MAX;
	s->bounds = (struct http_bounds){ s->limits.target_bytes + 64, s->limits.header_bytes, s->limits.headers };
	s->handler = handler;
	s->ctx = ctx;
	uv_timer_init(loop, &s->sweep);
	s->sweep.data = s;
	s->open_handles = 1;
	if (open_listener(s, fd, err)) {
		int own = -1;
		if (s->open_handles == 1 || uv_fileno(&s->handle, &own))
			sock_close(&fd); /* the handle did not take it */
		s->stopping = true;
		uv_close((uv_handle_t *)&s->sweep, on_own_close);
		if (s->open_handles == 2)
			uv_close(&s->handle, on_own_close);
		return NULL;
	}
	return s;
}

void http_server_check_peers(struct http_server *s)
{
	s->check_peers = true;
}

/* ---- binding ---- */

static int name_bound(int fd, char *bound, size_t size, struct err *err)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64];
	if (getsockname(fd, (struct sockaddr *)&addr, &len) || uv_ip_name((struct sockaddr *)&addr, host, sizeof(host)))
		return err_errno(err, ERR_INTERNAL, "cannot read the bound address");
	bool v6 = addr.ss_family == AF_INET6;
	unsigned port = ntohs(v6 ? ((struct sockaddr_in6 *)&addr)->sin6_port : ((struct sockaddr_in *)&addr)->sin_port);
	snprintf(bound, size, v6 ? "[%s]:%u" : "%s:%u", host, port);
	return 0;
}

int http_bind_tcp(const char *address, char *bound, size_t bound_size, struct err *err)
{
	struct sockaddr_storage addr;
	int one = 1;
	if (http_address_parse(address, &addr, err))
		return -1;
	socklen_t len = addr.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, BACKLOG)) {
		err_errno(err, errno == EADDRINUSE ? ERR_CONFLICT : ERR_INTERNAL, "cannot listen on %s", address);
		sock_close(&fd);
		return -1;
	}
	if (bound && name_bound(fd, bound, bound_size, err)) {
		sock_close(&fd);
		return -1;
	}
	return fd;
}
