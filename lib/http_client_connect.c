/* SPDX-License-Identifier: MIT
 *
 * Connecting. With .until_accepted an attempt that fails is followed by another after a gap that grows, and one of which
 * nothing is heard is given up for another after a time that grows: the kernel would send its SYN again after a second only.
 * That time keeps growing with the age of the call, so that a peer that is always slow is reached in the end. One timer for
 * all calls wakes at the next of these times; nothing is polled.
 */
#include "lib/http_client_impl.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "lib/names.h"

enum {
	GAP_FIRST_MS = 1,
	GAP_MAX_MS = 50,
	PATIENCE_FIRST_MS = 25, /* what is there but not awake finds the SYN later: most often it was not lost */
	PATIENCE_MS = 200,	/* ... and then a quarter of the age of the call, if that is longer */
	KEEPALIVE_PROBES = 127, /* Linux's maximum: a peer that computes for minutes answers none */
};

/* ---- trying again ---- */

static void wake_at(struct http_pending *call, uint64_t delay)
{
	uv_timer_t *timer = &call->client->attempts;
	call->attempt_at = uv_now(call->client->loop) + delay;
	if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > delay)
		uv_timer_start(timer, attempts_on_time, delay, 0);
}

static unsigned twice(unsigned ms, unsigned max)
{
	return 2 * ms < max ? 2 * ms : max;
}

/* An attempt failed: the next one after a gap. */
static void wait_for_next(struct http_pending *call)
{
	call->conn = NULL;
	call->gap_ms = call->gap_ms ? twice(call->gap_ms, GAP_MAX_MS) : GAP_FIRST_MS;
	wake_at(call, call->gap_ms);
}

/* An attempt has begun: how long until it is given up? */
static void limit_attempt(struct http_pending *call)
{
	uint64_t begun = call->deadline - call->timeout_ms, age = uv_now(call->client->loop) - begun;
	call->patience_ms = call->patience_ms ? twice(call->patience_ms, PATIENCE_MS) : PATIENCE_FIRST_MS;
	wake_at(call, age / 4 > call->patience_ms ? age / 4 : call->patience_ms);
}

/* Has the kernel heard something of it? Then the loop, which may be late, is about to learn of it. */
static bool heard(const struct conn *k)
{
	struct pollfd p = { .fd = -1, .events = POLLOUT };
	return uv_fileno(&k->handle, &p.fd) == 0 && poll(&p, 1, 0) > 0;
}

static void attempt(struct http_pending *call)
{
	struct err err;
	call->attempt_at = 0;
	if (call->conn && heard(call->conn)) {
		limit_attempt(call);
		return;
	}
	if (call->conn) {
		call->conn->call = NULL;
		client_conn_close(call->conn);
		call->conn = NULL;
	}
	call_send(call, &err); /* cannot fail: it tries again */
}

void attempts_on_time(uv_timer_t *timer)
{
	struct http_client *c = timer->data;
	uint64_t now = uv_now(c->loop), next = UINT64_MAX;
	/* No attempt ends a call or calls anybody back, so the list stays as it is. */
	for (struct http_pending *call = c->calls; call; call = call->next) {
		if (call->attempt_at && call->attempt_at <= now)
			attempt(call);
		if (call->attempt_at && call->attempt_at < next)
			next = call->attempt_at;
	}
	if (next != UINT64_MAX)
		uv_timer_start(timer, attempts_on_time, next > now ? next - now : 0, 0);
}

/* ---- one attempt ---- */

/* Where a path is closed in which the host is silent (see flow_s of ppce/net.h), waiting for a long answer needs this. */
static void keep_alive(struct conn *k, unsigned seconds)
{
	int fd, on = 1, probes = KEEPALIVE_PROBES, time = (int)seconds;
	if (uv_fileno(&k->handle, &fd) < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &time, sizeof(time));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &time, sizeof(time));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void keep_ahead(struct conn *k)
{
	struct http_pending *call = k->call;
	k->call = NULL;
	call->conn = NULL;
	client_conn_keep_ahead(k);
	call_end(call, NULL, NULL);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct conn *k = req->data;
	if (k->closed)
		return;
	if (status == 0)
		status = uv_read_start(&k->stream, client_conn_alloc, client_conn_read);
	if (status && k->call->until_accepted) {
		struct http_pending *call = k->call;
		k->call = NULL;
		client_conn_close(k);
		wait_for_next(call);
		return;
	}
	if (status) {
		client_conn_fail(k, ERR_UNAVAILABLE, uv_strerror(status));
		return;
	}
	k->call->connected_ns = clock_ns();
	k->call->attempt_at = 0;
	if (!k->is_unix)
		uv_tcp_nodelay(&k->tcp, 1);
	if (!k->is_unix && k->call->keepalive_s)
		keep_alive(k, k->call->keepalive_s);
	if (k->call->ahead)
		keep_ahead(k);
	else
		client_conn_send(k);
}

static int conn_open(struct conn *k, struct err *err)
{
	struct sockaddr_storage addr;
	k->connect.data = k;
	if (k->is_unix) {
		uv_pipe_connect(&k->connect, &k->pipe, k->address + 5, on_connect);
		return 0;
	}
	if (http_address_parse(k->address, &addr, err))
		return -1;
	int e = uv_tcp_connect(&k->connect, &k->tcp, (struct sockaddr *)&addr, on_connect);
	return e ? err_set(err, ERR_UNAVAILABLE, "%s: %s", k->address, uv_strerror(e)) : 0;
}

static void prepare(struct conn *k, struct http_pending *call, bool reused)
{
	k->call = call;
	k->reused = reused;
	k->reset = call->reset && !k->is_unix;
	k->answered = k->in_body = false;
	k->informational = 0;
	client_conn_take(k);
	k->body.cap = call->answer_bytes + 1;
	memset(&k->scan, 0, sizeof(k->scan));
	call->conn = k;
}

static int try_send(struct http_pending *call, struct err *err)
{
	struct conn *k = call->retried ? NULL : client_conn_find_idle(call->client, call->address);
	bool reused = k;
	if (!k && !(k = client_conn_new(call->client, call->address)))
		return err_set(err, ERR_UNAVAILABLE, "no memory for a connection");
	if (!reused && conn_open(k, err)) {
		client_conn_close(k);
		return -1;
	}
	prepare(k, call, reused);
	if (reused)
		client_conn_send(k);
	else if (call->until_accepted && !k->is_unix)
		limit_attempt(call);
	return 0;
}

int call_send(struct http_pending *call, struct err *err)
{
	if (try_send(call, err) == 0)
		return 0;
	if (!call->until_accepted)
		return -1;
	wait_for_next(call);
	return 0;
}
