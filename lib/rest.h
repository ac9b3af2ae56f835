/* SPDX-License-Identifier: MIT
 *
 * A small REST layer over lib/http.h: a route table, JSON bodies, problem+json, and the endpoints every daemon has:
 * /livez, /readyz, /metrics (Prometheus text) and /openapi.json (made from the table).
 */
#ifndef LIB_REST_H
#define LIB_REST_H

#include <jansson.h>

#include "lib/buf.h"
#include "lib/http.h"

struct rest;
struct rest_call {
	struct http_exchange *x;
	void *ctx;
	json_t *body;	    /* decoded object when the route takes one, else NULL; owned by the layer */
	char param[3][128]; /* values of {name} parts of the pattern, percent-decoded, in order */
};

struct rest_route {
	const char *method;
	const char *pattern;			/* "/v1/images/{name}" */
	void (*handle)(struct rest_call *call); /* must answer, now or later, by rest_reply/rest_fail */
	const char *summary;			/* for openapi.json */
	const char *const *
		keys; /* NULL: no body (an empty object passes). Else allowed keys of the JSON object, NULL-terminated; "name!" required;
				  * an unknown key is 400 and names the nearest allowed one */
};

struct rest_config {
	const char *title;		 /* "ppce-vmmd" */
	const struct rest_route *routes; /* ends with method NULL */
	void *ctx;
	bool (*ready)(void *ctx, struct err *why);   /* NULL: always ready */
	void (*metrics)(void *ctx, struct buf *out); /* NULL: none beyond the built-in ones */
};

/* An http_handler whose ctx is a struct rest. Copies nothing: `config` must live as long. */
struct rest *rest_new(const struct rest_config *config);
void rest_free(struct rest *r);
void rest_handle(void *rest, struct http_exchange *x);
/* Serves it on a Unix socket at `path`, with the default limits; only root and our own user may connect. The socket
 * file stays behind when the server is stopped. */
struct http_server *rest_listen_unix(uv_loop_t *loop, const char *path, struct rest *rest, struct err *err);

void rest_reply(struct rest_call *call, int status, json_t *body); /* steals body; NULL: empty answer */
/* The text of ERR_INTERNAL and ERR_CONFIG goes to the log, and to the client only over a Unix socket. */
void rest_fail(struct rest_call *call, const struct err *err);
/* The same with Retry-After in seconds (>= 1); rest_fail() says 1 where the kind is of the passing sort. */
void rest_fail_after(struct rest_call *call, const struct err *err, unsigned seconds);

/* A handler that answers later keeps the call alive with this copy; rest_reply/rest_fail free it. */
struct rest_call *rest_defer(struct rest_call *call);

/* JSON helpers. Decoding is capped at depth 16 and refuses duplicate keys and NUL in strings. */
json_t *json_decode(const char *bytes, size_t len, struct err *err);
/* Optional string member: copies into out (size); absent: "" ; wrong type or too long: ERR_INVALID naming the key. */
int json_get_text(const json_t *object, const char *key, char *out, size_t size, struct err *err);
int json_get_int(const json_t *object, const char *key, long long min, long long max, long long fallback,
		 long long *out, struct err *err);
int json_get_bool(const json_t *object, const char *key, bool fallback, bool *out, struct err *err);
/* Optional member that is one of `words` (NULL-terminated): its index, `fallback` when absent. */
int json_get_word(const json_t *object, const char *key, const char *const *words, uint32_t fallback, uint32_t *out,
		  struct err *err);
/* The nearest of `names` (NULL-terminated) to a mistyped word within edit distance 3, or NULL. */
const char *text_nearest(const char *word, const char *const *names);

#endif
