/* SPDX-License-Identifier: MIT */
#include "lib/audit_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- small files ---- */

int audit_path(const char *dir, const char *name, char out[AUDIT_PATH_SIZE], struct err *err)
{
	int n = snprintf(out, AUDIT_PATH_SIZE, "%s/%s", dir, name);
	return n < AUDIT_PATH_SIZE ? 0 : err_set(err, ERR_INVALID, "the path of %s is too long", name);
}

/* Up to `size` bytes of a file. Returns how many, -1 with err. */
static ssize_t read_start(const char *dir, const char *name, void *out, size_t size, struct err *err)
{
	char path[AUDIT_PATH_SIZE];
	if (audit_path(dir, name, path, err) < 0)
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%s", name);
	size_t len = 0;
	ssize_t n = 1;
	while (n > 0 && len < size) {
		n = read(fd, (char *)out + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		err_errno(err, ERR_INTERNAL, "%s", name);
	close(fd);
	return n < 0 ? -1 : (ssize_t)len;
}

int audit_file_read(const char *dir, const char *name, char *out, size_t size, struct err *err)
{
	ssize_t n = read_start(dir, name, out, size, err);
	if (n == (ssize_t)size)
		return err_set(err, ERR_INVALID, "%s: too long", name);
	if (n >= 0)
		out[n] = '\0';
	return (int)n;
}

int audit_key_read(const char *dir, struct note_key *out, struct err *err)
{
	char text[NOTE_VKEY_SIZE + 1];
	int n = audit_file_read(dir, "key.pub", text, sizeof text, err);
	if (n < 0)
		return -1;
	if (n == 0 || text[n - 1] != '\n')
		return err_set(err, ERR_INVALID, "key.pub: not one line");
	return note_key_parse(text, (size_t)n, out, err) < 0 ? err_prefix(err, "key.pub") : 0;
}

int audit_checkpoint_read(const char *dir, const struct note_key *key, struct note_checkpoint *out,
			  char text[NOTE_SIZE], struct err *err)
{
	char own[NOTE_SIZE];
	char *note = text ? text : own;
	int n = audit_file_read(dir, "checkpoint", note, NOTE_SIZE, err);
	if (n < 0)
		return -1;
	return note_open(key, note, (size_t)n, out, err) < 0 ? err_prefix(err, "checkpoint") : 0;
}

/* ---- tiles ---- */

void audit_tile_name(unsigned level, uint64_t index, unsigned width, char out[AUDIT_PATH_SIZE])
{
	unsigned part[7], n = 0; /* 2^64 has 20 digits */
	do {
		part[n++] = (unsigned)(index % 1000);
		index /= 1000;
	} while (index);
	size_t len = (size_t)snprintf(out, AUDIT_PATH_SIZE, "tile/%u/", level);
	while (n-- > 1)
		len += (size_t)snprintf(out + len, AUDIT_PATH_SIZE - len, "x%03u/", part[n]);
	len += (size_t)snprintf(out + len, AUDIT_PATH_SIZE - len, "%03u", part[0]);
	if (width < AUDIT_TILE_WIDTH)
		snprintf(out + len, AUDIT_PATH_SIZE - len, ".p/%u", width);
}

bool audit_tile_parse(const char *name, unsigned *level, uint64_t *index, unsigned *width)
{
	char again[AUDIT_PATH_SIZE];
	unsigned part;
	int used = 0;
	*index = 0;
	*width = AUDIT_TILE_WIDTH;
	if (sscanf(name, "tile/%1u/%n", level, &used) != 1 || !used)
		return false;
	const char *p = name + used;
	for (; *p == 'x'; p += used, *index = *index * 1000 + part)
		if (sscanf(p, "x%3u/%n", &part, &used) != 1 || *index > UINT64_MAX / 1000000)
			return false;
	if (sscanf(p, "%3u%n", &part, &used) != 1)
		return false;
	*index = *index * 1000 + part;
	p += used;
	if (*p && (sscanf(p, ".p/%3u", width) != 1 || *width < 1 || *width >= AUDIT_TILE_WIDTH))
		return false;
	audit_tile_name(*level, *index, *width, again);
	return *level < AUDIT_TILE_LEVELS && strcmp(again, name) == 0;
}

int audit_tile_read(const char *dir, unsigned level, uint64_t index, unsigned width, struct merkle_hash *out,
		    struct err *err)
{
	char name[AUDIT_PATH_SIZE];
	unsigned char bytes[AUDIT_TILE_WIDTH * MERKLE_BYTES + 1];
	audit_tile_name(level, index, width, name);
	ssize_t n = read_start(dir, name, bytes, sizeof bytes, err);
	if (n < 0)
		return -1;
	if ((size_t)n != width * MERKLE_BYTES)
		return err_set(err, ERR_INVALID, "%s: %zd bytes instead of %u", name, n, width * MERKLE_BYTES);
	memcpy(out, bytes, (size_t)n);
	return 0;
}

/* ---- records ---- */

struct audit_reader {
	char dir[AUDIT_PATH_SIZE];
	uint64_t *first; /* of each data file, rising */
	size_t files, next;
	FILE *file;
	char name[64];
	char *text;
	size_t size;
	uint64_t seq, at;
};

void audit_data_name(uint64_t first, char out[64])
{
	snprintf(out, 64, "data/%020" PRIu64 ".jsonl", first);
}

bool audit_data_parse(const char *name, uint64_t *first)
{
	char again[64];
	if (strlen(name) != 31 || strspn(name + 5, "0123456789") != 20)
		return false;
	*first = strtoull(name + 5, NULL, 10);
	audit_data_name(*first, again);
	return strcmp(again, name) == 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static int list_files(struct audit_reader *r, DIR *d)
{
	size_t room = 0;
	const struct dirent *e;
	while ((e = readdir(d))) {
		char name[sizeof e->d_name + 8];
		uint64_t first;
		snprintf(name, sizeof name, "data/%s", e->d_name);
		if (!audit_data_parse(name, &first))
			continue;
		if (r->files == room) {
			room = room ? 2 * room : 64;
			uint64_t *more = realloc(r->first, room * sizeof *more);
			if (!more)
				return -1;
			r->first = more;
		}
		r->first[r->files++] = first;
	}
	if (r->files)
		qsort(r->first, r->files, sizeof *r->first, compare);
	return 0;
}

static int open_next(struct audit_reader *r, struct err *err)
{
	char path[AUDIT_PATH_SIZE + 64];
	uint64_t first = r->first[r->next++];
	audit_data_name(first, r->name);
	if (first != r->seq)
		return err_set(err, ERR_INVALID, "%s: record %" PRIu64 " was expected to stand there", r->name, r->seq);
	snprintf(path, sizeof path, "%s/%s", r->dir, r->name);
	r->file = fopen(path, "re");
	r->at = 0;
	return r->file ? 0 : err_errno(err, ERR_INTERNAL, "%s", r->name);
}

struct audit_reader *audit_reader_open(const char *dir, uint64_t from, struct err *err)
{
	struct audit_line skipped;
	struct audit_reader *r = calloc(1, sizeof *r);
	char path[AUDIT_PATH_SIZE];
	DIR *d = NULL;
	if (!r) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	snprintf(r->dir, sizeof r->dir, "%s", dir);
	if (audit_path(dir, "data", path, err) == 0 && !(d = opendir(path)))
		err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%s", path);
	int rc = d ? list_files(r, d) : -1;
	if (d)
		closedir(d);
	if (d && rc < 0)
		err_set(err, ERR_INTERNAL, "out of memory");
	while (r->next + 1 < r->files && r->first[r->next + 1] <= from)
		r->next++;
	r->seq = from && r->files ? r->first[r->next] : 0;
	while (rc == 0 && r->seq < from) {
		int got = audit_reader_next(r, &skipped, err);
		if (got < 0)
			rc = -1;
		if (got <= 0)
			break;
	}
	if (rc == 0)
		return r;
	audit_reader_close(r);
	return NULL;
}

int audit_reader_next(struct audit_reader *r, struct audit_line *out, struct err *err)
{
	for (;;) {
		if (!r->file && r->next == r->files)
			return 0;
		if (!r->file && open_next(r, err) < 0)
			return -1;
		ssize_t n = getline(&r->text, &r->size, r->file);
		if (n > 0) {
			bool torn = r->text[n - 1] != '\n';
			*out = (struct audit_line){ .text = r->text,
						    .len = (size_t)n - (torn ? 0 : 1),
						    .seq = r->seq++,
						    .file = r->name,
						    .at = r->at,
						    .torn = torn };
			r->at += (uint64_t)n;
			return 1;
		}
		if (ferror(r->file))
			return err_errno(err, ERR_INTERNAL, "%s", r->name);
		fclose(r->file);
		r->file = NULL;
	}
}

void audit_reader_close(struct audit_reader *r)
{
	if (!r)
		return;
	if (r->file)
		fclose(r->file);
	free(r->first);
	free(r->text);
	free(r);
}
