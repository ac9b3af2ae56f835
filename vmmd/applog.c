/* SPDX-License-Identifier: MIT */
#include "vmmd/applog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

/* --- printable text ------------------------------------------------------------------------------------------- */

/* The code point at `in` (NUL-terminated) and its length in bytes; 0 if the bytes are not UTF-8 (RFC 3629). */
static unsigned decode_utf8(const unsigned char *in, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = in[0] < 0x80	      ? 1
		     : (in[0] & 0xe0) == 0xc0 ? 2
		     : (in[0] & 0xf0) == 0xe0 ? 3
		     : (in[0] & 0xf8) == 0xf0 ? 4
					      : 0;
	uint32_t c = n == 1 ? in[0] : n == 2 ? in[0] & 0x1f : n == 3 ? in[0] & 0x0f : in[0] & 0x07;

	for (unsigned i = 1; i < n; i++) {
		if ((in[i] & 0xc0) != 0x80) /* the NUL at the end, too */
			return 0;
		c = c << 6 | (in[i] & 0x3f);
	}
	*out = c;
	return n && c >= least[n] && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff) ? n : 0;
}

/* Controls, line separators, and the marks that turn the direction of text around. */
static bool is_printable(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && !(c >= 0x200e && c <= 0x200f) &&
	       !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

char *text_visible(char *out, size_t size, const char *in)
{
	const unsigned char *p = (const unsigned char *)in;
	size_t n = 0;
	while (*p) {
		char escape[16];
		uint32_t c = 0;
		unsigned len = decode_utf8(p, &c);
		const char *piece = (const char *)p;
		size_t piece_len = len;
		if (!len || !is_printable(c)) {
			snprintf(escape, sizeof escape, len > 1 ? "\\u{%x}" : "\\x%02x", len > 1 ? c : *p);
			piece = escape;
			piece_len = strlen(escape);
		}
		if (n + piece_len >= size)
			break;
		memcpy(out + n, piece, piece_len);
		n += piece_len;
		p += len ? len : 1;
	}
	out[n] = '\0';
	return out;
}

/* --- files ---------------------------------------------------------------------------------------------------- */

static void log_path(const char *dir, const char *app, const char *suffix, char out[400])
{
	snprintf(out, 400, "%s/log/apps/%s.log%s", dir, app, suffix);
}

int applog_init(const char *dir, struct err *err)
{
	char path[400];
	snprintf(path, sizeof path, "%s/log/apps", dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, ERR_CONFIG, "%s", path);
	return 0;
}

void applog_close(struct applog *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

static int open_log(struct applog *log, const char *path)
{
	struct stat st;
	log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (log->fd < 0 || fstat(log->fd, &st) < 0)
		return -1;
	log->size = (size_t)st.st_size;
	return 0;
}

static void rotate(struct applog *log, const char *dir, const char *app)
{
	char path[400], old[400];
	log_path(dir, app, "", path);
	log_path(dir, app, ".1", old);
	applog_close(log);
	if (rename(path, old) < 0)
		log_warn("%s: cannot be renamed: %s", path, strerror(errno));
}

static size_t compose(char *line, size_t size, uint32_t severity, const char *uuid, const char *text)
{
	static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
	struct timespec now;
	struct tm tm;
	char visible[2048];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	int more = snprintf(line + n, size - n, ".%03ldZ %s %s %s\n", now.tv_nsec / 1000000,
			    names[severity < 3	 ? 0
				  : severity > 7 ? 4
						 : severity - 3],
			    uuid, text_visible(visible, sizeof visible, text));
	return more < 0 ? n : n + (size_t)more;
}

void applog_write(struct applog *log, const char *dir, const char *app, uint32_t severity, const char *uuid,
		  const char *text)
{
	char path[400], line[2300];
	size_t len = compose(line, sizeof line, severity, uuid, text);

	if (log->fd >= 0 && log->size + len > APPLOG_BYTES_MAX)
		rotate(log, dir, app);
	log_path(dir, app, "", path);
	if ((log->fd < 0 && open_log(log, path) < 0) || write(log->fd, line, len) != (ssize_t)len) {
		if (!log->complained)
			log_warn("%s: lines are lost: %s", path, strerror(errno));
		log->complained = true;
		applog_close(log);
		return;
	}
	log->complained = false;
	log->size += len;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

/* Appends the last bytes of a file, at most APPLOG_BYTES_MAX. A file that is not there is empty. */
static int read_end(const char *path, struct buf *out, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, ERR_INTERNAL, "%s", path);
	off_t from = fstat(fd, &st) == 0 && st.st_size > APPLOG_BYTES_MAX ? st.st_size - APPLOG_BYTES_MAX : 0;
	char block[16384];
	ssize_t n;
	while ((n = pread(fd, block, sizeof block, from)) > 0) {
		buf_append(out, block, (size_t)n);
		from += n;
	}
	close(fd);
	return out->failed ? err_set(err, ERR_INTERNAL, "%s: too large", path) : 0;
}

int applog_tail(const char *dir, const char *app, unsigned lines, struct buf *out, struct err *err)
{
	char path[400];
	log_path(dir, app, ".1", path);
	if (read_end(path, out, err) < 0)
		return -1;
	log_path(dir, app, "", path);
	if (read_end(path, out, err) < 0)
		return -1;
	size_t at = out->len;
	while (at > 0 && (lines > 0 || out->data[at - 1] != '\n')) {
		at--;
		if (at > 0 && out->data[at - 1] == '\n')
			lines--;
	}
	buf_consume(out, at);
	return 0;
}
