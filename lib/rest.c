/* SPDX-License-Identifier: MIT */
#include "lib/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/rest_openapi.h"
#include "lib/sock.h"

enum { KEYS_MAX = 32, PARAMS_MAX = 3 };

struct rest {
	const struct rest_config *config;
	char *openapi;
	uint64_t started_ns;
	uint64_t answers[6]; /* by the status's first digit */
	unsigned in_flight;
};

/* What a handler gets is the first member; the rest is ours. */
struct full_call {
	struct rest_call call;
	struct rest *rest;
	bool on_heap, answered;
};

struct rest *rest_new(const struct rest_config *config)
{
	struct rest *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->config = config;
	r->started_ns = clock_ns();
	r->openapi = rest_openapi(config);
	if (!r->openapi) {
		free(r);
		return NULL;
	}
	return r;
}

void rest_free(struct rest *r)
{
	if (!r)
		return;
	free(r->openapi);
	free(r);
}

/* ---- answers ---- */

static void count(struct rest *r, int status)
{
	r->in_flight--;
	r->answers[status / 100 % 6]++;
}

static void finish(struct full_call *f)
{
	json_decref(f->call.body);
	f->call.body = NULL;
	f->answered = true;
	if (f->on_heap)
		free(f);
}

static void reply_text(struct rest *r, struct http_exchange *x, int status, const char *type, const char *text,
		       size_t len)
{
	struct http_answer a = { .status = status, .content_type = type, .body = text, .body_len = len };
	count(r, status);
	http_respond(x, &a);
}

static void fail(struct rest *r, struct http_exchange *x, const struct err *err, const char *allow)
{
	struct http_field field = { "Allow", allow };
	const char *detail = err->text;
	if (err->kind == ERR_INTERNAL || err->kind == ERR_CONFIG) {
		log_error("request %s: %s", x->request_id, err->text);
		if (strcmp(x->peer, "unix") != 0)
			detail = "something went wrong inside; the log has the request's number";
	}
	bool later = err->kind == ERR_UNAVAILABLE || err->kind == ERR_FULL || err->kind == ERR_TOO_MANY;
	count(r, err_http_status(err->kind));
	http_problem_fields(x, err->kind, later ? 1 : 0, detail, &field, allow ? 1 : 0);
}

void rest_reply(struct rest_call *call, int status, json_t *body)
{
	struct full_call *f = (struct full_call *)call;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct err err = { .kind = ERR_INTERNAL, .text = "the answer cannot be written as JSON" };

	if (body && !text)
		fail(f->rest, call->x, &err, NULL);
	else
		reply_text(f->rest, call->x, status, body ? "application/json" : NULL, text, text ? strlen(text) : 0);
	free(text);
	json_decref(body);
	finish(f);
}

void rest_fail(struct rest_call *call, const struct err *err)
{
	struct full_call *f = (struct full_call *)call;
	fail(f->rest, call->x, err, NULL);
	finish(f);
}

void rest_fail_after(struct rest_call *call, const struct err *err, unsigned seconds)
{
	struct full_call *f = (struct full_call *)call;
	count(f->rest, err_http_status(err->kind));
	http_problem(call->x, err->kind, seconds, err->text);
	finish(f);
}

struct rest_call *rest_defer(struct rest_call *call)
{
	struct full_call *f = (struct full_call *)call, *copy;
	if (f->on_heap)
		return call;
	copy = malloc(sizeof(*copy));
	if (!copy)
		abort(); /* glibc on Linux: not without having been killed before */
	*copy = *f;
	copy->on_heap = true;
	f->call.body = NULL;
	f->answered = true;
	return &copy->call;
}

/* ---- the endpoints that every daemon has ---- */

static unsigned long resident_bytes(void)
{
	unsigned long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (unsigned long)sysconf(_SC_PAGESIZE);
}

