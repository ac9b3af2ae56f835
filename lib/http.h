/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 server (RFC 9112) on libuv and llhttp, shared by the proxy's door and the REST interfaces. Strict: obs-fold,
 * a Content-Length beside Transfer-Encoding, two Content-Lengths, bare LF, unknown transfer codings and a missing or
 * doubled Host are 400 and the connection is closed. All bytes of a request are untrusted until decoded here; afterwards:
 * method and field names are tokens, field values have no control characters, target is origin-form and starts with '/'.
 *
 * One request of a connection is handled at a time (pipelined ones wait). A handler answers by http_respond(), at once
 * or later; exactly once. Everything in an exchange belongs to the server and lives until http_respond() returns.
 */
#ifndef LIB_HTTP_H
#define LIB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "lib/err.h"

struct http_limits {
	size_t target_bytes;  /* longer: 414 */
	size_t header_bytes;  /* all fields together, longer: 431 */
	unsigned headers;     /* more fields: 431; at most 128 */
	size_t body_bytes;    /* larger: 413 */
	unsigned head_ms;     /* first byte of a request to the end of its head: 408 */
	unsigned body_ms;     /* end of head to the end of the body: 408 */
	unsigned idle_ms;     /* between requests: closed silently */
	unsigned write_ms;    /* the client does not take its answer: closed */
	unsigned connections; /* more: closed at accept */
};
extern const struct http_limits http_limits_default; /* 8 KiB, 16 KiB, 64, 1 MiB, 10 s, 30 s, 60 s, 30 s, 1024 */

struct http_field {
	const char *name;  /* as sent; compare with strcasecmp */
	const char *value; /* outer white space removed */
};

struct http_exchange {
	const char *method;
	const char *target; /* as sent */
	const char *path;   /* target before '?'; not percent-decoded */
	const char *query;  /* after '?', "" if none */
	const struct http_field *fields;
	unsigned nfields;
	const char *body; /* NUL-terminated copy */
	size_t body_len;
	char peer[64];	      /* address of the client, "unix" for Unix sockets */
	char request_id[27];  /* unique, letters and digits: sent back as PPCE-Request-Id on every answer */
	uint64_t started_ns;  /* CLOCK_MONOTONIC when the first byte of the request arrived */
	uint64_t received_ns; /* when the request was complete */
	void *user;	      /* the handler's own */
	/* Optional: the client closed its side or the connection broke; http_respond() is still owed, and an answer is
	 * still sent where the client can take it. */
	void (*on_gone)(struct http_exchange *x);
};

struct http_answer {
	int status;
	const char *content_type; /* NULL: none */
	const void *body;	  /* copied */
	size_t body_len;
	const struct http_field *fields; /* further fields */
	unsigned nfields;
	bool close;
};
/* Framing fields in `fields` are left out; a field that would break the framing (a name that is no token, a control
 * character in a value) turns the whole answer into a 500. */

typedef void http_handler(void *ctx, struct http_exchange *x);

struct http_server; /* one listening socket */

/* Listens on an already bound and listening descriptor, which it takes over. NULL with err on failure.
 * From then on the process ignores SIGPIPE: a peer that closes early is an error to handle, not a reason to die. */
struct http_server *http_server_start(uv_loop_t *loop, int fd, const struct http_limits *limits, http_handler *handler,
				      void *ctx, struct err *err);
/* Listens on "host:port" (host an IP address, [v6] in brackets; port 0 picks one). The bound address is in `bound`. */
int http_bind_tcp(const char *address, char *bound, size_t bound_size, struct err *err);
/* For Unix sockets: from now on, connections of other users than root and our own are closed at accept. */
void http_server_check_peers(struct http_server *s);
/* Stops accepting, closes idle connections, lets running exchanges end; frees itself when all are closed. */
void http_server_stop(struct http_server *s);

void http_respond(struct http_exchange *x, const struct http_answer *answer);
/* problem+json (RFC 9457): {"type":"about:blank","title","status","code","detail","request_id"}. With retry_after > 0 a
 * Retry-After header. `detail` is shown to the client: no inner details. */
void http_problem(struct http_exchange *x, enum err_kind kind, unsigned retry_after, const char *detail);
/* The same with further fields. */
void http_problem_fields(struct http_exchange *x, enum err_kind kind, unsigned retry_after, const char *detail,
			 const struct http_field *fields, unsigned nfields);
/* Value of a field, case-insensitive, or NULL. */
const char *http_field_get(const struct http_exchange *x, const char *name);
const char *http_status_text(int status);
/* Fields that belong to one connection and are never passed on: Connection, Keep-Alive, Proxy-*, TE, Trailer, Upgrade,
 * Transfer-Encoding, and Content-Length, which is made anew. */
bool http_field_hop_by_hop(const char *name);
/* Is the name a token and the value free of control characters? */
bool http_field_valid(const struct http_field *field);

#endif
