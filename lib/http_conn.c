/* SPDX-License-Identifier: MIT
 *
 * One connection of the server, from bytes to handler calls and back. conn_step() is the state machine; everything else
 * feeds it or carries out what it decided. Once uv_close was called on a connection no step does anything any more.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/names.h"

enum {
	IN_START = 8192,	 /* first size of the input buffer */
	IN_SPARE = 4096,	 /* room kept after a head, for chunks and pipelined requests */
	READ_MAX = 65536,	 /* of a body at once */
	KEEP_MAX = 65536,	 /* larger buffers are given back after the request */
	LINGER_MS = 2000,	 /* how long a refused client may take to stop sending */
	LINGER_BYTES = 16 << 20, /* and how much it may still send */
	WRITE_STEP = 16384,	 /* so much must go out in write_ms for the answer to go on */
};

static void conn_process(struct http_conn *c);
static void set_reading(struct http_conn *c);

static void set_deadline(struct http_conn *c, unsigned ms)
{
	c->deadline = uv_now(c->server->loop) + ms;
}

static void tell_gone(struct http_conn *c)
{
	void (*on_gone)(struct http_exchange *) = c->x.on_gone;
	c->x.on_gone = NULL;
	if (c->exchange_open && on_gone)
		on_gone(&c->x);
}

static void on_close(uv_handle_t *handle)
{
	struct http_conn *c = handle->data;
	c->handle_gone = true;
	if (!c->exchange_open)
		server_forget(c);
}

void conn_close(struct http_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	c->deadline = 0;
	uv_close(&c->handle, on_close);
	tell_gone(c);
}

/* ---- sending ---- */

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status;
}

/* Closing with unread bytes makes the kernel send a reset, which can overtake the answer. So say that we are done,
 * and let the client finish its sentence. */
static void conn_linger(struct http_conn *c)
{
	if (c->read_end || uv_shutdown(&c->shutdown, &c->stream, on_shutdown)) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGER;
	c->start = c->end = 0;
	set_deadline(c, LINGER_MS);
	set_reading(c);
}

static void finish_request(struct http_conn *c)
{
	c->out.len = 0;
	if (c->out.size > KEEP_MAX)
		buf_free(&c->out);
	c->body.len = 0;
	if (c->body.size > KEEP_MAX)
		buf_free(&c->body);
	if (c->close_after) {
		if (c->refused || c->start < c->end)
			conn_linger(c);
		else
			conn_close(c);
		return;
	}
	memset(&c->scan, 0, sizeof(c->scan));
	c->state = CONN_IDLE;
	conn_process(c);
}

static void on_write(uv_write_t *req, int status)
{
	struct http_conn *c = req->data;
	if (c->state == CONN_CLOSED)
		return;
	if (status < 0)
		conn_close(c);
	else
		finish_request(c);
}

/* Sends what is in `out`; most answers leave in one system call. */
static void conn_send(struct http_conn *c)
{
	uv_buf_t bytes = uv_buf_init(c->out.data, (unsigned)c->out.len);
	c->state = CONN_WRITING;
	int n = uv_try_write(&c->stream, &bytes, 1);
	if (n == (int)c->out.len) {
		finish_request(c);
		return;
	}
	if (n < 0 && n != UV_EAGAIN) {
		conn_close(c);
		return;
	}
	if (n > 0) {
		bytes.base += n;
		bytes.len -= (size_t)n;
	}
	c->write.data = c;
	c->queue_seen = bytes.len;
	set_deadline(c, c->server->limits.write_ms);
	if (uv_write(&c->write, &c->stream, &bytes, 1, on_write))
		conn_close(c);
}

static int write_answer(struct http_conn *c, const struct http_answer *a)
{
	struct http_answer_frame frame = {
		.request_id = c->x.request_id,
		.date = server_date(c->server),
		.head_request = c->msg.head_request,
		.http10 = c->msg.http10,
		.close = c->close_after,
	};
	c->out.len = 0;
	c->out.failed = false;
	return http_answer_write(&c->out, a, &frame);
}

static void write_problem(struct http_conn *c, enum err_kind kind, const char *detail)
{
	struct buf text = { .cap = 8192 };
	struct http_answer a = { .status = err_http_status(kind), .content_type = "application/problem+json" };
	http_problem_text(&text, a.status, err_code(kind), detail, c->x.request_id);
	a.body = text.data;
	a.body_len = text.len;
	c->close_after = true;
	if (write_answer(c, &a))
		c->out.len = 0;
	buf_free(&text);
}