static void serve_metrics(struct rest *r, struct http_exchange *x)
{
	struct buf b = { .cap = 4 << 20 };
	buf_puts(&b, "# HELP ppce_rest_answers_total Answers of the REST interface by class of status.\n"
		     "# TYPE ppce_rest_answers_total counter\n");
	for (unsigned i = 2; i < 6; i++)
		buf_printf(&b, "ppce_rest_answers_total{class=\"%uxx\"} %llu\n", i, (unsigned long long)r->answers[i]);
	buf_printf(&b, "# TYPE ppce_rest_in_flight gauge\nppce_rest_in_flight %u\n", r->in_flight);
	buf_printf(&b, "# TYPE ppce_uptime_seconds gauge\nppce_uptime_seconds %.3f\n",
		   (double)(clock_ns() - r->started_ns) / 1e9);
	buf_printf(&b, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lu\n",
		   resident_bytes());
	if (r->config->metrics)
		r->config->metrics(r->config->ctx, &b);
	struct err err = { .kind = ERR_INTERNAL, .text = "the metrics are too large" };
	if (b.failed)
		fail(r, x, &err, NULL);
	else
		reply_text(r, x, 200, "text/plain; version=0.0.4", b.data, b.len);
	buf_free(&b);
}

static void serve_readyz(struct rest *r, struct http_exchange *x)
{
	struct err err = { .kind = ERR_UNAVAILABLE, .text = "not ready" };
	if (r->config->ready && !r->config->ready(r->config->ctx, &err)) {
		err.kind = ERR_UNAVAILABLE;
		fail(r, x, &err, NULL);
		return;
	}
	reply_text(r, x, 200, "text/plain", "ok\n", 3);
}

/* True when the path is one of ours and was answered. */
static bool serve_own(struct rest *r, struct http_exchange *x, bool get)
{
	static const char *const paths[] = { "/livez", "/readyz", "/metrics", "/openapi.json" };
	struct err err;
	unsigned i = 0;
	while (i < 4 && strcmp(x->path, paths[i]) != 0)
		i++;
	if (i == 4)
		return false;
	if (!get) {
		err_set(&err, ERR_METHOD, "%s can only be read", paths[i]);
		fail(r, x, &err, "GET, HEAD");
	} else if (i == 0) {
		reply_text(r, x, 200, "text/plain", "ok\n", 3);
	} else if (i == 1) {
		serve_readyz(r, x);
	} else if (i == 2) {
		serve_metrics(r, x);
	} else {
		reply_text(r, x, 200, "application/json", r->openapi, strlen(r->openapi));
	}
	return true;
}

/* ---- matching ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes one path segment. False: empty, too long, a bad escape or a NUL. */
static bool decode_segment(const char *in, size_t len, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)in[i];
		if (c == '%') {
			if (len - i < 3 || hex(in[i + 1]) < 0 || hex(in[i + 2]) < 0)
				return false;
			c = hex(in[i + 1]) * 16 + hex(in[i + 2]);
			i += 2;
		}
		if (c == 0 || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return n > 0;
}

static bool match(const char *pattern, const char *path, char param[PARAMS_MAX][128])
{
	unsigned params = 0;
	for (;;) {
		size_t want = strcspn(pattern, "/"), have = strcspn(path, "/");
		if (want && pattern[0] == '{' && params < PARAMS_MAX) {
			if (!decode_segment(path, have, param[params++], sizeof(param[0])))
				return false;
		} else if (want != have || memcmp(pattern, path, want) != 0) {
			return false;
		}
		pattern += want;
		path += have;
		if (!*pattern || !*path)
			return *pattern == *path;
		pattern++;
		path++;
	}
}

static void add_method(char *allow, size_t size, const char *method)
{
	size_t len = strlen(allow);
	snprintf(allow + len, size - len, "%s%s", len ? ", " : "", method);
}

/* The route, or NULL with the methods that the path has ("" if there is no such path). */
static const struct rest_route *find_route(const struct rest *r, const struct http_exchange *x,
					   char param[PARAMS_MAX][128], char *allow, size_t size)
{
	const char *method = strcmp(x->method, "HEAD") == 0 ? "GET" : x->method;
	allow[0] = '\0';
	for (const struct rest_route *route = r->config->routes; route->method; route++) {
		memset(param, 0, PARAMS_MAX * sizeof(param[0]));
		if (!match(route->pattern, x->path, param))
			continue;
		if (strcmp(route->method, method) == 0)
			return route;
		add_method(allow, size, route->method);
		if (strcmp(route->method, "GET") == 0)
			add_method(allow, size, "HEAD");
	}
	return NULL;
}

/* ---- bodies ---- */

