/* SPDX-License-Identifier: MIT
 *
 * Descriptors of a guest: 0 (always empty), 1 and 2 (lines to the operator's log), four devices, the files embedded by
 * `ppce-cc --file`, and sockets. Nothing else can be written but the log; there are no directories. */
#include "guest/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FDS = 32, IO_MAX = 0x7ffff000 };

enum kind { CLOSED, INPUT, OUTPUT, DEV_NULL, DEV_ZERO, DEV_RANDOM, EMBEDDED, SOCKET };

static struct open_file {
	enum kind kind;
	const struct los_file *file; /* EMBEDDED */
	struct los_socket *socket;   /* SOCKET: a reference */
	uint64_t pos;
} fds[FDS] = { { .kind = INPUT }, { .kind = OUTPUT }, { .kind = OUTPUT } };

static struct {
	size_t len;
	char text[PPCE_IO_TEXT - 1];
} line[2]; /* half lines of descriptors 1 and 2 */

extern const struct los_file __start_ppce_files[] __attribute__((weak));
extern const struct los_file __stop_ppce_files[] __attribute__((weak));

static void flush_line(size_t i)
{
	if (line[i].len)
		los_log(i == 0 ? 6 : 4, line[i].text, line[i].len);
	line[i].len = 0;
}

void los_console_flush(void)
{
	flush_line(0);
	flush_line(1);
}

static void console_write(int fd, const char *text, size_t len)
{
	size_t i = fd == 2;

	for (; len; len--, text++) {
		if (*text == '\n' || line[i].len == sizeof line[i].text)
			flush_line(i);
		if (*text != '\n')
			line[i].text[line[i].len++] = *text;
	}
}

static struct open_file *get(long fd)
{
	return fd >= 0 && fd < FDS && fds[fd].kind != CLOSED ? &fds[fd] : NULL;
}

static long file_read(struct open_file *f, uint8_t *to, size_t len, uint64_t offset)
{
	if (len > IO_MAX)
		len = IO_MAX;
	switch (f->kind) {
	case INPUT:
	case DEV_NULL:
		return 0;
	case DEV_ZERO:
		los_zero(to, len);
		return (long)len;
	case DEV_RANDOM:
		los_random(to, len);
		return (long)len;
	case EMBEDDED:
		if (offset >= f->file->size)
			return 0;
		if (len > f->file->size - offset)
			len = (size_t)(f->file->size - offset);
		los_copy(to, f->file->data + offset, len);
		return (long)len;
	default:
		return -EBADF;
	}
}

/* A read or write of a socket takes its vectors together: it waits once at most. */
static long socket_move(struct los_socket *s, const struct iovec *v, long count, bool sending)
{
	if (count < 0 || count > 1024)
		return -EINVAL;
	return sending ? los_socket_send(s, v, (size_t)count, 0) : los_socket_recv(s, v, (size_t)count, 0);
}

static long do_read(long fd, void *to, size_t len)
{
	struct open_file *f = get(fd);

	if (f && f->kind == SOCKET)
		return los_socket_recv(f->socket, &(struct iovec){ to, len }, 1, 0);
	long n = f ? file_read(f, to, len, f->pos) : -EBADF;

	if (n > 0)
		f->pos += (uint64_t)n;
	return n;
}

long los_pread(int fd, void *to, size_t len, uint64_t offset)
{
	struct open_file *f = get(fd);

	if (!f)
		return -EBADF;
	if (f->kind == SOCKET)
		return -ESPIPE;
	return f->kind == INPUT || (int64_t)offset < 0 ? -EINVAL : file_read(f, to, len, offset);
}

static long do_write(long fd, const void *from, size_t len)
{
	struct open_file *f = get(fd);

	if (!f || f->kind == EMBEDDED || f->kind == INPUT)
		return -EBADF;
	if (f->kind == SOCKET)
		return los_socket_send(f->socket, &(struct iovec){ (void *)from, len }, 1, 0);
	if (len > IO_MAX)
		len = IO_MAX;
	if (f->kind == OUTPUT)
		console_write((int)fd, from, len);
	return (long)len;
}

static long each_vector(long fd, const struct iovec *v, long count, long (*one)(long, void *, size_t))
{
	struct open_file *f = get(fd);
	long total = 0;

	if (f && f->kind == SOCKET)
		return socket_move(f->socket, v, count, one != do_read);
	if (count < 0 || count > 1024)
		return -EINVAL;
	for (long i = 0; i < count; i++) {
		long n = one(fd, v[i].iov_base, v[i].iov_len);
		if (n < 0)
			return total ? total : n;
		total += n;
		if ((size_t)n < v[i].iov_len)
			break;
	}
	return total;
}

