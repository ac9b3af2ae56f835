/* SPDX-License-Identifier: MIT */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The one mapping from kinds to what the outside sees; err.h shows it as comments. */
static const struct {
	const char *code;
	int status, exit_code;
} kinds[ERR_KINDS] = {
	[ERR_NONE] = { "ok", 200, 0 },
	[ERR_INTERNAL] = { "internal", 500, 1 },
	[ERR_INVALID] = { "invalid", 400, 2 },
	[ERR_UNAUTHENTICATED] = { "unauthenticated", 401, 4 },
	[ERR_DENIED] = { "denied", 403, 4 },
	[ERR_NOT_FOUND] = { "not-found", 404, 3 },
	[ERR_METHOD] = { "method-not-allowed", 405, 2 },
	[ERR_TIMEOUT_CLIENT] = { "request-timeout", 408, 7 },
	[ERR_CONFLICT] = { "conflict", 409, 6 },
	[ERR_TOO_LARGE] = { "too-large", 413, 2 },
	[ERR_URI_TOO_LONG] = { "uri-too-long", 414, 2 },
	[ERR_TOO_MANY] = { "too-many-requests", 429, 6 },
	[ERR_HEADERS_LARGE] = { "headers-too-large", 431, 2 },
	[ERR_BAD_GATEWAY] = { "instance-failed", 502, 1 },
	[ERR_UNAVAILABLE] = { "unavailable", 503, 5 },
	[ERR_FULL] = { "full", 503, 6 },
	[ERR_TIMEOUT] = { "deadline", 504, 7 },
	[ERR_CONFIG] = { "bad-config", 500, 78 },
};

/* A kind out of range can only be our own mistake, or an integer from a peer that was cast unchecked. */
static enum err_kind known(enum err_kind kind)
{
	return (unsigned)kind < ERR_KINDS ? kind : ERR_INTERNAL;
}

/* Texts may quote a peer's bytes: control characters would break "one line". */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/* Formats into a buffer of its own first: the arguments may point into err->text. */
static void set_text(struct err *err, const char *fmt, va_list args, const char *tail)
{
	char text[sizeof err->text];
	int n = vsnprintf(text, sizeof text, fmt, args);
	if (n < 0)
		text[n = 0] = '\0';
	if (tail && (size_t)n < sizeof text)
		snprintf(text + n, sizeof text - (size_t)n, ": %s", tail);
	make_printable(text);
	memcpy(err->text, text, sizeof text);
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	if (!err)
		return -1;
	va_list args;
	va_start(args, fmt);
	set_text(err, fmt, args, NULL);
	va_end(args);
	err->kind = known(kind);
	return -1;
}

int err_errno(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	int saved = errno;
	if (!err)
		return -1;
	char reason[128];
	const char *text = strerror_r(saved, reason, sizeof reason);
	va_list args;
	va_start(args, fmt);
	set_text(err, fmt, args, text);
	va_end(args);
	err->kind = known(kind);
	errno = saved;
	return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -1;
	char old[sizeof err->text];
	memcpy(old, err->text, sizeof old);
	old[sizeof old - 1] = '\0';
	va_list args;
	va_start(args, fmt);
	set_text(err, fmt, args, old);
	va_end(args);
	return -1;
}

int err_http_status(enum err_kind kind)
{
	return kinds[known(kind)].status;
}

int err_exit_code(enum err_kind kind)
{
	return kinds[known(kind)].exit_code;
}

const char *err_code(enum err_kind kind)
{
	return kinds[known(kind)].code;
}

enum err_kind err_from_code(const char *code)
{
	for (unsigned i = ERR_INTERNAL; code && i < ERR_KINDS; i++)
		if (!strcmp(kinds[i].code, code))
			return (enum err_kind)i;
	return ERR_INTERNAL;
}
