/* SPDX-License-Identifier: MIT
 *
 * How a request and a response are laid out in bytes, from the proxy to the guest and back. The same code decodes on
 * both sides (static inline, no allocation, no dependency), because a guest should distrust its input as well.
 *
 * A message is a fixed head, a table of header fields, then the bytes that the head and table point at. A reference is
 * (offset from the start of the message, length without the NUL); every referenced string is followed by a NUL byte
 * inside the message, so that C code can use it in place. Little-endian, 4-byte aligned. Decoding checks every
 * reference once; a decoded view points into the message and lives as long as it.
 */
#ifndef PPCE_WIRE_H
#define PPCE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define WIRE_VERSION 1u

struct wire_ref {
	uint32_t at, len;
};

struct wire_field { /* a header field; names are lower-case on the wire */
	struct wire_ref name, value;
};

struct wire_request {
	uint32_t version; /* WIRE_VERSION */
	uint32_t fields;  /* number of struct wire_field that follow this head, 0..PPCE_HEADERS_MAX */
	struct wire_ref method, path,
		query; /* path begins with '/', relative to the app, not decoded; query without '?' */
	struct wire_ref app, user, class_name, label, session, purpose, request_id; /* identity: from the proxy alone */
	struct wire_ref body;
};

struct wire_response {
	uint32_t version;
	uint32_t fields;
	uint32_t status;  /* 200..599 */
	uint32_t release; /* 1: the body is a struct release of ppce/store.h and its value; else 0 */
	struct wire_ref body;
};

/* True if `ref` and its NUL lie within [from, size) of `msg`. Computed in 64 bits: no sum can wrap. */
static inline bool wire_ref_valid(const void *msg, size_t size, size_t from, struct wire_ref ref)
{
	if (ref.at < from || (uint64_t)ref.at + ref.len >= size)
		return false;
	return ((const char *)msg)[ref.at + ref.len] == '\0';
}

static inline const char *wire_text(const void *msg, struct wire_ref ref)
{
	return (const char *)msg + ref.at;
}

/* The header table of a decoded message whose head is `head` bytes long. */
static inline const struct wire_field *wire_fields(const void *msg, size_t head)
{
	return (const struct wire_field *)(const void *)((const char *)msg + head);
}

static inline bool wire_table_valid(const void *msg, size_t size, size_t head, uint32_t fields)
{
	if (fields > PPCE_HEADERS_MAX || size < head + fields * sizeof(struct wire_field))
		return false;
	size_t from = head + fields * sizeof(struct wire_field);
	for (uint32_t i = 0; i < fields; i++) {
		const struct wire_field *f = &wire_fields(msg, head)[i];
		if (!wire_ref_valid(msg, size, from, f->name) || !wire_ref_valid(msg, size, from, f->value) ||
		    !f->name.len)
			return false;
	}
	return true;
}

/* Validates a whole request of `size` bytes at `msg` (4-byte aligned). Returns its head, or NULL. Strings may still
 * hold any byte but are NUL-terminated; text fields other than the body contain no NUL before their end is not
 * guaranteed: use the length where it matters. */
static inline const struct wire_request *wire_request_decode(const void *msg, size_t size)
{
	const struct wire_request *r = (const struct wire_request *)msg;
	if (size < sizeof *r || size > PPCE_REQUEST_BYTES_MAX || r->version != WIRE_VERSION)
		return NULL;
	if (!wire_table_valid(msg, size, sizeof *r, r->fields))
		return NULL;
	const struct wire_ref refs[] = { r->method, r->path,	r->query,   r->app,	   r->user, r->class_name,
					 r->label,  r->session, r->purpose, r->request_id, r->body };
	size_t from = sizeof *r + r->fields * sizeof(struct wire_field);
	for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
		if (!wire_ref_valid(msg, size, from, refs[i]))
			return NULL;
	return r;
}

/* The same for a response. The proxy checks names and values of header fields besides (proxy/response.c). */
static inline const struct wire_response *wire_response_decode(const void *msg, size_t size)
{
	const struct wire_response *r = (const struct wire_response *)msg;
	if (size < sizeof *r || size > PPCE_RESPONSE_BYTES_MAX || r->version != WIRE_VERSION)
		return NULL;
	if (r->status < 200 || r->status > 599 || !wire_table_valid(msg, size, sizeof *r, r->fields))
		return NULL;
	if (!wire_ref_valid(msg, size, sizeof *r + r->fields * sizeof(struct wire_field), r->body))
		return NULL;
	return r;
}

#endif