void http_respond(struct http_exchange *x, const struct http_answer *a)
{
	struct http_conn *c = (struct http_conn *)((char *)x - offsetof(struct http_conn, x));
	assert(c->exchange_open);
	c->exchange_open = false;
	if (c->handle_gone) {
		server_forget(c);
		return;
	}
	if (c->state == CONN_CLOSED)
		return; /* on_close is on its way */
	c->close_after = a->close || !c->msg.keep_alive || c->server->stopping;
	if (write_answer(c, a)) {
		log_error("request %s: the answer (status %d, %zu bytes) is not valid HTTP or too large", x->request_id,
			  a->status, a->body_len);
		write_problem(c, ERR_INTERNAL, "the answer could not be sent");
	}
	if (c->out.len)
		conn_send(c);
	else
		conn_close(c);
}

/* Answers without having asked the handler; the connection ends with it. */
static void refuse(struct http_conn *c, const struct err *err)
{
	http_request_id(c->x.request_id);
	c->msg.head_request = false;
	c->deadline = 0;
	c->refused = true;
	write_problem(c, err->kind, err->text);
	if (c->out.len)
		conn_send(c);
	else
		conn_close(c);
}

/* ---- requests ---- */

/* Makes room for `need` more bytes after `end`. Only while nothing points into `in`. */
static int make_room(struct http_conn *c, size_t need)
{
	size_t len = c->end - c->start, size = c->in_size ? c->in_size : IN_START;
	if (c->in && c->in_size - c->end >= need)
		return 0;
	while (size < len + need)
		size *= 2;
	if (size > c->in_size) {
		char *in = malloc(size);
		if (!in)
			return -1;
		if (len)
			memcpy(in, c->in + c->start, len);
		free(c->in);
		c->in = in;
		c->in_size = size;
	} else {
		memmove(c->in, c->in + c->start, len);
	}
	c->start = 0;
	c->end = len;
	return 0;
}

static int split_target(struct http_conn *c, struct err *err)
{
	struct http_exchange *x = &c->x;
	const char *query = strchr(x->target, '?');
	size_t len = strlen(x->target);

	if (len > c->server->limits.target_bytes)
		return err_set(err, ERR_URI_TOO_LONG, "the request target is longer than %zu bytes",
			       c->server->limits.target_bytes);
	x->path = x->target;
	x->query = x->target + len;
	if (!query)
		return 0;
	c->path.len = 0;
	if (buf_append(&c->path, x->target, (size_t)(query - x->target)))
		return err_set(err, ERR_INTERNAL, "no memory");
	x->path = buf_text(&c->path);
	x->query = query + 1;
	return 0;
}

static int decode_request(struct http_conn *c, struct err *err)
{
	size_t head = c->scan.pos - c->scan.begin;
	if (make_room(c, c->end - c->start - c->scan.pos >= IN_SPARE ? 0 : IN_SPARE))
		return err_set(err, ERR_INTERNAL, "no memory");
	char *bytes = c->in + c->start + c->scan.begin;
	c->start += c->scan.pos;
	if (http_request_head(&c->msg, bytes, head, c->fields, err))
		return -1;
	c->x.method = c->msg.method;
	c->x.target = c->msg.target;
	c->x.fields = c->fields;
	c->x.nfields = c->msg.nfields;
	if (split_target(c, err))
		return -1;
	if (c->msg.length > c->server->limits.body_bytes)
		return err_set(err, ERR_TOO_LARGE, "the body is larger than %zu bytes", c->server->limits.body_bytes);
	return 0;
}

static void send_continue(struct http_conn *c)
{
	static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	uv_buf_t bytes = uv_buf_init(text, sizeof(text) - 1);
	if (uv_try_write(&c->stream, &bytes, 1) != (int)bytes.len)
		conn_close(c); /* nothing was queued, so a full socket here means a client that does not read */
}

static bool step_head(struct http_conn *c)
{
	struct err err;
	if (c->state == CONN_IDLE) {
		c->state = CONN_HEAD;
		c->x.started_ns = clock_ns();
		set_deadline(c, c->server->limits.head_ms);
	}
	char first = c->in[c->start];
	int found = first == '\r' || (first >= 'A' && first <= 'Z')
			    ? http_scan(&c->scan, c->in + c->start, c->end - c->start, &c->server->bounds, &err)
			    : err_set(&err, ERR_INVALID, "this is not an HTTP request");
	if (found == 0 && make_room(c, 1))
		found = err_set(&err, ERR_INTERNAL, "no memory");
	if (found == 0 && c->read_end)
		conn_close(c);
	if (found == 0)
		return false;
	if (found < 0 || decode_request(c, &err)) {
		refuse(c, &err);
		return false;
	}
	c->state = CONN_BODY;
	c->body.len = 0;
	c->body.failed = false;
	set_deadline(c, c->server->limits.body_ms);
	if (c->msg.framing != HTTP_BODY_NONE && c->msg.expect_continue && c->start == c->end)
		send_continue(c);
	return true;
}

