/* SPDX-License-Identifier: MIT
 *
 * Requests as the app sees them. */
#include "guest/app.h"

#include <string.h>
#include <strings.h>

/* C code takes these as strings: a NUL inside would hide the rest from it. */
static int take_text(const void *msg, struct wire_ref ref, const char **out)
{
	*out = wire_text(msg, ref);
	return strlen(*out) == ref.len ? 0 : -1;
}

static int take_identity(const struct wire_request *w, struct ppce_request *req)
{
	if (take_text(w, w->app, &req->app) < 0 || take_text(w, w->user, &req->user) < 0 ||
	    take_text(w, w->class_name, &req->class_name) < 0 || take_text(w, w->label, &req->label) < 0)
		return -1;
	if (take_text(w, w->session, &req->session) < 0 || take_text(w, w->purpose, &req->purpose) < 0)
		return -1;
	return take_text(w, w->request_id, &req->id);
}

int app_request_view(const struct wire_request *w, struct ppce_header *headers, struct ppce_request *req)
{
	const struct wire_field *f = wire_fields(w, sizeof *w);

	memset(req, 0, sizeof *req);
	if (take_identity(w, req) < 0 || take_text(w, w->method, &req->method) < 0 ||
	    take_text(w, w->path, &req->path) < 0 || take_text(w, w->query, &req->query) < 0)
		return -1;
	for (uint32_t i = 0; i < w->fields; i++)
		if (take_text(w, f[i].name, &headers[i].name) < 0 || take_text(w, f[i].value, &headers[i].value) < 0)
			return -1;
	req->headers = headers;
	req->nheaders = w->fields;
	req->body = wire_text(w, w->body);
	req->body_len = w->body.len;
	return req->path[0] == '/' && req->method[0] ? 0 : -1;
}

const char *ppce_header_get(const struct ppce_request *req, const char *name)
{
	for (size_t i = 0; i < req->nheaders; i++)
		if (strcasecmp(req->headers[i].name, name) == 0)
			return req->headers[i].value;
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one character at *s, which ends before `end`; -1 for a bad or NUL escape. */
static int decode_one(const char **s, const char *end)
{
	char c = *(*s)++;

	if (c == '+')
		return ' ';
	if (c != '%')
		return (unsigned char)c;
	if (end - *s < 2)
		return -1;
	int high = hex_digit((*s)[0]), low = hex_digit((*s)[1]);
	*s += 2;
	if (high < 0 || low < 0 || (high | low) == 0)
		return -1;
	return high << 4 | low;
}

static int decode(const char *s, const char *end, char *out, size_t size)
{
	size_t n = 0;

	while (s < end) {
		int c = decode_one(&s, end);
		if (c < 0 || n + 1 >= size || n >= INT32_MAX - 1)
			return -1;
		out[n++] = (char)c;
	}
	if (!size)
		return -1;
	out[n] = '\0';
	return (int)n;
}

int ppce_query_get(const struct ppce_request *req, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);

	for (const char *s = req->query; *s;) {
		const char *end = s + strcspn(s, "&");
		if ((size_t)(end - s) >= name_len && memcmp(s, name, name_len) == 0) {
			if (s + name_len == end)
				return decode(end, end, out, size);
			if (s[name_len] == '=')
				return decode(s + name_len + 1, end, out, size);
		}
		s = *end ? end + 1 : end;
	}
	return -1;
}
