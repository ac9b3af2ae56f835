/* SPDX-License-Identifier: MIT */
#include "lib/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"

#define AUDIT_LINE_MAX (512u << 10) /* the longest path, every byte of it escaped, and the rest */

struct audit {
	int fd;
	char daemon[32];
	struct buf line;
	bool torn; /* the file ends with a part of a line of ours */
};

struct audit *audit_open(const char *path, const char *daemon, struct err *err)
{
	struct audit *a = calloc(1, sizeof *a);
	if (!a) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	a->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (a->fd < 0) {
		err_errno(err, ERR_INTERNAL, "%s", path);
		free(a);
		return NULL;
	}
	strncpy(a->daemon, daemon, sizeof a->daemon - 1);
	a->line.cap = AUDIT_LINE_MAX;
	return a;
}

/* Bytes of the well-formed UTF-8 sequence at `p` (RFC 3629), 0 if there is none. Reads no further than a NUL. */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) /* over-long; surrogates */
		return 0;
	if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) /* over-long; past U+10FFFF */
		return 0;
	return n;
}

/* A JSON string. The line must stay one valid JSON line whatever a client put into its path: bytes that are not UTF-8
 * become U+FFFD. */
static void put_string(struct buf *b, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	buf_append(b, "\"", 1);
	while (*p) {
		const unsigned char *from = p;
		while (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
			p++;
		buf_append(b, from, (size_t)(p - from));
		size_t n = *p >= 0x80 ? utf8_length(p) : 0;
		if (!*p)
			break;
		if (n)
			buf_append(b, p, n);
		else if (*p >= 0x80)
			buf_puts(b, "\\ufffd");
		else
			buf_printf(b, "\\u%04x", *p);
		p += n ? n : 1;
	}
	buf_append(b, "\"", 1);
}

static void put_member(struct buf *b, const char *key, const char *text)
{
	if (!text || !*text)
		return;
	buf_printf(b, ",\"%s\":", key);
	put_string(b, text);
}

static void put_time(struct buf *b)
{
	struct timespec now;
	struct tm tm;
	char text[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(b, "{\"time\":\"%s.%06ldZ\"", text, now.tv_nsec / 1000);
}

static void format_line(struct audit *a, const struct audit_record *r)
{
	struct buf *b = &a->line;
	b->len = 0;
	b->failed = false;
	if (a->torn)
		buf_puts(b, "\n");
	put_time(b);
	put_member(b, "daemon", a->daemon);
	put_member(b, "event", r->event);
	put_member(b, "request_id", r->request_id);
	put_member(b, "actor", r->actor);
	put_member(b, "class", r->class_name);
	put_member(b, "session", r->session);
	put_member(b, "purpose", r->purpose);
	put_member(b, "app", r->app);
	put_member(b, "path", r->path);
	put_member(b, "label", r->label);
	put_member(b, "instance", r->instance);
	put_member(b, "address", r->address);
	buf_printf(b, ",\"allowed\":%s", r->allowed ? "true" : "false");
	put_member(b, "rule", r->rule);
	put_member(b, "reason", r->reason);
	if (r->status)
		buf_printf(b, ",\"status\":%d", r->status);
	buf_puts(b, "}\n");
}

int audit_write(struct audit *a, const struct audit_record *r, struct err *err)
{
	format_line(a, r);
	if (a->line.failed)
		return err_set(err, ERR_INTERNAL, "audit: a record of more than %u bytes", AUDIT_LINE_MAX);
	/* One write in the ordinary case: with O_APPEND, lines of several daemons in one file do not mix. */
	size_t done = 0;
	while (done < a->line.len) {
		ssize_t n = write(a->fd, a->line.data + done, a->line.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* A later record then starts on a line of its own. */
			a->torn = a->torn || done > 0;
			return err_errno(err, ERR_INTERNAL, "audit");
		}
		done += (size_t)n;
	}
	a->torn = false;
	return 0;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	close(a->fd);
	buf_free(&a->line);
	free(a);
}
