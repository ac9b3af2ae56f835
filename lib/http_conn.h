/* SPDX-License-Identifier: MIT
 *
 * Inside of the HTTP server: what http_server.c (socket, deadlines, life), http_conn.c (one connection's requests) and
 * http_answer.c (bytes of an answer) share. Nobody else includes this. Everything runs on the loop's thread.
 */
#ifndef LIB_HTTP_CONN_H
#define LIB_HTTP_CONN_H

#include "lib/http_parse.h"

enum conn_state {
	CONN_IDLE,     /* between requests, no byte of the next one yet */
	CONN_HEAD,     /* part of a head is here */
	CONN_BODY,     /* the head is decoded, the body is not complete */
	CONN_HANDLING, /* the handler owes an answer */
	CONN_WRITING,  /* an answer is on its way out */
	CONN_LINGER,   /* refused: what still comes in is thrown away so that the client can read why */
	CONN_CLOSED,   /* uv_close was called */
};

struct http_conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct http_server *server;
	struct http_conn *prev, *next;

	enum conn_state state;
	bool processing; /* conn_process is on the stack */
	bool reading, read_end, handle_gone;
	bool close_after;   /* the answer now being made is the last one */
	bool refused;	    /* it answers bytes that were not a request we take */
	bool exchange_open; /* http_respond is owed */
	uint64_t deadline;  /* uv_now() time, 0: none */
	size_t queue_seen;  /* unsent bytes when the write deadline was last renewed */
	size_t discarded;   /* while lingering */

	/* Bytes that came in: [start, end) of `in`. While an exchange is open they do not move, since it points there. */
	char *in;
	size_t in_size, start, end;
	struct http_scan scan;
	struct http_message msg;
	struct buf body;
	struct buf path; /* the path of a target with a query */
	struct buf out;
	struct http_exchange x;
	struct http_field fields[]; /* limits.headers of them */
};

struct http_server {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	uv_timer_t sweep; /* one coarse timer for all deadlines; runs while there are connections */
	uv_loop_t *loop;
	struct http_limits limits;
	struct http_bounds bounds;
	http_handler *handler;
	void *ctx;
	struct http_conn *conns;
	unsigned nconns;
	unsigned open_handles; /* of our own: the listener and the timer */
	bool is_unix, check_peers, stopping;
	char date[40]; /* value of the Date field, good for date_second */
	int64_t date_second;
};

/* http_conn.c */
void conn_start(struct http_conn *c); /* the handle is connected */
void conn_close(struct http_conn *c); /* at once; frees itself later, not before http_respond if that is owed */
void conn_expire(struct http_conn *c, uint64_t now); /* the deadline passed */
/* http_server.c */
void server_forget(struct http_conn *c); /* the connection is gone for good */
const char *server_date(struct http_server *s);

/* http_answer.c: writes the answer's bytes after what is in `out`. -1 if it cannot be sent as it is. */
struct http_answer_frame {
	const char *request_id, *date;
	bool head_request, http10, close;
};
int http_answer_write(struct buf *out, const struct http_answer *a, const struct http_answer_frame *frame);
/* The JSON text of a problem. */
void http_problem_text(struct buf *out, int status, const char *code, const char *detail, const char *request_id);

/* http_fields.c */
void http_request_id(char out[27]);

#endif
