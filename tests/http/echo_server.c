/* SPDX-License-Identifier: MIT
 *
 * A server for the end-to-end tests of lib/http, lib/rest and the client:
 *
 *   http-echo-server ADDRESS:PORT REST_SOCKET [small]
 *
 * prints the bound address, then serves until SIGTERM, and must end with all memory given back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/rest.h"

static struct http_client *client;
static uv_loop_t loop;
static unsigned gone;

static void answer_json(struct http_exchange *x, json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	struct http_answer a = {
		.status = 200, .content_type = "application/json", .body = text, .body_len = text ? strlen(text) : 0
	};
	http_respond(x, &a);
	free(text);
	json_decref(doc);
}

static void answer_text(struct http_exchange *x, int status, const char *text)
{
	struct http_answer a = {
		.status = status, .content_type = "text/plain", .body = text, .body_len = strlen(text)
	};
	http_respond(x, &a);
}

static void serve_echo(struct http_exchange *x)
{
	json_t *fields = json_array();
	for (unsigned i = 0; i < x->nfields; i++)
		json_array_append_new(fields, json_pack("[s,s]", x->fields[i].name, x->fields[i].value));
	answer_json(x, json_pack("{s:s, s:s, s:s, s:s, s:s%, s:s, s:b, s:o}", "method", x->method, "target", x->target,
				 "path", x->path, "query", x->query, "body", x->body, x->body_len, "peer", x->peer,
				 "ordered", x->received_ns >= x->started_ns, "fields", fields));
}

struct later {
	uv_timer_t timer;
	struct http_exchange *x;
	struct rest_call *call;
	struct http_pending *pending;
};

static void free_handle(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
	struct later *l = timer->data;
	if (l->call)
		rest_reply(l->call, 200, json_pack("{s:b}", "late", 1));
	else
		answer_text(l->x, 200, "later\n");
	uv_close((uv_handle_t *)timer, free_handle);
}

static void on_gone(struct http_exchange *x)
{
	(void)x;
	gone++;
}

static void serve_later(struct http_exchange *x, struct rest_call *call, const char *ms)
{
	struct later *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->x = x;
	l->call = call;
	x->on_gone = on_gone;
	uv_timer_init(&loop, &l->timer);
	l->timer.data = l;
	uv_timer_start(&l->timer, on_later, strtoul(ms, NULL, 10), 0);
}

static void serve_size(struct http_exchange *x)
{
	size_t size = strtoul(x->query, NULL, 10);
	struct http_answer a = { .status = 200, .content_type = "application/octet-stream", .body_len = size };
	char *bytes = malloc(size + 1);
	if (!bytes)
		abort();
	memset(bytes, 'x', size);
	a.body = bytes;
	http_respond(x, &a);
	free(bytes);
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct http_exchange *x = ctx;
	json_t *fields = json_array();
	if (err) {
		json_decref(fields);
		answer_json(x, json_pack("{s:s, s:s}", "error", err_code(err->kind), "text", err->text));
		return;
	}
	for (unsigned i = 0; i < reply->nfields; i++)
		json_array_append_new(fields, json_pack("[s,s]", reply->fields[i].name, reply->fields[i].value));
	answer_json(x, json_pack("{s:i, s:o, s:s%}", "status", reply->status, "fields", fields, "body", reply->body,
				 reply->body_len));
}

static void on_cancel(uv_timer_t *timer)
{
	struct later *l = timer->data;
	http_call_cancel(l->pending);
	answer_text(l->x, 200, "cancelled");
	uv_close((uv_handle_t *)timer, free_handle);
}

static void cancel_later(struct http_pending *pending, struct http_exchange *x)
{
	struct later *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->x = x;
	l->pending = pending;
	uv_timer_init(&loop, &l->timer);
	l->timer.data = l;
	uv_timer_start(&l->timer, on_cancel, 30, 0);
}

/* Calls what the JSON body describes and gives back what came. */
static void serve_call(struct http_exchange *x)
{
	struct err err;
	long long timeout = 0, size = 0;
	struct http_field fields[] = { { "X-Test", "1" }, { "Connection", "left-out" } };
	struct http_call call = { .method = "GET", .target = "/", .fields = fields, .nfields = 2 };
	json_t *doc = json_decode(x->body, x->body_len, &err);
	const char *body = json_string_value(json_object_get(doc, "body"));

	if (!doc || json_get_int(doc, "timeout", 0, 100000, 0, &timeout, &err) ||
	    json_get_int(doc, "size", 0, 1 << 20, 0, &size, &err)) {
		http_problem(x, err.kind, 0, err.text);
		json_decref(doc);
		return;
	}
	call.address = json_string_value(json_object_get(doc, "address"));
	if (json_object_get(doc, "method"))
		call.method = json_string_value(json_object_get(doc, "method"));
	if (json_object_get(doc, "target"))
		call.target = json_string_value(json_object_get(doc, "target"));
	call.body = body;
	call.body_len = body ? strlen(body) : 0;
	call.timeout_ms = (unsigned)timeout;
	call.answer_bytes = (size_t)size;
	call.until_accepted = json_is_true(json_object_get(doc, "until_accepted"));
	call.once = json_is_true(json_object_get(doc, "once"));
	call.reset = json_is_true(json_object_get(doc, "reset"));
	call.keepalive_s = json_is_true(json_object_get(doc, "keepalive")) ? 7 : 0;
	struct http_pending *pending = http_call_start(client, &call, on_reply, x);
	if (json_is_true(json_object_get(doc, "cancel")))
		cancel_later(pending, x);
	json_decref(doc);
}

