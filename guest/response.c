/* SPDX-License-Identifier: MIT
 *
 * Responses. The body is written to its final place in the response buffer at once; head, field table and strings of the
 * header fields are put around it at the end: head, table (room for the largest), body, strings. */
#include "guest/app.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BODY_AT (sizeof(struct wire_response) + PPCE_HEADERS_MAX * sizeof(struct wire_field))

void app_response_begin(struct ppce_response *res, void *buffer, size_t size)
{
	res->buffer = buffer;
	res->size = size;
	res->body_len = res->text_len = 0;
	res->status = 0;
	res->failed = res->release = false;
	res->nfields = 0;
}

static int fail(struct ppce_response *res)
{
	res->failed = true;
	return -1;
}

/* Bytes that the body may still grow by: the strings and the body's NUL must fit behind it. */
static size_t room(const struct ppce_response *res)
{
	size_t taken = BODY_AT + res->body_len + 1 + res->text_len;

	return res->size > taken ? res->size - taken : 0;
}

int ppce_status(struct ppce_response *res, int status)
{
	if (status < 200 || status > 599 || res->release)
		return fail(res);
	res->status = status;
	return 0;
}

int ppce_body(struct ppce_response *res, const void *data, size_t len)
{
	if (res->failed || res->release || len > room(res))
		return fail(res);
	memcpy(res->buffer + BODY_AT + res->body_len, data, len);
	res->body_len += len;
	return 0;
}

static int append_formatted(struct ppce_response *res, const char *fmt, va_list ap)
{
	size_t space = room(res);

	if (res->failed || res->release || !space)
		return fail(res);
	int n = vsnprintf((char *)res->buffer + BODY_AT + res->body_len, space, fmt, ap);
	if (n < 0 || (size_t)n >= space)
		return fail(res);
	res->body_len += (size_t)n;
	return 0;
}

int ppce_printf(struct ppce_response *res, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = append_formatted(res, fmt, ap);
	va_end(ap);
	return r;
}

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		      strchr("!#$%&'*+-.^_`|~", *s)))
			return false;
	return true;
}

static bool is_field_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

/* The connection belongs to the proxy: an app has no say in how its answer is framed. */
static bool is_framing(const char *name)
{
	static const char *const names[] = { "connection", "content-length",	"keep-alive", "te",
					     "trailer",	   "transfer-encoding", "upgrade" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static struct wire_ref keep_text(struct ppce_response *res, const char *s, size_t len, bool lower)
{
	struct wire_ref ref = { (uint32_t)res->text_len, (uint32_t)len };
	char *to = res->text + res->text_len;

	for (size_t i = 0; i < len; i++)
		to[i] = lower && s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i];
	to[len] = '\0';
	res->text_len += len + 1;
	return ref;
}

/* The field to write to: a new one, or for content-type, of which there is only one, the one already there. */
static struct wire_field *place(struct ppce_response *res, const char *name)
{
	if (strcasecmp(name, "content-type") == 0)
		for (uint32_t i = 0; i < res->nfields; i++)
			if (strcmp(res->text + res->fields[i].name.at, "content-type") == 0)
				return &res->fields[i];
	return res->nfields < PPCE_HEADERS_MAX ? &res->fields[res->nfields++] : NULL;
}

int ppce_header_add(struct ppce_response *res, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	if (res->failed || res->release || !is_token(name) || is_framing(name) || !is_field_value(value))
		return fail(res);
	if (name_len + value_len + 2 > APP_HEADER_BYTES - res->text_len || name_len + value_len + 2 > room(res))
		return fail(res);
	struct wire_field *f = place(res, name);
	if (!f)
		return fail(res);
	f->name = keep_text(res, name, name_len, true);
	f->value = keep_text(res, value, value_len, false);
	return 0;
}

int ppce_reply(struct ppce_response *res, int status, const char *content_type, const char *fmt, ...)
{
	va_list ap;

	if (res->failed || res->release)
		app_response_begin(res, res->buffer, res->size);
	res->body_len = 0;
	if (ppce_status(res, status) < 0 || (content_type && ppce_header_add(res, "content-type", content_type) < 0))
		return -1;
	va_start(ap, fmt);
	int r = append_formatted(res, fmt, ap);
	va_end(ap);
	return r;
}

int app_response_release(struct ppce_response *res, const void *bytes, size_t len)
{
	if (BODY_AT + 1 > res->size || len > res->size - BODY_AT - 1)
		return -1;
	app_response_begin(res, res->buffer, res->size);
	memcpy(res->buffer + BODY_AT, bytes, len);
	res->body_len = len;
	res->status = 200;
	res->release = true;
	return 0;
}

size_t app_response_finish(struct ppce_response *res, int handler_result)
{
	if (res->failed || handler_result || !res->status) {
		ppce_log(PPCE_ERROR, "answered 500: %s",
			 res->failed	  ? "the response was too large or had a field that is not valid"
			 : handler_result ? "the handler reported a failure"
					  : "the handler set no status");
		app_response_begin(res, res->buffer, res->size);
		res->status = 500;
	}
	struct wire_response *w = (struct wire_response *)(void *)res->buffer;
	struct wire_field *table = (struct wire_field *)(void *)(w + 1);
	uint32_t strings_at = (uint32_t)(BODY_AT + res->body_len + 1);

	*w = (struct wire_response){ .version = WIRE_VERSION,
				     .fields = res->nfields,
				     .status = (uint32_t)res->status,
				     .release = res->release,
				     .body = { (uint32_t)BODY_AT, (uint32_t)res->body_len } };
	memset(table, 0, PPCE_HEADERS_MAX * sizeof *table); /* the room that is not used carries nothing old out */
	for (uint32_t i = 0; i < res->nfields; i++) {
		table[i] = res->fields[i];
		table[i].name.at += strings_at;
		table[i].value.at += strings_at;
	}
	res->buffer[BODY_AT + res->body_len] = '\0';
	memcpy(res->buffer + strings_at, res->text, res->text_len);
	return strings_at + res->text_len;
}
