/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/http_conn.h"
#include "lib/log.h"

static char *put(char *p, const char *text, size_t len)
{
	memcpy(p, text, len);
	return p + len;
}

static char *put_text(char *p, const char *text)
{
	return put(p, text, strlen(text));
}

static char *put_field(char *p, const char *name, const char *value)
{
	p = put_text(p, name);
	p = put(p, ": ", 2);
	p = put_text(p, value);
	return put(p, "\r\n", 2);
}

static char *put_number(char *p, size_t n)
{
	char digits[24];
	size_t i = sizeof(digits);
	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	return put(p, digits + i, sizeof(digits) - i);
}

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* How many bytes the answer takes at most, or 0 when it cannot be sent. */
static size_t answer_size(const struct http_answer *a)
{
	size_t size = 512 + a->body_len;
	struct http_field type = { "Content-Type", a->content_type };

	if (a->status < 200 || a->status > 599)
		return 0;
	if (a->content_type) {
		if (!http_field_valid(&type))
			return 0;
		size += strlen(a->content_type);
	}
	for (unsigned i = 0; i < a->nfields; i++) {
		if (!http_field_valid(&a->fields[i]))
			return 0;
		size += strlen(a->fields[i].name) + strlen(a->fields[i].value) + 4;
	}
	return size;
}

static char *put_fields(char *p, const struct http_answer *a, const struct http_answer_frame *frame)
{
	bool date = false;
	for (unsigned i = 0; i < a->nfields; i++) {
		const struct http_field *f = &a->fields[i];
		if (http_field_hop_by_hop(f->name))
			continue;
		/* One of each: ours says what the log says. */
		if (strcasecmp(f->name, "PPCE-Request-Id") == 0)
			continue;
		date |= strcasecmp(f->name, "Date") == 0;
		p = put_field(p, f->name, f->value);
	}
	if (!date)
		p = put_field(p, "Date", frame->date);
	return p;
}

int http_answer_write(struct buf *out, const struct http_answer *a, const struct http_answer_frame *frame)
{
	size_t size = answer_size(a);
	char *start = size ? buf_reserve(out, size) : NULL, *p = start;
	if (!p)
		return -1;
	p = put(p, "HTTP/1.1 ", 9);
	p = put_number(p, (size_t)a->status);
	p = put(p, " ", 1);
	p = put_text(p, http_status_text(a->status));
	p = put(p, "\r\n", 2);
	if (a->content_type && has_body(a->status))
		p = put_field(p, "Content-Type", a->content_type);
	/* The length of what a GET would have got is not known when a HEAD was answered without a body. */
	if (has_body(a->status) && !(frame->head_request && a->body_len == 0)) {
		p = put(p, "Content-Length: ", 16);
		p = put_number(p, a->body_len);
		p = put(p, "\r\n", 2);
	}
	if (frame->close)
		p = put_field(p, "Connection", "close");
	else if (frame->http10)
		p = put_field(p, "Connection", "keep-alive");
	p = put_fields(p, a, frame);
	p = put_field(p, "PPCE-Request-Id", frame->request_id);
	p = put(p, "\r\n", 2);
	if (has_body(a->status) && !frame->head_request && a->body_len)
		p = put(p, a->body, a->body_len);
	out->len += (size_t)(p - start);
	return 0;
}

static void put_json_string(struct buf *out, const char *text)
{
	buf_append(out, "\"", 1);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else if (c > 0x7f)
			buf_append(out, "?", 1); /* may not be UTF-8, which JSON must be */
		else
			buf_append(out, text, 1);
	}
	buf_append(out, "\"", 1);
}

void http_problem_text(struct buf *out, int status, const char *code, const char *detail, const char *request_id)
{
	buf_puts(out, "{\"type\":\"about:blank\",\"title\":");
	put_json_string(out, http_status_text(status));
	buf_printf(out, ",\"status\":%d,\"code\":", status);
	put_json_string(out, code);
	buf_puts(out, ",\"detail\":");
	put_json_string(out, detail ? detail : "");
	buf_puts(out, ",\"request_id\":");
	put_json_string(out, request_id);
	buf_puts(out, "}\n");
}

void http_problem_fields(struct http_exchange *x, enum err_kind kind, unsigned retry_after, const char *detail,
			 const struct http_field *fields, unsigned nfields)
{
	struct http_field all[8];
	char seconds[16];
	struct buf body = { .cap = 16384 };
	struct http_answer a = { .status = err_http_status(kind), .content_type = "application/problem+json" };

	if (nfields > 7)
		nfields = 7;
	if (nfields)
		memcpy(all, fields, nfields * sizeof(*fields));
	if (retry_after) {
		snprintf(seconds, sizeof(seconds), "%u", retry_after);
		all[nfields++] = (struct http_field){ "Retry-After", seconds };
	}
	http_problem_text(&body, a.status, err_code(kind), detail, x->request_id);
	a.body = body.data;
	a.body_len = body.len;
	a.fields = all;
	a.nfields = nfields;
	http_respond(x, &a);
	buf_free(&body);
}

void http_problem(struct http_exchange *x, enum err_kind kind, unsigned retry_after, const char *detail)
{
	http_problem_fields(x, kind, retry_after, detail, NULL, 0);
}
