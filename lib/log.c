/* SPDX-License-Identifier: MIT */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *log_daemon = "ppce";
static enum log_level log_max = LOG_LEVEL_INFO;

void log_init(const char *daemon, enum log_level level)
{
	log_daemon = daemon;
	log_max = level;
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
		if (!strcmp(text, level_names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

/* Copies `text` with control characters as \xNN; bytes above 0x7f stay, they are UTF-8 in practice. A terminal's C1
 * controls in their UTF-8 form (0xc2 0x80..0x9f) are escaped too. Returns the bytes written, without a NUL. */
static size_t escape(const char *text, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < size; p++) {
		int c1 = *p >= 0x80 && *p <= 0x9f && p > (const unsigned char *)text && p[-1] == 0xc2;
		if (*p >= 0x20 && *p != 0x7f && !c1) {
			out[n++] = (char)*p;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[*p >> 4];
		out[n++] = hex[*p & 15];
	}
	return n;
}

/* One write(2) a line, so that lines of several daemons on one stderr do not mix. */
void log_line(enum log_level level, const char *fmt, ...)
{
	if (level > log_max)
		return;
	int saved = errno;
	char text[1024], line[2048];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (n < 0)
		text[0] = '\0';

	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t at = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	int head = snprintf(line + at, sizeof line - at, ".%03ldZ %-5s %.40s: ", now.tv_nsec / 1000000,
			    level_names[level], log_daemon);
	at += head > 0 ? (size_t)head : 0;
	at += escape(text, line + at, sizeof line - at - 1);
	line[at++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, at);
	(void)written; /* nowhere left to complain */
	errno = saved;
}
