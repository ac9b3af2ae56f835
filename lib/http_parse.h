/* SPDX-License-Identifier: MIT
 *
 * Decoding of HTTP/1.1 messages, shared by the server and the client. Pure: no I/O, no clock. Two readers must agree on
 * every head: this one, which checks each line byte by byte and finds the fields, and llhttp in strict mode, which
 * follows the framing. What either refuses is refused.
 *
 *   http_scan()          waits for a whole head, bounds its length
 *   http_message_head()  decodes it once, in place
 *   http_message_body()  decodes the body bytes that follow
 *
 * All input is untrusted. Errors carry the kind that decides the status: ERR_INVALID, ERR_URI_TOO_LONG,
 * ERR_HEADERS_LARGE, ERR_TOO_LARGE. Texts name the fault and never contain the peer's bytes.
 */
#ifndef LIB_HTTP_PARSE_H
#define LIB_HTTP_PARSE_H

#include <llhttp.h>

#include "lib/buf.h"
#include "lib/http.h"

#define HTTP_FIELDS_MAX 128

struct http_bounds {
	size_t first_line;   /* bytes of the request or status line */
	size_t header_bytes; /* all field lines together */
	unsigned headers;    /* at most HTTP_FIELDS_MAX */
};

/* Progress of the search for the end of a head. Start with all zero. */
struct http_scan {
	size_t begin; /* where the head begins: after one leading empty line */
	size_t line;  /* where the current line begins */
	size_t pos;   /* everything before was looked at; when done, the first byte after the head */
	size_t first; /* end of the first line with its CR LF */
	unsigned lines;
};

/* Looks at in[0..len), of which in[0..s->pos) is unchanged since the last call. 1: the head is in[s->begin..s->pos);
 * 0: more bytes are needed; -1: refused. */
int http_scan(struct http_scan *s, const char *in, size_t len, const struct http_bounds *bounds, struct err *err);

enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_END };

struct http_message {
	/* the head: pointers into the bytes given to http_message_head() */
	const char *method; /* requests */
	const char *target;
	int status; /* answers */
	const struct http_field *fields;
	unsigned nfields;
	bool http10, head_request, keep_alive, expect_continue;
	enum http_framing framing;
	uint64_t length; /* HTTP_BODY_LENGTH: bytes still to come */

	/* private */
	llhttp_t ll;
	bool request, head_seen, complete;
	bool refused; /* a callback filled err */
	uint16_t ll_flags;
	uint64_t ll_length;
	uint64_t wire; /* bytes of a chunked body so far, framing included */
	char last;     /* the last of them */
	struct buf *body;
	size_t body_max;
	struct err *err;
};

/* Decodes bytes[0..len), which http_scan() found to be a head, and writes NULs into it. `fields` has room for the
 * number of fields that the scan allowed. For an answer, `head_request` says that it answers a HEAD. */
int http_request_head(struct http_message *m, char *bytes, size_t len, struct http_field *fields, struct err *err);
int http_answer_head(struct http_message *m, char *bytes, size_t len, bool head_request, struct http_field *fields,
		     struct err *err);

/* Decodes body bytes into `body`, at most body_max in all, and says in *used how many belong to this message. 1: the
 * body is complete; 0: more bytes are needed (all were used); -1: refused. */
int http_message_body(struct http_message *m, const char *bytes, size_t len, size_t *used, struct buf *body,
		      size_t body_max, struct err *err);

/* "192.0.2.1:80" or "[2001:db8::1]:80", no names. */
int http_address_parse(const char *text, struct sockaddr_storage *out, struct err *err);

/* Character classes, also used for what is sent. */
bool http_is_token(const char *s, size_t len);
bool http_is_value(const char *s, size_t len);
/* Does a comma-separated list have this word? Case-insensitive. */
bool http_list_has(const char *list, const char *word);

#endif
