/* SPDX-License-Identifier: MIT */
#include "lib/http_client_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	IN_SPARE = 8192,
	INFORMATIONAL_MAX = 8, /* 1xx answers before the real one */
};

static const struct http_bounds bounds = { .first_line = 4096, .header_bytes = 32768, .headers = HTTP_FIELDS_MAX };

/* ---- the end of a call ---- */

void client_conn_fail(struct conn *k, enum err_kind kind, const char *why)
{
	struct http_pending *call = k->call;
	struct err err;
	bool again = k->reused && !k->answered && call && call->idempotent && !call->retried;

	k->call = NULL;
	client_conn_close(k);
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

/* The connection is closed, or free for the next call, before the answer is reported: whoever gets that may count on it.
 * Either way its buffer, into which the fields point, stays as it is until the loop goes on. */
static void deliver(struct conn *k)
{
	struct http_pending *call = k->call;
	struct buf body = k->body;
	struct http_reply reply = {
		.status = k->msg.status,
		.fields = k->fields,
		.nfields = keep_end_to_end(k),
		.body = buf_text(&body),
		.body_len = body.len,
		.connect_us = k->reused ? 0 : (unsigned)((call->connected_ns - call->started_ns) / 1000),
	};
	k->body = (struct buf){ 0 };
	k->call = NULL;
	call->conn = NULL;
	if (!call->once && client_conn_may_keep(k))
		client_conn_keep(k);
	else
		client_conn_close(k);
	call_end(call, &reply, NULL); /* may start other calls, on this connection too, or free the client */
	buf_free(&body);
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

void client_conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
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
		client_conn_fail(k, ERR_UNAVAILABLE, "the connection was closed");
	else
		client_conn_fail(k, ERR_BAD_GATEWAY, "the connection broke before the answer was complete");
}

void client_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
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
		client_conn_fail(k, ERR_BAD_GATEWAY, err.text);
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
void client_conn_send(struct conn *k)
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
