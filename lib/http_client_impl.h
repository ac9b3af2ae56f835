/* SPDX-License-Identifier: MIT
 *
 * Inside the HTTP client: what its parts share. A call waits for nobody: it takes a kept connection or opens one, so every
 * connection has at most one call.
 *
 *	http_client.c		calls: begin, end, deadlines
 *	http_client_connect.c	a connection for a call, and trying for it again
 *	http_client_conn.c	sending and receiving on it
 *	http_client_pool.c	its life, and keeping it for the next call
 */
#ifndef LIB_HTTP_CLIENT_IMPL_H
#define LIB_HTTP_CLIENT_IMPL_H

#include "lib/http_client.h"
#include "lib/http_parse.h"

enum { HTTP_ADDRESS_SIZE = 128, HTTP_BUCKETS = 256 };

struct http_pending { /* a call */
	struct http_pending *prev, *next;
	struct http_client *client;
	struct conn *conn; /* NULL: between two attempts to connect, or failed */
	http_reply_fn *done;
	void *ctx;
	char address[HTTP_ADDRESS_SIZE];
	struct buf request;
	size_t answer_bytes;
	uint64_t deadline;
	unsigned timeout_ms, keepalive_s;
	bool head_request, idempotent, retried, until_accepted, once, reset;
	bool ahead;  /* there is no request: only the connection is wanted */
	bool failed; /* before it had a connection; the next tick reports `err` */
	struct err err;
	uint64_t started_ns, connected_ns;
	uint64_t
		attempt_at; /* loop time at which this attempt to connect is given up, or the next is made; 0: neither */
	unsigned gap_ms, patience_ms;
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
	struct conn *prev, *next; /* in its bucket */
	struct http_client *client;
	struct http_pending *call; /* NULL: kept for later, or closing */
	char address[HTTP_ADDRESS_SIZE];
	uint64_t idle_until; /* 0: not to be taken for another call; UINT64_MAX: made ahead, kept until it is */
	bool is_unix, reset, reused, closed, forgotten, writing, write_failed, answered;
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
	uv_timer_t tick;		  /* coarse: deadlines of calls, age of kept connections */
	uv_timer_t attempts;		  /* exact: attempts to connect */
	struct conn *conns[HTTP_BUCKETS]; /* by hash of the address */
	struct http_pending *calls;
	unsigned nconns, nidle, open_timers;
	bool freed, keep_none;
};

/* --- pool --- */
struct conn *client_conn_new(struct http_client *c, const char *address);
void client_conn_close(struct conn *k);
void client_conn_close_all(struct http_client *c);
struct conn *client_conn_find_idle(struct http_client *c, const char *address);
bool client_conn_may_keep(const struct conn *k); /* after a complete answer */
void client_conn_keep(struct conn *k);
void client_conn_keep_ahead(struct conn *k); /* or close it, if there are too many */
void client_conn_take(struct conn *k);	     /* not kept any more */
/* Closes what has been kept too long; false if no more of the rest ever will be. */
bool client_conn_sweep(struct http_client *c, uint64_t now);
void http_client_free_if_done(struct http_client *c);

/* --- conn --- */
void client_conn_send(struct conn *k); /* the request of its call */
/* The connection failed. The call is sent again where nothing can have been done by it, else ended. */
void client_conn_fail(struct conn *k, enum err_kind kind, const char *why);
void client_conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out);
void client_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

/* --- connect --- */
/* Gives the call a connection, or has one tried for. On failure the call is as before. */
int call_send(struct http_pending *call, struct err *err);
void attempts_on_time(uv_timer_t *timer);

/* --- calls --- */
void call_end(struct http_pending *call, const struct http_reply *reply, const struct err *err);

#endif
