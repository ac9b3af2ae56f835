/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 client on libuv and llhttp: asynchronous for daemons, with a blocking wrapper for the command line. The
 * peer's answer is untrusted: lengths and times are bounded. Connections to TCP peers are kept and reused (up to
 * 8 idle per address, 30 s).
 */
#ifndef LIB_HTTP_CLIENT_H
#define LIB_HTTP_CLIENT_H

#include "lib/http.h"

struct http_call {	     /* what to send; strings are copied before http_call_start() returns */
	const char *address; /* "unix:/path" or "host:port" (IP address, [v6] in brackets) */
	const char *host;    /* Host field; NULL: "localhost" */
	const char *method;
	const char *target;
	const struct http_field *fields; /* framing fields and Host are left out */
	unsigned nfields;
	const void *body;
	size_t body_len;
	unsigned timeout_ms; /* of the whole call, in steps of about 50 ms; 0: 30 s */
	size_t answer_bytes; /* body larger: ERR_BAD_GATEWAY; 0: 1 MiB */
	/* For TCP peers that are just being started, or come and go: */
	bool until_accepted; /* connecting is tried again, without polling, until it is accepted or the time is up */
	bool once;	     /* its connection is closed before the answer is reported */
	bool reset; /* its connection is closed by a reset: nothing of it is sent later, or kept by the kernel */
	unsigned keepalive_s; /* the connection is probed after so many seconds of silence; 0: never */
};

struct http_reply { /* valid during the callback only; hop-by-hop fields removed */
	int status;
	const struct http_field *fields;
	unsigned nfields;
	const char *body; /* NUL-terminated */
	size_t body_len;
	unsigned connect_us; /* from the start of the call until there was a connection; 0: a kept one was taken */
};

struct http_client;
struct http_pending; /* a call that has not ended */
/* From then on the process ignores SIGPIPE. NULL when memory runs out. */
struct http_client *http_client_new(uv_loop_t *loop);
/* Closes all connections; calls that still run get ERR_UNAVAILABLE. Its memory goes when the loop has run once more. */
void http_client_free(struct http_client *c);

/* From now on every connection is closed after its call. */
void http_client_keep_none(struct http_client *c);

/* Called once for each call, never from within http_call_start(). A call on a kept connection that turns out to be closed
 * is sent again on a new one, once, and only if its method is idempotent and no byte of an answer came.
 * Exactly one of reply and err is non-NULL. err->kind: ERR_UNAVAILABLE (no connection), ERR_TIMEOUT, ERR_BAD_GATEWAY. */
typedef void http_reply_fn(void *ctx, const struct http_reply *reply, const struct err *err);
struct http_pending *http_call_start(struct http_client *c, const struct http_call *call, http_reply_fn *done,
				     void *ctx);
/* Ends it without calling anybody back. To be called at most once, and not when or after the call has ended. */
void http_call_cancel(struct http_pending *call);
/* Makes a connection ahead of the next call to how->address, and keeps it for that, however long it takes; does nothing if
 * one is kept. Of `how` count address, timeout_ms, until_accepted, reset and keepalive_s. Whether it works is told nobody:
 * the call would make its own. */
void http_client_prepare(struct http_client *c, const struct http_call *how);
/* Closes the kept connections to this address and those being made ahead, and the others after their calls: somebody else
 * may be there soon. */
void http_client_forget(struct http_client *c, const char *address);

/* Blocking: body (malloc'd, NUL-terminated) and status out. A problem+json answer becomes an error with its kind and
 * detail. Returns 0 for 2xx; otherwise -1, *body NULL, and *status 0 if there was no answer.
 * Either may be NULL. */
int http_call_sync(const struct http_call *call, int *status, char **body, struct err *err);

#endif
