/* SPDX-License-Identifier: MIT
 *
 * A call waits for nobody: it takes a kept connection or opens one, so every connection has at most one call. One coarse
 * timer watches the deadlines of calls and the age of kept connections.
 */
#include "lib/http_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "lib/http_parse.h"

enum {
	TICK_MS = 50,
	IDLE_MS = 30000,
	IDLE_PER_ADDRESS = 8,
	IDLE_TOTAL = 64,
	IN_START = 8192,
	IN_SPARE = 8192,
	INFORMATIONAL_MAX = 8, /* 1xx answers before the real one */
	TIMEOUT_MS = 30000,
	ANSWER_BYTES = 1 << 20,
	ADDRESS_SIZE = 128,
};

static const struct http_bounds bounds = { .first_line = 4096, .header_bytes = 32768, .headers = HTTP_FIELDS_MAX };

struct call {
	struct call *prev, *next;
	struct http_client *client;
	struct conn *conn; /* NULL: failed before it had one; the timer reports `err` */
	http_reply_fn *done;
	void *ctx;
	char address[ADDRESS_SIZE];
	struct buf request;
	size_t answer_bytes;
	uint64_t deadline;
	unsigned timeout_ms;
	bool head_request, idempotent, retried;
	struct err err;
};

struct conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	uv_connect_t connect;
	uv_write_t write;
	struct conn *prev, *next;
	struct http_client *client;
	struct call *call; /* NULL: kept for later, or closing */
	char address[ADDRESS_SIZE];
	uint64_t idle_until;
	bool is_unix, reused, closed, writing, write_failed, answered;
	bool in_body; /* the head is decoded */
	unsigned informational;
	char *in;
	size_t in_size, start, end;
	struct http_scan scan;
	struct http_message msg;
	struct buf body;
	struct http_field fields[HTTP_FIELDS_MAX];
};

struct http_client {
	uv_loop_t *loop;
	uv_timer_t tick;
	struct conn *conns;
	struct call *calls;
	unsigned nconns;
	bool freed, tick_closed, keep_none;
};

static void on_tick(uv_timer_t *timer);
static int call_send(struct call *call, struct err *err);

/* ---- life of a connection ---- */

static void free_if_done(struct http_client *c)
{
	if (c->freed && c->tick_closed && c->nconns == 0)
		free(c);
}

static void on_close(uv_handle_t *handle)
{
	struct conn *k = handle->data;
	struct http_client *c = k->client;
	if (k->prev)
		k->prev->next = k->next;
	else
		c->conns = k->next;
	if (k->next)
		k->next->prev = k->prev;
	c->nconns--;
	free(k->in);
	buf_free(&k->body);
	free(k);
	free_if_done(c);
}

static void conn_close(struct conn *k)
{
	if (k->closed)
		return;
	k->closed = true;
	uv_close(&k->handle, on_close);
}

static struct conn *conn_new(struct http_client *c, const char *address)
{
	struct conn *k = calloc(1, sizeof(*k));
	char *in = malloc(IN_START);
	if (!k || !in)
		goto fail;
	k->is_unix = strncmp(address, "unix:", 5) == 0;
	if (k->is_unix ? uv_pipe_init(c->loop, &k->pipe, 0) : uv_tcp_init(c->loop, &k->tcp))
		goto fail;
	k->handle.data = k;
	k->client = c;
	k->in = in;
	k->in_size = IN_START;
	snprintf(k->address, sizeof(k->address), "%s", address);
	k->next = c->conns;
	if (k->next)
		k->next->prev = k;
	c->conns = k;
	c->nconns++;
	return k;
fail:
	free(k);
	free(in);
	return NULL;
}

static struct conn *find_idle(struct http_client *c, const char *address)
{
	for (struct conn *k = c->conns; k; k = k->next)
		if (!k->call && !k->closed && k->idle_until && strcmp(k->address, address) == 0)
			return k;
	return NULL;
}

static bool may_keep(const struct conn *k)
{
	unsigned same = 0, all = 0;
	if (k->client->keep_none || k->client->freed || k->is_unix || k->closed || k->writing || k->write_failed ||
	    !k->msg.keep_alive || k->msg.framing == HTTP_BODY_UNTIL_END || k->start < k->end)
		return false;
	for (const struct conn *o = k->client->conns; o; o = o->next) {
		if (o == k || o->call || o->closed)
			continue;
		all++;
		same += strcmp(o->address, k->address) == 0;
	}
	return same < IDLE_PER_ADDRESS && all < IDLE_TOTAL;
}