static long write_one(long fd, void *from, size_t len)
{
	return do_write(fd, from, len);
}

/* Is `path` the file `full`? The working directory is "/", so a relative path counts from there. */
static bool names(const char *path, const char *full)
{
	if (path[0] == '.' && path[1] == '/')
		path += 2;
	return los_streq(path, *path == '/' ? full : full + 1);
}

static struct open_file lookup(const char *path)
{
	static const struct {
		const char *path;
		enum kind kind;
	} devices[] = { { "/dev/null", DEV_NULL },	{ "/dev/zero", DEV_ZERO }, { "/dev/random", DEV_RANDOM },
			{ "/dev/urandom", DEV_RANDOM }, { "/dev/stdout", OUTPUT }, { "/dev/stderr", OUTPUT } };

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		if (names(path, devices[i].path))
			return (struct open_file){ .kind = devices[i].kind };
	for (const struct los_file *f = __start_ppce_files; f < __stop_ppce_files; f++)
		if (names(path, f->path))
			return (struct open_file){ .kind = EMBEDDED, .file = f };
	const struct los_file *f = los_net_file(path);
	return (struct open_file){ .kind = f ? EMBEDDED : CLOSED, .file = f };
}

static long duplicate(struct open_file f, long from)
{
	for (long i = from < 0 ? 0 : from; i < FDS; i++)
		if (fds[i].kind == CLOSED) {
			fds[i] = f;
			if (f.kind == SOCKET)
				los_socket_retain(f.socket);
			return i;
		}
	return -EMFILE;
}

static long do_open(const char *path, long flags)
{
	struct open_file f = lookup(path);
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if (f.kind == CLOSED)
		return flags & O_CREAT ? -EROFS : -ENOENT;
	if (f.kind == EMBEDDED && (writes || flags & O_TRUNC))
		return -EROFS;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	return duplicate(f, 3);
}

static long do_seek(long fd, int64_t offset, long whence)
{
	struct open_file *f = get(fd);

	if (!f)
		return -EBADF;
	if (f->kind == INPUT || f->kind == OUTPUT || f->kind == SOCKET)
		return -ESPIPE;
	if (f->kind != EMBEDDED)
		return 0;
	int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)f->pos : (int64_t)f->file->size;
	int64_t to;
	if (whence < SEEK_SET || whence > SEEK_END || __builtin_add_overflow(base, offset, &to) || to < 0)
		return -EINVAL;
	f->pos = (uint64_t)to;
	return to;
}

static long fill_stat(const struct open_file *f, struct stat *st)
{
	los_zero(st, sizeof *st);
	st->st_nlink = 1;
	st->st_blksize = 4096;
	if (f->kind == EMBEDDED) {
		st->st_mode = S_IFREG | 0444;
		st->st_size = (off_t)f->file->size;
		st->st_blocks = (blkcnt_t)((f->file->size + 511) / 512);
		st->st_ino = (ino_t)(uintptr_t)f->file;
	} else {
		st->st_mode = f->kind == SOCKET ? S_IFSOCK | 0777 : S_IFCHR | 0666;
		st->st_ino = (ino_t)f->kind;
		st->st_rdev = 0x100 | (dev_t)f->kind;
	}
	return 0;
}

static long stat_path(const char *path, struct stat *st)
{
	struct open_file f = lookup(path);

	if (f.kind != CLOSED)
		return fill_stat(&f, st);
	if (!los_streq(path, "/") && !los_streq(path, "."))
		return -ENOENT;
	los_zero(st, sizeof *st);
	st->st_mode = S_IFDIR | 0555;
	st->st_nlink = 1;
	return 0;
}

static long stat_fd(long fd, struct stat *st)
{
	struct open_file *f = get(fd);

	return f ? fill_stat(f, st) : -EBADF;
}

static long do_access(const char *path, long mode)
{
	struct open_file f = lookup(path);

	if (f.kind == CLOSED)
		return los_streq(path, "/") && !(mode & W_OK) ? 0 : -ENOENT;
	if (mode & X_OK)
		return -EACCES;
	return f.kind == EMBEDDED && (mode & W_OK) ? -EROFS : 0;
}

