/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sock.h"
#include "vmmd/boot.h"
#include "vmmd/foreign.h"
#include "vmmd/store.h"
#include "vmmd/vmmd.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- the program --------------------------------------------------------------------------------------------------- */

static bool runnable(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(char out[FOREIGN_PATH_SIZE])
{
	const char *path = getenv("PATH");
	for (path = path && *path ? path : DEFAULT_PATH; *path; path += *path == ':') {
		size_t len = strcspn(path, ":");
		int n = snprintf(out, FOREIGN_PATH_SIZE, "%.*s/solo5-hvt", (int)len, path);
		if (*path == '/' && n < FOREIGN_PATH_SIZE && runnable(out))
			return true;
		path += len;
	}
	return false;
}

int foreign_program(const struct vmmd *v, char out[FOREIGN_PATH_SIZE], struct err *err)
{
	const char *wanted = v->config.vmmd.solo5_hvt;
	if (strcmp(wanted, "auto") != 0) {
		snprintf(out, FOREIGN_PATH_SIZE, "%s", wanted);
		if (runnable(out))
			return 0;
		return err_set(err, ERR_UNAVAILABLE, "vmmd.solo5_hvt: %s is no program that can be run", wanted);
	}
	if (find_in_path(out))
		return 0;
	return err_set(
		err, ERR_UNAVAILABLE,
		"images of kind solo5-hvt need the program solo5-hvt, which is not in PATH: install Solo5, or name "
		"it in ppce.yaml as vmmd.solo5_hvt");
}

/* --- the image ------------------------------------------------------------------------------------------------------ */

/* What is read is not what somebody may change meanwhile, and what runs later is what was read. */
static int copy(int file, off_t size, struct err *err)
{
	int fd = memfd_create("solo5-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t at = 0;
	ssize_t n = 1;

	while (fd >= 0 && at < size && n > 0)
		n = sendfile(fd, file, &at, (size_t)(size - at));
	if (fd >= 0 && at == size &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return fd;
	err_errno(err, ERR_INTERNAL, "copying the image into memory");
	sock_close(&fd);
	return -1;
}

static int decode(int fd, size_t size, struct solo5_image *out, struct err *err)
{
	void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return err_errno(err, ERR_INTERNAL, "mapping the image");
	int rc = solo5_decode(bytes, size, out, err);
	munmap(bytes, size);
	return rc;
}

static int check_size(int file, off_t *size, struct err *err)
{
	struct stat st;
	if (fstat(file, &st) < 0 || st.st_size <= 0 || st.st_size > STORE_IMAGE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "the image is empty or too large");
	*size = st.st_size;
	return 0;
}

int foreign_load(int file, uint32_t memory_mib, struct boot_result *out, struct err *err)
{
	struct solo5_image image;
	off_t size = 0;

	if (check_size(file, &size, err) < 0)
		return -1;
	*out = (struct boot_result){ .snapshot = copy(file, size, err),
				     .network = 1,
				     .memory_mib = memory_mib,
				     .request_kib = FOREIGN_REQUEST_KIB,
				     .response_kib = FOREIGN_RESPONSE_KIB };
	if (out->snapshot < 0)
		return -1;
	int rc = decode(out->snapshot, (size_t)size, &image, err);
	if (rc == 0 && image.memory_mib > memory_mib)
		rc = err_set(err, ERR_INVALID, "the image alone needs %u MiB of memory, it was given %u (--memory)",
			     image.memory_mib, memory_mib);
	if (rc < 0)
		sock_close(&out->snapshot);
	else
		memcpy(out->device, image.device, sizeof out->device);
	return rc;
}

bool foreign_likely(int file)
{
	struct err err;
	off_t size = 0;
	int fd = check_size(file, &size, &err) < 0 ? -1 : copy(file, size, &err);
	void *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	bool likely = bytes != MAP_FAILED && solo5_likely(bytes, (size_t)size);
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)size);
	sock_close(&fd);
	return likely;
}
