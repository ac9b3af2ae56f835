// SPDX-License-Identifier: MIT
#include "audit/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/audit_files.h"
#include "lib/sock.h"

/* The name of a new file has to survive as well as its contents. */
static int sync_dir(const char *dir, struct err *err)
{
	char path[AUDIT_PATH_SIZE];
	snprintf(path, sizeof path, "%s/data", dir);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	if (rc < 0)
		err_errno(err, ERR_INTERNAL, "%s", path);
	sock_close(&fd);
	return rc;
}

static int open_file(struct data *d, const char *name, struct err *err)
{
	char path[AUDIT_PATH_SIZE];
	if (audit_path(d->dir, name, path, err) < 0)
		return -1;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 ? fd : err_errno(err, ERR_INTERNAL, "%s", name);
}

int data_continue(struct data *d, const char *name, uint64_t size, struct err *err)
{
	d->fd = open_file(d, name, err);
	if (d->fd < 0)
		return -1;
	if (ftruncate(d->fd, (off_t)size) < 0)
		return err_errno(err, ERR_INTERNAL, "%s", name);
	d->size = size;
	d->dirty = true;
	return 0;
}

static int rotate(struct data *d, uint64_t first, struct err *err)
{
	char name[64];
	if (data_sync(d, err) < 0)
		return -2;
	audit_data_name(first, name);
	int fd = open_file(d, name, err);
	/* A file of this name was made and left empty when a write to it failed. */
	if (fd < 0 || ftruncate(fd, 0) < 0 || sync_dir(d->dir, err) < 0) {
		sock_close(&fd);
		return -1;
	}
	sock_close(&d->fd);
	d->fd = fd;
	d->size = 0;
	return 0;
}

/* All bytes, or -1 with err. */
static int write_all(const struct data *d, const char *bytes, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = write(d->fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, ERR_INTERNAL, "the log cannot be written");
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int data_append(struct data *d, uint64_t first, const void *bytes, size_t len, struct err *err)
{
	if (d->fd < 0 || d->size >= d->rotate) {
		int rc = rotate(d, first, err);
		if (rc < 0)
			return rc;
	}
	if (write_all(d, bytes, len, err) < 0) {
		struct err why;
		if (ftruncate(d->fd, (off_t)d->size) == 0)
			return -1;
		err_errno(&why, ERR_INTERNAL, "part of a record cannot be removed again");
		err_prefix(err, "%s", why.text);
		return -2;
	}
	d->dirty = true;
	/* After a failed fdatasync nobody knows what is on the disk. */
	if (d->power && data_sync(d, err) < 0)
		return -2;
	d->size += len;
	return 0;
}

int data_sync(struct data *d, struct err *err)
{
	if (d->fd < 0 || !d->dirty)
		return 0;
	if (fdatasync(d->fd) < 0)
		return err_errno(err, ERR_INTERNAL, "the log does not reach the disk");
	d->dirty = false;
	return 0;
}

void data_close(struct data *d)
{
	sock_close(&d->fd);
}
