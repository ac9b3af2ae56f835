/* SPDX-License-Identifier: MIT
 *
 * Whatever an instance answers is untrusted: here its bytes become a struct response, or are refused. Pure.
 */
#ifndef PROXY_RESPONSE_H
#define PROXY_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include <ppce/limits.h>
#include <ppce/store.h>
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/http.h"

/* Names and values of all fields together. Needed besides the bound on the message, as fields may point at the same
 * bytes of it. */
#define RESPONSE_HEADER_BYTES 65536u

struct response {
	int status; /* 200..599 */
	struct http_field fields[PPCE_HEADERS_MAX];
	unsigned nfields;
	const void *body;
	size_t body_len;
	bool release; /* the body claims to be a struct release and its value */
};

enum response_verdict {
	RESPONSE_KEEP, /* goes to the client */
	RESPONSE_DROP, /* well-formed, but not for an app to say: framing, hop-by-hop, PPCE-*, the session's cookie */
	RESPONSE_BAD,  /* name is no token, or value holds a control character */
};
/* name and value: NUL-terminated at the given length, which may hide further NULs. */
enum response_verdict response_field(const char *name, size_t name_len, const char *value, size_t value_len);

/* Decodes the payload of a FRAME_RESPONSE: `size` bytes at `msg`, 4-byte aligned, which must not change meanwhile.
 * *out points into msg. -1 (ERR_BAD_GATEWAY): err says what was wrong, for the log. */
int response_decode(const void *msg, size_t size, struct response *out, struct err *err);
/* A response that claims to be a release: checks that the store made it for this very request, and makes *r the answer
 * that is delivered in its place: the value and nothing else of the app's. *head gets the release's head; its label
 * and certificate are terminated. -1 (ERR_BAD_GATEWAY): not authentic, or another request's. */
int response_released(struct response *r, const uint8_t key[TICKET_KEY_BYTES], const char *request_id,
		      struct release *head, struct err *err);
/* Moves everything that *r points at into `keep`, whose content is replaced. -1: does not fit its cap, or no memory. */
int response_keep(struct response *r, struct buf *keep);
/* The same checks for an answer by HTTP. It claims to be a release by the field PPCE-Release, which goes no further. */
int response_from_http(const struct http_field *fields, unsigned nfields, int status, const char *body, size_t body_len,
		       struct response *out, struct err *err);

#endif