static void start_exchange(struct http_conn *c)
{
	c->x.body = buf_text(&c->body);
	c->x.body_len = c->body.len;
	http_request_id(c->x.request_id);
	c->x.received_ns = clock_ns();
	c->x.user = NULL;
	c->x.on_gone = NULL;
	c->state = CONN_HANDLING;
	c->deadline = 0;
	c->exchange_open = true;
	c->server->handler(c->server->ctx, &c->x);
}

static bool step_body(struct http_conn *c)
{
	struct err err;
	size_t used;
	int r = http_message_body(&c->msg, c->in + c->start, c->end - c->start, &used, &c->body,
				  c->server->limits.body_bytes, &err);
	if (r < 0) {
		refuse(c, &err);
		return false;
	}
	c->start += used;
	if (r == 0) {
		/* All bytes were used; the next ones go where these were, right after the head. */
		c->start = c->end = c->end - used;
		if (c->read_end)
			conn_close(c);
		return false;
	}
	start_exchange(c);
	return true;
}

/* One step; true when another may follow at once. */
static bool conn_step(struct http_conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		if (c->start < c->end)
			return step_head(c);
		c->start = c->end = 0;
		set_deadline(c, c->server->limits.idle_ms);
		if (c->read_end || c->server->stopping)
			conn_close(c);
		return false;
	case CONN_BODY:
		return step_body(c);
	default:
		return false;
	}
}

/* Runs all steps that are possible now. A handler that answers at once comes back here through finish_request(); the
 * flag makes that a loop, so that a thousand pipelined requests do not go a thousand calls deep. */
static void conn_process(struct http_conn *c)
{
	if (c->processing)
		return;
	c->processing = true;
	while (conn_step(c))
		;
	c->processing = false;
	set_reading(c);
}

/* ---- receiving ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct http_conn *c = handle->data;
	(void)suggested;
	*out = uv_buf_init(NULL, 0);
	if (c->state == CONN_BODY && c->msg.framing == HTTP_BODY_LENGTH) {
		size_t want = c->msg.length < READ_MAX ? (size_t)c->msg.length : READ_MAX;
		char *room = buf_reserve(&c->body, want);
		if (room)
			*out = uv_buf_init(room, (unsigned)want);
		return;
	}
	if (c->state == CONN_IDLE && make_room(c, 1))
		return;
	*out = uv_buf_init(c->in + c->end, (unsigned)(c->in_size - c->end));
}

static void on_input_end(struct http_conn *c, ssize_t error)
{
	c->read_end = true;
	c->reading = false;
	uv_read_stop(&c->stream);
	if (error != UV_EOF || c->state == CONN_LINGER) {
		conn_close(c);
		return;
	}
	if (c->state == CONN_HANDLING)
		tell_gone(c); /* may have answered */
	conn_process(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct http_conn *c = stream->data;
	if (n == 0 || c->state == CONN_CLOSED)
		return;
	if (n < 0) {
		on_input_end(c, n);
		return;
	}
	if (c->state == CONN_LINGER) {
		c->discarded += (size_t)n;
		if (c->discarded > LINGER_BYTES)
			conn_close(c);
		return;
	}
	if (c->state == CONN_BODY && buf->base != c->in + c->end) {
		c->body.len += (size_t)n;
		c->msg.length -= (uint64_t)n;
	} else {
		c->end += (size_t)n;
	}
	conn_process(c);
}

/* Reads as long as there is room. While a request is handled, reading goes on to notice a client that leaves. */
static void set_reading(struct http_conn *c)
{
	bool waiting = c->state == CONN_HANDLING || c->state == CONN_WRITING;
	bool want =
		c->state != CONN_CLOSED && !c->read_end && (c->state == CONN_LINGER || !waiting || c->end < c->in_size);
	if (want && !c->reading)
		c->reading = uv_read_start(&c->stream, on_alloc, on_read) == 0;
	else if (!want && c->reading && c->state != CONN_CLOSED) {
		uv_read_stop(&c->stream);
		c->reading = false;
	}
	if (want && !c->reading)
		conn_close(c);
}

void conn_start(struct http_conn *c)
{
	c->handle.data = c;
	set_deadline(c, c->server->limits.idle_ms);
	c->state = CONN_IDLE;
	set_reading(c);
}

void conn_expire(struct http_conn *c, uint64_t now)
{
	struct err err;
	size_t queue = uv_stream_get_write_queue_size(&c->stream);

	if (queue && c->queue_seen >= queue + WRITE_STEP) {
		c->queue_seen = queue;
		c->deadline = now + c->server->limits.write_ms;
		return;
	}
	if (c->state == CONN_HEAD || c->state == CONN_BODY) {
		err_set(&err, ERR_TIMEOUT_CLIENT,
			c->state == CONN_HEAD ? "the head of the request took too long"
					      : "the body of the request took too long");
		refuse(c, &err);
		return;
	}
	conn_close(c);
}
