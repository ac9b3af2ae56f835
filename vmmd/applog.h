/* SPDX-License-Identifier: MIT
 *
 * What guests log: DIR/log/apps/APP.log, one line each: `time severity uuid text`. The text is a guest's and thus
 * hostile: control characters, bytes that are not UTF-8 and direction marks are written as escapes. A file grows to
 * 1 MiB, then becomes APP.log.1. Failing to write never fails the instance.
 */
#ifndef VMMD_APPLOG_H
#define VMMD_APPLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"

#define APPLOG_BYTES_MAX (1u << 20)
#define APPLOG_RATE 200 /* lines a second of one instance; more are counted, not written */
#define APPLOG_TAIL_MAX 5000

struct applog {
	int fd; /* -1: not open */
	size_t size;
	bool complained;
};

int applog_init(const char *dir, struct err *err); /* makes DIR/log/apps */
void applog_write(struct applog *log, const char *dir, const char *app, uint32_t severity, const char *uuid,
		  const char *text);
void applog_close(struct applog *log);
/* The last `lines` lines of app into `out`, each ended by a newline; nothing when there is no file. */
int applog_tail(const char *dir, const char *app, unsigned lines, struct buf *out, struct err *err);

/* `in` as printable UTF-8 of at most size - 1 bytes; what is not printable becomes \xNN or \u{...}. Returns out. */
char *text_visible(char *out, size_t size, const char *in);

#endif