static void serve_fields(struct http_exchange *x)
{
	bool bad = strcmp(x->query, "bad") == 0;
	struct http_field fields[] = { { "Content-Length", "1" },
				       { "Transfer-Encoding", "chunked" },
				       { "Connection", "keep-alive, X-Mine" },
				       { "X-Mine", bad ? "a\r\nX-Forged: b" : "a" } };
	struct http_answer a = { .status = 200, .body = "fields", .body_len = 6, .fields = fields, .nfields = 4 };
	http_respond(x, &a);
}

static void serve(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	char text[32];
	struct http_answer empty = { .status = 204 },
			   closing = { .status = 200, .body = "bye", .body_len = 3, .close = true };
	if (strcmp(x->path, "/hello") == 0)
		answer_text(x, 200, "hello, world\n");
	else if (strcmp(x->path, "/later") == 0)
		serve_later(x, NULL, x->query);
	else if (strcmp(x->path, "/size") == 0)
		serve_size(x);
	else if (strcmp(x->path, "/call") == 0)
		serve_call(x);
	else if (strcmp(x->path, "/prepare") == 0)
		http_client_prepare(client, &(struct http_call){ .address = x->query, .until_accepted = true }),
			http_respond(x, &empty);
	else if (strcmp(x->path, "/forget") == 0)
		http_client_forget(client, x->query), http_respond(x, &empty);
	else if (strcmp(x->path, "/fields") == 0)
		serve_fields(x);
	else if (strcmp(x->path, "/empty") == 0)
		http_respond(x, &empty);
	else if (strcmp(x->path, "/close") == 0)
		http_respond(x, &closing);
	else if (strcmp(x->path, "/full") == 0)
		http_problem(x, ERR_FULL, 7, "a \"quoted\" text \xff");
	else if (strcmp(x->path, "/gone") == 0)
		snprintf(text, sizeof(text), "%u", gone), answer_text(x, 200, text);
	else
		serve_echo(x);
}

/* ---- REST ---- */

static void rest_thing_add(struct rest_call *call)
{
	rest_reply(call, 201, json_deep_copy(call->body));
}

static void rest_thing_get(struct rest_call *call)
{
	rest_reply(call, 200, json_pack("{s:s, s:s}", "name", call->param[0], "part", call->param[1]));
}

static void rest_later(struct rest_call *call)
{
	struct rest_call *copy = rest_defer(call);
	serve_later(copy->x, copy, copy->param[0]);
}

static void rest_silent(struct rest_call *call)
{
	(void)call;
}

static void rest_fault(struct rest_call *call)
{
	struct err err = { .kind = ERR_INTERNAL, .text = "the inner detail" };
	rest_fail(call, &err);
}

static void rest_delete(struct rest_call *call)
{
	rest_reply(call, 204, NULL);
}

static bool is_ready = true;

static void rest_unready(struct rest_call *call)
{
	is_ready = false;
	rest_reply(call, 204, NULL);
}

static bool ready(void *ctx, struct err *why)
{
	(void)ctx;
	if (!is_ready)
		err_set(why, ERR_INTERNAL, "told not to be");
	return is_ready;
}

static void metrics(void *ctx, struct buf *out)
{
	(void)ctx;
	buf_puts(out, "echo_things 3\n");
}

static const char *const thing_keys[] = { "name!", "colour", "size", NULL };
static const char *const optional_keys[] = { "colour", NULL };
static const struct rest_route routes[] = {
	{ "POST", "/v1/things", rest_thing_add, "Add a thing", thing_keys },
	{ "PUT", "/v1/things", rest_thing_add, "Add perhaps", optional_keys },
	{ "GET", "/v1/things/{name}", rest_thing_get, "One thing", NULL },
	{ "DELETE", "/v1/things/{name}", rest_delete, "Remove a thing", NULL },
	{ "GET", "/v1/things/{name}/parts/{part}", rest_thing_get, "One part", NULL },
	{ "POST", "/v1/later/{ms}", rest_later, "Answer later", optional_keys },
	{ "GET", "/v1/silent", rest_silent, "Forget to answer", NULL },
	{ "GET", "/v1/fault", rest_fault, "Fail inside", NULL },
	{ "POST", "/v1/unready", rest_unready, "Stop being ready", NULL },
	{ 0 },
};

/* ---- main ---- */

static struct http_server *servers[2];

static void on_signal(uv_signal_t *handle, int signum)
{
	(void)signum;
	http_server_stop(servers[0]);
	http_server_stop(servers[1]);
	http_client_free(client);
	uv_close((uv_handle_t *)handle, NULL);
}

static const struct http_limits small = {
	.target_bytes = 256,
	.header_bytes = 1024,
	.headers = 8,
	.body_bytes = 4096,
	.head_ms = 600,
	.body_ms = 600,
	.idle_ms = 900,
	.write_ms = 600,
	.connections = 8,
};

int main(int argc, char **argv)
{
	struct rest_config config = { .title = "echo", .routes = routes, .ready = ready, .metrics = metrics };
	struct rest *rest = rest_new(&config);
	struct err err;
	uv_signal_t term;
	char bound[64];

	log_init("echo", LOG_LEVEL_INFO);
	if (argc < 3 || !rest)
		return 2;
	uv_loop_init(&loop);
	client = http_client_new(&loop);
	int fd = http_bind_tcp(argv[1], bound, sizeof(bound), &err);
	if (fd < 0 || !(servers[0] = http_server_start(&loop, fd, argc > 3 ? &small : NULL, serve, NULL, &err)) ||
	    !(servers[1] = rest_listen_unix(&loop, argv[2], rest, &err))) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	uv_signal_init(&loop, &term);
	uv_signal_start(&term, on_signal, SIGTERM);
	printf("%s\n", bound);
	fflush(stdout);
	uv_run(&loop, UV_RUN_DEFAULT);
	rest_free(rest);
	return uv_loop_close(&loop) ? 3 : 0;
}
