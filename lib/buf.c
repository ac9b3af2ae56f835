/* SPDX-License-Identifier: MIT */
#include "lib/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `len` more bytes and one spare for buf_text's NUL. No sum can wrap: len <= cap - b->len first. */
static int grow(struct buf *b, size_t len)
{
	if (b->failed)
		return -1;
	if (b->len > b->cap || len > b->cap - b->len || b->cap == SIZE_MAX)
		goto fail;
	size_t need = b->len + len + 1;
	if (need <= b->size)
		return 0;
	size_t size = b->size > SIZE_MAX / 2 ? need : b->size * 2;
	if (size < 64)
		size = 64;
	if (size > b->cap + 1)
		size = b->cap + 1;
	if (size < need)
		size = need;
	char *data = realloc(b->data, size);
	if (!data)
		goto fail;
	b->data = data;
	b->size = size;
	return 0;
fail:
	b->failed = true;
	return -1;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	if (grow(b, len) < 0)
		return -1;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buf_puts(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	int rc = -1;
	if (n < 0) {
		b->failed = true;
	} else if (grow(b, (size_t)n) == 0) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
		rc = 0;
	}
	va_end(again);
	return rc;
}

char *buf_reserve(struct buf *b, size_t len)
{
	return grow(b, len) < 0 ? NULL : b->data + b->len;
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		b->len = 0;
		return;
	}
	if (len)
		memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

const char *buf_text(struct buf *b)
{
	if (b->failed || !b->len)
		return "";
	b->data[b->len] = '\0'; /* grow() keeps one spare byte */
	return b->data;
}

void buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->size = 0;
	b->failed = false;
}
