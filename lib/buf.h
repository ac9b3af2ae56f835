/* SPDX-License-Identifier: MIT
 *
 * A growable byte buffer with a hard cap. Start with {.cap = N}; freed by buf_free. When an append would pass the cap
 * or memory runs out, nothing is appended, .failed is set and stays set: check once at the end.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL while empty; not NUL-terminated unless buf_text() was called */
	size_t len, size, cap;
	bool failed;
};

int buf_append(struct buf *b, const void *data, size_t len); /* 0 or -1 */
int buf_puts(struct buf *b, const char *text);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *buf_reserve(struct buf *b, size_t len); /* room for len more bytes at the end, or NULL; add to .len yourself */
void buf_consume(struct buf *b, size_t len);  /* drops the first len bytes, len <= b->len */
const char *buf_text(struct buf *b);	      /* NUL-terminated view; "" when empty or failed */
void buf_free(struct buf *b);		      /* keeps .cap: the buffer can be used again */

#endif
