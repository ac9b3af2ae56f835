/* SPDX-License-Identifier: MIT
 *
 * The encoder of requests to instances: one contiguous buffer with the frame header in front, for one write. Pure.
 */
#ifndef PROXY_ENCODE_H
#define PROXY_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include <ppce/ticket.h>
#include "lib/buf.h"
#include "proxy/headers.h"

struct encode_request {
	const char *method, *path, *query;
	size_t path_len;
	const char *app, *user, *class_name, *label, *session, *purpose, *request_id; /* identity: ours alone */
	const struct headers_field *fields;
	size_t nfields; /* at most PPCE_HEADERS_MAX */
	const char *body;
	size_t body_len;
};

/* Bytes of the encoded message, without the frame header. Cannot overflow: each part is bounded by the HTTP server. */
size_t encode_size(const struct encode_request *r);
/* Replaces the content of `out` by frame header, ticket (NULL: none) and message; names become lower-case. -1: passes
 * out->cap. */
int encode_frame(const struct encode_request *r, const struct ticket *ticket, uint32_t id, uint32_t deadline_ms,
		 struct buf *out);

#endif
