/* SPDX-License-Identifier: MIT */
#include "vmmd/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"

#define TEMPORARY ".new-"

static void final_path(const char *dir, const char *digest, char out[380])
{
	snprintf(out, 380, "%s/%s.elf", dir, digest);
}

/* --- on a worker thread: nothing but the job is touched --------------------------------------------------------- */

static int open_source(struct store_job *job, struct err *err)
{
	struct stat st;
	int fd = open(job->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, ERR_INVALID, "%.300s", job->source);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		err_set(err, ERR_INVALID, "%.300s: not a regular file", job->source);
	else if (st.st_size == 0)
		err_set(err, ERR_INVALID, "%.300s: an empty file", job->source);
	else if (st.st_size > STORE_IMAGE_BYTES_MAX)
		err_set(err, ERR_INVALID, "%.300s: larger than %u MiB", job->source, STORE_IMAGE_BYTES_MAX >> 20);
	else
		return fd;
	close(fd);
	return -1;
}

/* The bound holds for what is copied, not for what fstat said: the file may be growing. */
static int copy(int from, int to, uint64_t *bytes, struct err *err)
{
	char block[65536];
	*bytes = 0;
	for (;;) {
		ssize_t n = read(from, block, sizeof block);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, ERR_INVALID, "reading the image");
		if (n == 0)
			return 0;
		*bytes += (uint64_t)n;
		if (*bytes > STORE_IMAGE_BYTES_MAX)
			return err_set(err, ERR_INVALID, "the image is larger than %u MiB",
				       STORE_IMAGE_BYTES_MAX >> 20);
		for (ssize_t done = 0, part; done < n; done += part) {
			part = write(to, block + done, (size_t)(n - done));
			if (part <= 0)
				return err_errno(err, ERR_INTERNAL, "writing the copy of the image");
		}
	}
}

static int copy_to_temporary(struct store_job *job, int source, struct err *err)
{
	snprintf(job->temporary, sizeof job->temporary, "%s/" TEMPORARY "XXXXXX", job->dir);
	int fd = mkostemp(job->temporary, O_CLOEXEC);
	if (fd < 0) {
		job->temporary[0] = '\0';
		return err_errno(err, ERR_INTERNAL, "%s", job->dir);
	}
	int rc = copy(source, fd, &job->bytes, err);
	if (rc == 0 && (fchmod(fd, 0400) < 0 || fsync(fd) < 0))
		rc = err_errno(err, ERR_INTERNAL, "%s", job->temporary);
	close(fd);
	if (rc < 0)
		return -1;
	job->fd = open(job->temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return job->fd < 0 ? err_errno(err, ERR_INTERNAL, "%s", job->temporary)
			   : digest_file(job->fd, job->digest, err);
}

static void import_work(uv_work_t *work)
{
	struct store_job *job = work->data;
	int source = open_source(job, &job->err);
	job->failed = source < 0 || copy_to_temporary(job, source, &job->err) < 0;
	sock_close(&source);
	if (job->failed)
		store_discard(job);
}

static int check(struct store_job *job, struct err *err)
{
	char path[380], digest[PPCE_DIGEST_SIZE];
	final_path(job->dir, job->digest, path);
	job->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (job->fd < 0)
		return err_errno(err, ERR_INTERNAL, "its file cannot be read: add the image again. %s", path);
	if (digest_file(job->fd, digest, err) < 0)
		return -1;
	if (strcmp(digest, job->digest) != 0)
		return err_set(err, ERR_INTERNAL, "its file was changed: add the image again. %s", path);
	return 0;
}

static void open_work(uv_work_t *work)
{
	struct store_job *job = work->data;
	job->failed = check(job, &job->err) < 0;
	if (job->failed)
		store_discard(job);
}

/* --- on the loop ------------------------------------------------------------------------------------------------ */

static void after(uv_work_t *work, int status)
{
	struct store_job *job = work->data;
	if (status < 0 && !job->failed) {
		store_discard(job);
		err_set(&job->err, ERR_UNAVAILABLE, "the daemon ends");
		job->failed = true;
	}
	job->done(job);
}

static int queue(struct vmmd *v, struct store_job *job, uv_work_cb work, store_done *done, struct err *err)
{
	job->work.data = job;
	job->done = done;
	job->fd = -1;
	job->failed = false;
	job->temporary[0] = '\0';
	snprintf(job->dir, sizeof job->dir, "%s/images", v->config.dir);
	if (uv_queue_work(&v->loop, &job->work, work, after) < 0)
		return err_set(err, ERR_INTERNAL, "no worker thread");
	return 0;
}

int store_import(struct vmmd *v, struct store_job *job, const char *source, store_done *done, struct err *err)
{
	snprintf(job->source, sizeof job->source, "%s", source);
	return queue(v, job, import_work, done, err);
}

int store_open(struct vmmd *v, struct store_job *job, const char *digest, store_done *done, struct err *err)
{
	snprintf(job->digest, sizeof job->digest, "%s", digest);
	return queue(v, job, open_work, done, err);
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	sock_close(&fd);
	return rc;
}

int store_commit(struct store_job *job, struct err *err)
{
	char path[380];
	final_path(job->dir, job->digest, path);
	if (rename(job->temporary, path) < 0)
		return err_errno(err, ERR_INTERNAL, "%s", path);
	job->temporary[0] = '\0';
	return sync_dir(job->dir) < 0 ? err_errno(err, ERR_INTERNAL, "%s", job->dir) : 0;
}

void store_discard(struct store_job *job)
{
	if (job->temporary[0])
		unlink(job->temporary);
	job->temporary[0] = '\0';
	sock_close(&job->fd);
}

void store_remove(struct vmmd *v, const char *digest)
{
	char dir[300], path[380];
	snprintf(dir, sizeof dir, "%s/images", v->config.dir);
	final_path(dir, digest, path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn("%s: cannot be removed: %s", path, strerror(errno));
}

static bool is_stale(const struct vmmd *v, const char *name)
{
	const struct image *i;
	if (strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0)
		return true;
	size_t len = strspn(name, "0123456789abcdef");
	if (len != PPCE_DIGEST_SIZE - 1 || strcmp(name + len, ".elf") != 0)
		return false; /* not ours */
	TAILQ_FOREACH (i, &v->images.list, link)
		if (strncmp(i->r.digest, name, len) == 0)
			return false;
	return true;
}

void store_sweep(struct vmmd *v)
{
	char path[300];
	snprintf(path, sizeof path, "%s/images", v->config.dir);
	DIR *dir = opendir(path);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		if (is_stale(v, e->d_name) && unlinkat(dirfd(dir), e->d_name, 0) == 0)
			log_info("removed %s/%s, which no image names", path, e->d_name);
	if (dir)
		closedir(dir);
}