/* ---- end of a call ---- */

static void call_free(struct call *call)
{
	struct http_client *c = call->client;
	if (call->prev)
		call->prev->next = call->next;
	else
		c->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	buf_free(&call->request);
	free(call);
}

static void call_end(struct call *call, const struct http_reply *reply, const struct err *err)
{
	http_reply_fn *done = call->done;
	void *ctx = call->ctx;
	call_free(call);
	done(ctx, reply, err);
}

/* The connection failed. The call is sent again where nothing can have been done by it. */
static void conn_fail(struct conn *k, enum err_kind kind, const char *why)
{
	struct call *call = k->call;
	struct err err;
	bool again = k->reused && !k->answered && call && call->idempotent && !call->retried;

	k->call = NULL;
	conn_close(k);
	if (!call)
		return;
	call->conn = NULL;
	err_set(&err, kind, "%s: %s", call->address, why);
	if (again) {
		call->retried = true;
		if (call_send(call, &err) == 0)
			return;
	}
	call_end(call, NULL, &err);
}

static unsigned keep_end_to_end(struct conn *k)
{
	const char *connection = NULL;
	unsigned n = 0;
	for (unsigned i = 0; i < k->msg.nfields; i++)
		if (strcasecmp(k->fields[i].name, "Connection") == 0)
			connection = k->fields[i].value;
	for (unsigned i = 0; i < k->msg.nfields; i++)
		if (!http_field_hop_by_hop(k->fields[i].name) &&
		    !(connection && http_list_has(connection, k->fields[i].name)))
			k->fields[n++] = k->fields[i];
	return n;
}

static void deliver(struct conn *k)
{
	struct call *call = k->call;
	struct http_reply reply = {
		.status = k->msg.status,
		.fields = k->fields,
		.nfields = keep_end_to_end(k),
		.body = buf_text(&k->body),
		.body_len = k->body.len,
	};
	k->call = NULL;
	call->conn = NULL;
	call_end(call, &reply, NULL); /* may start other calls, or free the client */
	if (!may_keep(k)) {
		conn_close(k);
		return;
	}
	k->start = k->end = 0;
	buf_free(&k->body);
	k->idle_until = uv_now(k->client->loop) + IDLE_MS;
}

/* ---- receiving ---- */

static int make_room(struct conn *k, size_t need)
{
	size_t len = k->end - k->start, size = k->in_size;
	if (k->in_size - k->end >= need)
		return 0;
	while (size < len + need)
		size *= 2;
	char *in = malloc(size);
	if (!in)
		return -1;
	memcpy(in, k->in + k->start, len);
	free(k->in);
	k->in = in;
	k->in_size = size;
	k->start = 0;
	k->end = len;
	return 0;
}

/* 1: a head was decoded; 0: more is needed; -1: refused */
static int take_head(struct conn *k, struct err *err)
{
	int r = http_scan(&k->scan, k->in + k->start, k->end - k->start, &bounds, err);
	if (r < 0)
		return -1;
	if (make_room(k, r == 0 ? 1 : IN_SPARE))
		return err_set(err, ERR_INTERNAL, "no memory");
	if (r == 0)
		return 0;
	char *head = k->in + k->start + k->scan.begin;
	size_t len = k->scan.pos - k->scan.begin;
	k->start += k->scan.pos;
	memset(&k->scan, 0, sizeof(k->scan));
	if (http_answer_head(&k->msg, head, len, k->call->head_request, k->fields, err))
		return -1;
	if (k->msg.status >= 200) {
		k->in_body = true;
		return 1;
	}
	if (++k->informational > INFORMATIONAL_MAX)
		return err_set(err, ERR_INVALID, "too many informational answers");
	return k->start < k->end ? 1 : 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct conn *k = handle->data;
	(void)suggested;
	*out = uv_buf_init(k->in + k->end, (unsigned)(k->in_size - k->end));
}