static int check_content_type(const struct http_exchange *x, struct err *err)
{
	static const char json[] = "application/json";
	const char *type = http_field_get(x, "Content-Type");
	if (!type)
		return 0;
	size_t len = strcspn(type, "; \t");
	if (len == sizeof(json) - 1 && strncasecmp(type, json, len) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "Content-Type must be application/json");
}

/* The allowed names without their marks, so that they can be compared with what came. */
struct key_names {
	char text[KEYS_MAX][64];
	const char *list[KEYS_MAX + 1];
};

static void names_of(const char *const *keys, struct key_names *out)
{
	unsigned n = 0;
	for (; keys && *keys && n < KEYS_MAX; keys++, n++) {
		size_t len = strcspn(*keys, "!");
		snprintf(out->text[n], sizeof(out->text[n]), "%.*s", (int)len, *keys);
		out->list[n] = out->text[n];
	}
	out->list[n] = NULL;
}

static int check_keys(json_t *body, const char *const *keys, struct err *err)
{
	struct key_names names;
	const char *key;
	json_t *value;

	names_of(keys, &names);
	json_object_foreach (body, key, value) {
		const char *const *n = names.list;
		while (*n && strcmp(*n, key) != 0)
			n++;
		if (*n)
			continue;
		const char *near = strlen(key) < 64 ? text_nearest(key, names.list) : NULL;
		if (near)
			return err_set(err, ERR_INVALID, "unknown key '%.63s'; did you mean '%s'?", key, near);
		return err_set(err, ERR_INVALID, "unknown key '%.63s'", key);
	}
	for (unsigned i = 0; names.list[i]; i++)
		if (strchr(keys[i], '!') && !json_object_get(body, names.list[i]))
			return err_set(err, ERR_INVALID, "the key '%s' is required", names.list[i]);
	return 0;
}

/* NULL in *out only where the route takes no body. */
static int decode_body(const struct rest_route *route, const struct http_exchange *x, json_t **out, struct err *err)
{
	json_t *body = NULL;
	*out = NULL;
	if (!route->keys && x->body_len == 0)
		return 0;
	if (x->body_len == 0)
		body = json_object();
	else if (check_content_type(x, err) || !(body = json_decode(x->body, x->body_len, err)))
		return -1;
	if (!json_is_object(body)) {
		json_decref(body);
		return err_set(err, ERR_INVALID, "the body must be a JSON object");
	}
	if (check_keys(body, route->keys, err)) {
		json_decref(body);
		return -1;
	}
	if (route->keys)
		*out = body;
	else
		json_decref(body);
	return 0;
}

/* ---- the handler ---- */

static void call_route(struct rest *r, struct http_exchange *x, const struct rest_route *route, struct full_call *f)
{
	struct err err;
	f->call.x = x;
	f->call.ctx = r->config->ctx;
	f->rest = r;
	if (decode_body(route, x, &f->call.body, &err)) {
		fail(r, x, &err, NULL);
		return;
	}
	route->handle(&f->call);
	if (!f->answered) {
		/* A fault of ours, and one that would leave the client waiting for ever. */
		err_set(&err, ERR_INTERNAL, "the handler of %s %s did not answer", route->method, route->pattern);
		rest_fail(&f->call, &err);
	}
}

void rest_handle(void *rest, struct http_exchange *x)
{
	struct rest *r = rest;
	struct full_call f = { 0 };
	struct err err;
	char allow[96];
	bool get = strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0;

	r->in_flight++;
	if (serve_own(r, x, get))
		return;
	const struct rest_route *route = find_route(r, x, f.call.param, allow, sizeof(allow));
	if (route) {
		call_route(r, x, route, &f);
	} else if (allow[0]) {
		err_set(&err, ERR_METHOD, "this path takes %s", allow);
		fail(r, x, &err, allow);
	} else {
		err_set(&err, ERR_NOT_FOUND, "there is nothing at this path");
		fail(r, x, &err, NULL);
	}
}

struct http_server *rest_listen_unix(uv_loop_t *loop, const char *path, struct rest *rest, struct err *err)
{
	int fd = sock_listen_unix(path, SOCK_STREAM, err);
	if (fd < 0)
		return NULL;
	struct http_server *s = http_server_start(loop, fd, NULL, rest_handle, rest, err);
	if (s)
		http_server_check_peers(s);
	return s;
}
