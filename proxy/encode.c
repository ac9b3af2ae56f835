/* SPDX-License-Identifier: MIT */
#include "proxy/encode.h"

#include <ppce/frame.h>
#include <ppce/wire.h>
#include <string.h>

#define TEXTS 10 /* references of struct wire_request other than the body */

struct text {
	const char *at;
	size_t len;
};

/* In the order of the references in struct wire_request. */
static void texts(const struct encode_request *r, struct text out[TEXTS])
{
	const char *plain[] = { r->method,     NULL,	 r->query,   r->app,	 r->user,
				r->class_name, r->label, r->session, r->purpose, r->request_id };
	_Static_assert(sizeof plain / sizeof *plain == TEXTS, "one entry per reference");
	for (size_t i = 0; i < TEXTS; i++)
		out[i] = (struct text){ plain[i], plain[i] ? strlen(plain[i]) : 0 };
	out[1] = (struct text){ r->path, r->path_len };
}

static size_t size_of(const struct encode_request *r, const struct text t[TEXTS])
{
	size_t size = sizeof(struct wire_request) + r->nfields * sizeof(struct wire_field);
	for (size_t i = 0; i < TEXTS; i++)
		size += t[i].len + 1;
	for (size_t i = 0; i < r->nfields; i++)
		size += r->fields[i].name_len + r->fields[i].value_len + 2;
	return size + r->body_len + 1;
}

size_t encode_size(const struct encode_request *r)
{
	struct text t[TEXTS];
	texts(r, t);
	return size_of(r, t);
}

/* Appends text and its NUL at *at of the message and moves on. */
static struct wire_ref put(char *msg, uint32_t *at, const char *text, size_t len)
{
	struct wire_ref ref = { *at, (uint32_t)len };
	if (len > 0)
		memcpy(msg + *at, text, len);
	msg[*at + len] = '\0';
	*at += (uint32_t)len + 1;
	return ref;
}

static void lower(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
}

static void fill(const struct encode_request *r, const struct text t[TEXTS], char *msg)
{
	struct wire_request head = { .version = WIRE_VERSION, .fields = (uint32_t)r->nfields };
	struct wire_ref *refs[TEXTS] = {
		&head.method,	  &head.path,  &head.query,   &head.app,     &head.user,
		&head.class_name, &head.label, &head.session, &head.purpose, &head.request_id
	};
	uint32_t at = (uint32_t)(sizeof head + r->nfields * sizeof(struct wire_field));
	for (size_t i = 0; i < TEXTS; i++)
		*refs[i] = put(msg, &at, t[i].at, t[i].len);
	for (size_t i = 0; i < r->nfields; i++) {
		const struct headers_field *f = &r->fields[i];
		struct wire_field field = { .name = put(msg, &at, f->name, f->name_len) };
		lower(msg + field.name.at, field.name.len);
		field.value = put(msg, &at, f->value, f->value_len);
		memcpy(msg + sizeof head + i * sizeof field, &field, sizeof field);
	}
	head.body = put(msg, &at, r->body, r->body_len);
	memcpy(msg, &head, sizeof head);
}

int encode_frame(const struct encode_request *r, const struct ticket *ticket, uint32_t id, uint32_t deadline_ms,
		 struct buf *out)
{
	struct text t[TEXTS];
	texts(r, t);
	size_t size = size_of(r, t), front = sizeof(struct frame_header) + (ticket ? sizeof *ticket : 0);
	struct frame_header h = { .magic = FRAME_MAGIC,
				  .type = FRAME_REQUEST,
				  .flags = ticket ? FRAME_FLAG_TICKET : 0,
				  .length = (uint32_t)size,
				  .id = id,
				  .code = deadline_ms };
	if (size > PPCE_REQUEST_BYTES_MAX)
		return -1;
	out->len = 0;
	out->failed = false;
	char *at = buf_reserve(out, front + size);
	if (!at)
		return -1;
	memcpy(at, &h, sizeof h);
	if (ticket)
		memcpy(at + sizeof h, ticket, sizeof *ticket);
	fill(r, t, at + front);
	out->len = front + size;
	return 0;
}