static void on_input_end(struct conn *k, ssize_t error)
{
	/* An answer without a length ends with its connection. */
	if (error == UV_EOF && k->call && k->in_body && k->msg.framing == HTTP_BODY_UNTIL_END) {
		deliver(k);
		return;
	}
	if (k->reused && !k->answered)
		conn_fail(k, ERR_UNAVAILABLE, "the connection was closed");
	else
		conn_fail(k, ERR_BAD_GATEWAY, "the connection broke before the answer was complete");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *k = stream->data;
	struct err err;
	size_t used;
	int r = 1;
	(void)buf;
	if (n == 0 || k->closed)
		return;
	if (n < 0 || !k->call) { /* bytes that nobody asked for end a kept connection */
		on_input_end(k, n < 0 ? n : UV_EPROTO);
		return;
	}
	k->answered = true;
	k->end += (size_t)n;
	while (r == 1 && !k->in_body)
		r = take_head(k, &err);
	if (r == 1) {
		r = http_message_body(&k->msg, k->in + k->start, k->end - k->start, &used, &k->body,
				      k->call->answer_bytes, &err);
		k->start += used;
		if (r == 0)
			k->start = k->end = k->end - used; /* after the head again */
	}
	if (r < 0)
		conn_fail(k, ERR_BAD_GATEWAY, err.text);
	else if (r == 1)
		deliver(k);
}

/* ---- sending ---- */

static void on_written(uv_write_t *req, int status)
{
	struct conn *k = req->data;
	k->writing = false;
	k->write_failed |= status < 0;
}

/* A peer may answer and close before it read everything, so a failure to write is left to the reading side. */
static void conn_send(struct conn *k)
{
	uv_buf_t bytes = uv_buf_init(k->call->request.data, (unsigned)k->call->request.len);
	int n = uv_try_write(&k->stream, &bytes, 1);
	if (n == (int)bytes.len)
		return;
	if (n < 0 && n != UV_EAGAIN) {
		k->write_failed = true;
		return;
	}
	if (n > 0) {
		bytes.base += n;
		bytes.len -= (size_t)n;
	}
	k->write.data = k;
	k->writing = uv_write(&k->write, &k->stream, &bytes, 1, on_written) == 0;
	k->write_failed = !k->writing;
}

