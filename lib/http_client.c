/* SPDX-License-Identifier: MIT
 *
 * Calls. One coarse timer watches their deadlines and the age of kept connections.
 */
#include "lib/http_client_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "lib/names.h"

enum {
	TICK_MS = 50,
	TIMEOUT_MS = 30000,
	ANSWER_BYTES = 1 << 20,
};

static void on_tick(uv_timer_t *timer);

/* ---- the end of a call ---- */

static void call_free(struct http_pending *call)
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

void call_end(struct http_pending *call, const struct http_reply *reply, const struct err *err)
{
	http_reply_fn *done = call->done;
	void *ctx = call->ctx;
	call_free(call);
	done(ctx, reply, err);
}

static void leave_conn(struct http_pending *call)
{
	if (!call->conn)
		return;
	call->conn->call = NULL;
	client_conn_close(call->conn);
}

void http_call_cancel(struct http_pending *call)
{
	leave_conn(call);
	call_free(call);
}

/* ---- starting a call ---- */

static int check_call(const struct http_call *in, struct err *err)
{
	struct sockaddr_storage addr;
	struct sockaddr_un un;
	if (strlen(in->address) >= HTTP_ADDRESS_SIZE)
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

static int write_request(struct http_pending *call, const struct http_call *in, struct err *err)
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

static struct http_pending *call_new(struct http_client *c, const struct http_call *in)
{
	struct http_pending *call = calloc(1, sizeof(*call));
	if (!call)
		abort(); /* there is no way to report without it; Linux does not get here */
	call->client = c;
	call->started_ns = clock_ns();
	call->answer_bytes = in->answer_bytes ? in->answer_bytes : ANSWER_BYTES;
	call->timeout_ms = in->timeout_ms ? in->timeout_ms : TIMEOUT_MS;
	call->deadline = uv_now(c->loop) + call->timeout_ms;
	call->head_request = strcmp(in->method, "HEAD") == 0;
	call->idempotent = is_idempotent(in->method);
	call->until_accepted = in->until_accepted;
	call->once = in->once;
	call->reset = in->reset;
	call->keepalive_s = in->keepalive_s;
	call->next = c->calls;
	if (call->next)
		call->next->prev = call;
	c->calls = call;
	return call;
}

struct http_pending *http_call_start(struct http_client *c, const struct http_call *in, http_reply_fn *done, void *ctx)
{
	struct http_pending *call = call_new(c, in);
	call->done = done;
	call->ctx = ctx;
	bool ok = check_call(in, &call->err) == 0;
	if (ok)
		strcpy(call->address, in->address);
	ok = ok && write_request(call, in, &call->err) == 0 && call_send(call, &call->err) == 0;
	call->failed = !ok;
	if (!ok || !uv_is_active((uv_handle_t *)&c->tick))
		uv_timer_start(&c->tick, on_tick, ok ? TICK_MS : 0, TICK_MS);
	return call;
}

static void tell_nobody(void *ctx, const struct http_reply *reply, const struct err *err)
{
	(void)ctx;
	(void)reply;
	(void)err;
}

void http_client_prepare(struct http_client *c, const struct http_call *how)
{
	struct http_call in = *how;
	if (client_conn_find_idle(c, how->address))
		return;
	in.method = "GET"; /* which is never sent */
	in.target = "/";
	http_call_start(c, &in, tell_nobody, NULL)->ahead = true;
}

/* ---- time ---- */

static struct http_pending *find_due(struct http_client *c, uint64_t now)
{
	for (struct http_pending *call = c->calls; call; call = call->next)
		if (call->failed || now >= call->deadline)
			return call;
	return NULL;
}

static void end_due(struct http_pending *call)
{
	struct err err = call->err;
	leave_conn(call);
	if (!call->failed)
		err_set(&err, ERR_TIMEOUT, "%s: no answer within %u ms", call->address, call->timeout_ms);
	call_end(call, NULL, &err);
}

static void on_tick(uv_timer_t *timer)
{
	struct http_client *c = timer->data;
	uint64_t now = uv_now(c->loop);
	struct http_pending *due;

	/* A callback may start calls or end others, so each search begins anew. */
	while (!c->freed && (due = find_due(c, now)))
		end_due(due);
	if (c->freed)
		return;
	if (!client_conn_sweep(c, now) && !c->calls)
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
	uv_timer_init(loop, &c->attempts);
	c->tick.data = c->attempts.data = c;
	c->open_timers = 2;
	return c;
}

static void on_timer_close(uv_handle_t *handle)
{
	struct http_client *c = handle->data;
	c->open_timers--;
	http_client_free_if_done(c);
}

void http_client_free(struct http_client *c)
{
	struct err err;
	if (!c || c->freed)
		return;
	c->freed = true;
	err_set(&err, ERR_UNAVAILABLE, "shutting down");
	while (c->calls) {
		leave_conn(c->calls);
		call_end(c->calls, NULL, &err);
	}
	client_conn_close_all(c);
	uv_close((uv_handle_t *)&c->tick, on_timer_close);
	uv_close((uv_handle_t *)&c->attempts, on_timer_close);
}

void http_client_keep_none(struct http_client *c)
{
	c->keep_none = true;
}