static long do_fcntl(long fd, long command, long arg)
{
	struct open_file *f = get(fd);

	if (!f)
		return -EBADF;
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return arg >= FDS ? -EINVAL : duplicate(*f, arg);
	case F_SETFL:
		if (f->kind == SOCKET)
			los_socket_set_nonblock(f->socket, arg & O_NONBLOCK);
		return 0;
	case F_GETFD:
	case F_SETFD:
	case F_SETLK: /* the only process there is always gets its lock */
	case F_SETLKW:
		return 0;
	case F_GETFL:
		if (f->kind == SOCKET && los_socket_nonblock(f->socket))
			return O_RDWR | O_NONBLOCK;
		return f->kind == INPUT || f->kind == EMBEDDED ? O_RDONLY : O_RDWR;
	default:
		return -EINVAL;
	}
}

static long do_close(long fd)
{
	struct open_file *f = get(fd);

	if (!f)
		return -EBADF;
	if (fd <= 2) /* the log stays open, whatever a program closes */
		return 0;
	struct los_socket *s = f->kind == SOCKET ? f->socket : NULL;
	*f = (struct open_file){ .kind = CLOSED };
	if (s)
		los_socket_release(s);
	return 0;
}

static long do_ioctl(long fd, unsigned long request, int *value)
{
	struct open_file *f = get(fd);

	if (!f)
		return -EBADF;
	return f->kind == SOCKET ? los_socket_ioctl(f->socket, request, value) : -ENOTTY;
}

long los_fd_new(struct los_socket *s)
{
	long fd = duplicate((struct open_file){ .kind = SOCKET, .socket = s }, 3);

	if (fd >= 0)
		los_socket_release(s); /* the descriptor has one of its own */
	return fd;
}

struct los_socket *los_fd_socket(long fd)
{
	struct open_file *f = get(fd);

	return f && f->kind == SOCKET ? f->socket : NULL;
}

bool los_fd_open(long fd)
{
	return get(fd);
}

short los_fd_ready(long fd)
{
	struct open_file *f = get(fd);

	if (!f)
		return POLLNVAL;
	return f->kind == SOCKET ? los_socket_ready(f->socket) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static long do_readlink(const char *path, char *to, long size)
{
	static const char self[] = "/app";

	if (!los_streq(path, "/proc/self/exe") || size < (long)sizeof self - 1)
		return -ENOENT;
	los_copy(to, self, sizeof self - 1);
	return sizeof self - 1;
}

static long path_call(long number, const long *a)
{
	switch (number) {
	case SYS_open:
		return do_open((const char *)a[0], a[1]);
	case SYS_openat:
		return do_open((const char *)a[1], a[2]);
	case SYS_stat:
	case SYS_lstat:
		return stat_path((const char *)a[0], (struct stat *)a[1]);
	case SYS_newfstatat:
		if ((a[3] & AT_EMPTY_PATH) && !*(const char *)a[1])
			return stat_fd(a[0], (struct stat *)a[2]);
		return stat_path((const char *)a[1], (struct stat *)a[2]);
	case SYS_access:
		return do_access((const char *)a[0], a[1]);
	case SYS_faccessat:
	case SYS_faccessat2:
		return do_access((const char *)a[1], a[2]);
	case SYS_readlink:
		return do_readlink((const char *)a[0], (char *)a[1], a[2]);
	case SYS_readlinkat:
		return do_readlink((const char *)a[1], (char *)a[2], a[3]);
	default:
		return -ENOSYS;
	}
}

long los_file_call(long number, const long *a)
{
	switch (number) {
	case SYS_read:
		return do_read(a[0], (void *)a[1], (size_t)a[2]);
	case SYS_readv:
		return each_vector(a[0], (const struct iovec *)a[1], a[2], do_read);
	case SYS_pread64:
		return los_pread((int)a[0], (void *)a[1], (size_t)a[2], (uint64_t)a[3]);
	case SYS_write:
		return do_write(a[0], (const void *)a[1], (size_t)a[2]);
	case SYS_writev:
		return each_vector(a[0], (const struct iovec *)a[1], a[2], write_one);
	case SYS_lseek:
		return do_seek(a[0], a[1], a[2]);
	case SYS_close:
		return do_close(a[0]);
	case SYS_fstat:
		return stat_fd(a[0], (struct stat *)a[1]);
	case SYS_fcntl:
		return do_fcntl(a[0], a[1], a[2]);
	case SYS_dup:
		return get(a[0]) ? duplicate(*get(a[0]), 0) : -EBADF;
	case SYS_ioctl:
		return do_ioctl(a[0], (unsigned long)a[1], (int *)a[2]);
	default:
		return path_call(number, a);
	}
}
