/* SPDX-License-Identifier: MIT */
#include "tender/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void snapshot_init(struct snapshot *s, enum ppce_backend backend, const struct image *image)
{
	const struct ppce_manifest *m = &image->manifest;

	memset(s, 0, sizeof *s);
	s->file = (struct snapshot_file){
		.magic = SNAPSHOT_MAGIC,
		.backend = backend,
		.memory_mib = m->memory_mib,
		.stack_kib = m->stack_kib,
		.request_kib = m->request_kib,
		.response_kib = m->response_kib,
		.data_kib = m->data_kib,
		.nsegments = image->nsegments,
		.image_end = image->end,
		.signal_entry = image->signal_entry,
		.warm_path = "/",
	};
	memcpy(s->file.segments, image->segments, sizeof s->file.segments);
	layout_compute(&s->layout, m->memory_mib, m->stack_kib, m->request_kib, m->response_kib, m->data_kib);
}

static int write_all(int fd, const void *data, size_t len, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(at + done));
		if (n <= 0)
			return err_errno(err, ERR_INTERNAL, "writing the snapshot");
		done += (size_t)n;
	}
	return 0;
}

static int read_all(int fd, void *data, size_t len, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(at + done));
		if (n <= 0)
			return err_set(err, ERR_INVALID, "the snapshot is truncated");
		done += (size_t)n;
	}
	return 0;
}

int snapshot_write(const struct snapshot *s, int fd, struct err *err)
{
	struct snapshot_file file = s->file;

	file.has_warm = s->warm != NULL;
	if (write_all(fd, &file, sizeof file, s->layout.size, err) < 0)
		return -1;
	uint64_t end = s->layout.size + sizeof file, pages = s->layout.size / PPCE_PAGE;
	if (s->warm && write_all(fd, s->warm, pages, end, err) < 0)
		return -1;
	return write_all(fd, &s->layout.size, sizeof s->layout.size, end + (s->warm ? pages : 0), err);
}

static bool in_range(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max && (min < 4 || v % 4 == 0);
}

static int check_segments(const struct snapshot_file *f, uint64_t limit, struct err *err)
{
	uint64_t end = PPCE_IMAGE_BASE;

	for (unsigned i = 0; i < f->nsegments; i++) {
		const struct image_segment *s = &f->segments[i];
		if (s->address < end || s->address > limit || s->memory_size > limit - s->address || (s->prot & ~7))
			return err_set(err, ERR_INVALID, "a segment of the snapshot lies out of bounds");
		end = (s->address + s->memory_size + PPCE_PAGE - 1) & ~(uint64_t)(PPCE_PAGE - 1);
	}
	if (f->image_end != end)
		return err_set(err, ERR_INVALID, "the snapshot's segments do not end where it says");
	return 0;
}

static int check_file(const struct snapshot_file *f, enum ppce_backend backend, struct err *err)
{
	if (f->magic != SNAPSHOT_MAGIC || f->backend != backend)
		return err_set(err, ERR_INVALID, "not a snapshot of this backend");
	if (!in_range(f->memory_mib, PPCE_MEMORY_MIB_MIN, PPCE_MEMORY_MIB_MAX) || !in_range(f->stack_kib, 16, 8192) ||
	    !in_range(f->request_kib, 4, 16384) || !in_range(f->response_kib, 4, 16384) ||
	    (f->data_kib && !in_range(f->data_kib, 4, 16384)) || f->nsegments > IMAGE_SEGMENTS_MAX ||
	    !memchr(f->warm_path, 0, sizeof f->warm_path))
		return err_set(err, ERR_INVALID, "the snapshot's sizes are out of range");
	uint64_t limit = PPCE_IMAGE_BASE + ((uint64_t)f->memory_mib << 20);
	if (((uint64_t)f->stack_kib << 10) + 3 * PPCE_PAGE > limit - PPCE_IMAGE_BASE)
		return err_set(err, ERR_INVALID, "the snapshot's stack does not fit");
	return check_segments(f, limit - ((uint64_t)f->stack_kib << 10) - 2 * PPCE_PAGE, err);
}

/* The last word of the file says where the description starts; the sizes in the description must agree with it. */
int snapshot_read(struct snapshot *s, int fd, enum ppce_backend backend, struct err *err)
{
	struct stat st;
	uint64_t at;

	memset(s, 0, sizeof *s);
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof s->file + 8)
		return err_set(err, ERR_INVALID, "the snapshot is truncated");
	if (read_all(fd, &at, sizeof at, (uint64_t)st.st_size - sizeof at, err) < 0)
		return -1;
	if (at > (uint64_t)st.st_size || read_all(fd, &s->file, sizeof s->file, at, err) < 0)
		return err_set(err, ERR_INVALID, "the snapshot is truncated");
	if (check_file(&s->file, backend, err) < 0)
		return -1;
	layout_compute(&s->layout, s->file.memory_mib, s->file.stack_kib, s->file.request_kib, s->file.response_kib,
		       s->file.data_kib);
	if (s->layout.size != at)
		return err_set(err, ERR_INVALID, "the snapshot's memory does not have the size that it says");
	if (!s->file.has_warm)
		return 0;
	s->warm = malloc(s->layout.size / PPCE_PAGE);
	if (!s->warm)
		return err_set(err, ERR_INTERNAL, "out of memory");
	return read_all(fd, s->warm, s->layout.size / PPCE_PAGE, at + sizeof s->file, err);
}

void snapshot_free(struct snapshot *s)
{
	free(s->warm);
	memset(s, 0, sizeof *s);
}