static void on_connect(uv_connect_t *req, int status)
{
	struct conn *k = req->data;
	if (k->closed)
		return;
	if (status == 0)
		status = uv_read_start(&k->stream, on_alloc, on_read);
	if (status) {
		conn_fail(k, ERR_UNAVAILABLE, uv_strerror(status));
		return;
	}
	if (!k->is_unix)
		uv_tcp_nodelay(&k->tcp, 1);
	conn_send(k);
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

/* Gives the call a connection. On failure the call is as before. */
static int call_send(struct call *call, struct err *err)
{
	struct conn *k = call->retried ? NULL : find_idle(call->client, call->address);
	bool reused = k;
	if (!k && !(k = conn_new(call->client, call->address)))
		return err_set(err, ERR_UNAVAILABLE, "no memory for a connection");
	if (!reused && conn_open(k, err)) {
		conn_close(k);
		return -1;
	}
	k->call = call;
	k->reused = reused;
	k->answered = k->in_body = false;
	k->informational = 0;
	k->idle_until = 0;
	k->body.cap = call->answer_bytes + 1;
	memset(&k->scan, 0, sizeof(k->scan));
	call->conn = k;
	if (reused)
		conn_send(k);
	return 0;
}

/* ---- starting a call ---- */

static int check_call(const struct http_call *in, struct err *err)
{
	struct sockaddr_storage addr;
	struct sockaddr_un un;
	if (strlen(in->address) >= ADDRESS_SIZE)
		return err_set(err, ERR_INVALID, "the address is too long");
	if (strncmp(in->address, "unix:", 5) == 0) {
		if (strlen(in->address + 5) >= sizeof(un.sun_path))
			return err_set(err, ERR_INVALID, "the path of the socket is too long: %s", in->address + 5);
	} else if (http_address_parse(in->address, &addr, err)) {
		return -1;
	}
	if (!http_is_token(in->method, strlen(in->method)))
		return err_set(err, ERR_INVALID, "not a method");
	if (in->target[0] != '/' || strpbrk(in->target, " \t") || !http_is_value(in->target, strlen(in->target)))
		return err_set(err, ERR_INVALID, "not a request target");
	if (in->host && !http_is_value(in->host, strlen(in->host)))
		return err_set(err, ERR_INVALID, "not a host");
	for (unsigned i = 0; i < in->nfields; i++)
		if (!http_field_valid(&in->fields[i]))
			return err_set(err, ERR_INVALID, "a header field cannot be sent");
	return 0;
}

static int write_request(struct call *call, const struct http_call *in, struct err *err)
{
	struct buf *b = &call->request;
	bool unix_peer = strncmp(in->address, "unix:", 5) == 0;
	bool body = in->body_len || strcmp(in->method, "POST") == 0 || strcmp(in->method, "PUT") == 0 ||
		    strcmp(in->method, "PATCH") == 0;
	b->cap = SIZE_MAX / 2;
	buf_printf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", in->method, in->target, in->host ? in->host : "localhost");
	if (unix_peer || call->client->keep_none)
		buf_puts(b, "Connection: close\r\n");
	if (body)
		buf_printf(b, "Content-Length: %zu\r\n", in->body_len);
	for (unsigned i = 0; i < in->nfields; i++) {
		const struct http_field *f = &in->fields[i];
		if (!http_field_hop_by_hop(f->name) && strcasecmp(f->name, "Host") != 0)
			buf_printf(b, "%s: %s\r\n", f->name, f->value);
	}
	buf_puts(b, "\r\n");
	if (in->body_len)
		buf_append(b, in->body, in->body_len);
	return b->failed ? err_set(err, ERR_UNAVAILABLE, "no memory for the request") : 0;
}

static bool is_idempotent(const char *method)
{
	static const char *const names[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(method, names[i]) == 0)
			return true;
	return false;
}

void http_call_start(struct http_client *c, const struct http_call *in, http_reply_fn *done, void *ctx)
{
	struct call *call = calloc(1, sizeof(*call));
	if (!call)
		abort(); /* there is no way to report without it; Linux does not get here */
	call->client = c;
	call->done = done;
	call->ctx = ctx;
	call->answer_bytes = in->answer_bytes ? in->answer_bytes : ANSWER_BYTES;
	call->timeout_ms = in->timeout_ms ? in->timeout_ms : TIMEOUT_MS;
	call->deadline = uv_now(c->loop) + call->timeout_ms;
	call->head_request = strcmp(in->method, "HEAD") == 0;
	call->idempotent = is_idempotent(in->method);
	call->next = c->calls;
	if (call->next)
		call->next->prev = call;
	c->calls = call;

	bool ok = check_call(in, &call->err) == 0;
	if (ok)
		strcpy(call->address, in->address);
	ok = ok && write_request(call, in, &call->err) == 0 && call_send(call, &call->err) == 0;
	if (!ok || !uv_is_active((uv_handle_t *)&c->tick))
		uv_timer_start(&c->tick, on_tick, ok ? TICK_MS : 0, TICK_MS);
}

/* ---- time ---- */

static struct call *find_due(struct http_client *c, uint64_t now)
{
	for (struct call *call = c->calls; call; call = call->next)
		if (!call->conn || now >= call->deadline)
			return call;
	return NULL;
}

static void end_due(struct call *call)
{
	struct err err = call->err;
	if (call->conn) {
		call->conn->call = NULL;
		conn_close(call->conn);
		err_set(&err, ERR_TIMEOUT, "%s: no answer within %u ms", call->address, call->timeout_ms);
	}
	call_end(call, NULL, &err);
}

static void on_tick(uv_timer_t *timer)
{
	struct http_client *c = timer->data;
	uint64_t now = uv_now(c->loop);
	struct call *due;
	bool idle = false;

	/* A callback may start calls or end others, so each search begins anew. */
	while (!c->freed && (due = find_due(c, now)))
		end_due(due);
	if (c->freed)
		return;
	for (struct conn *k = c->conns; k; k = k->next) {
		if (k->call || k->closed)
			continue;
		if (now >= k->idle_until)
			conn_close(k);
		else
			idle = true;
	}
	if (!idle && !c->calls)
		uv_timer_stop(timer);
}

/* ---- the client ---- */

struct http_client *http_client_new(uv_loop_t *loop)
{
	struct http_client *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	signal(SIGPIPE, SIG_IGN);
	c->loop = loop;
	uv_timer_init(loop, &c->tick);
	c->tick.data = c;
	return c;
}

static void on_tick_close(uv_handle_t *handle)
{
	struct http_client *c = handle->data;
	c->tick_closed = true;
	free_if_done(c);
}

void http_client_free(struct http_client *c)
{
	struct err err;
	if (!c || c->freed)
		return;
	c->freed = true;
	err_set(&err, ERR_UNAVAILABLE, "shutting down");
	while (c->calls) {
		if (c->calls->conn)
			c->calls->conn->call = NULL;
		call_end(c->calls, NULL, &err);
	}
	for (struct conn *k = c->conns; k; k = k->next)
		conn_close(k);
	uv_close((uv_handle_t *)&c->tick, on_tick_close);
}

void http_client_keep_none(struct http_client *c)
{
	c->keep_none = true;
}
