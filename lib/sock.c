/* SPDX-License-Identifier: MIT */
#include "lib/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fill_address(struct sockaddr_un *addr, const char *path, struct err *err)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if (!len || len >= sizeof addr->sun_path)
		return err_set(err, ERR_CONFIG, "%s: a Unix socket's path has 1 to %zu bytes", path,
			       sizeof addr->sun_path - 1);
	memcpy(addr->sun_path, path, len + 1);
	return 0;
}

int sock_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void sock_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Does anyone answer on the socket file? 1 yes, 0 no. A full backlog (EAGAIN) is a live listener too; so is a listener
 * of the other socket type (EPROTOTYPE) and one that we may not talk to (EACCES). */
static int is_alive(const struct sockaddr_un *addr, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 1; /* cannot tell: do not take the file away from anyone */
	int rc = connect(fd, (const struct sockaddr *)addr, sizeof *addr);
	int why = errno;
	close(fd);
	return rc == 0 || (why != ECONNREFUSED && why != ENOENT);
}

static int remove_stale(const struct sockaddr_un *addr, int type, struct err *err)
{
	struct stat st;
	if (lstat(addr->sun_path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_errno(err, ERR_CONFIG, "%s", addr->sun_path);
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFLICT, "%s: exists and is not a socket", addr->sun_path);
	if (is_alive(addr, type))
		return err_set(err, ERR_CONFLICT, "%s: another process listens there already", addr->sun_path);
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return err_errno(err, ERR_CONFIG, "%s: cannot remove the stale socket", addr->sun_path);
	return 0;
}

int sock_listen_unix(const char *path, int type, struct err *err)
{
	struct sockaddr_un addr;
	if (fill_address(&addr, path, err) < 0 || remove_stale(&addr, type, err) < 0)
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "%s: socket", path);
	/* On Linux bind(2) makes the file with the mode of the socket's inode less the umask: set before bind, nobody can
	 * connect in between, and the process-wide umask stays alone. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		err_errno(err, errno == EADDRINUSE ? ERR_CONFLICT : ERR_CONFIG, "%s: bind", path);
		close(fd);
		return -1;
	}
	if (listen(fd, 512) < 0) {
		err_errno(err, ERR_INTERNAL, "%s: listen", path);
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

int sock_connect_unix(const char *path, int type, struct err *err)
{
	struct sockaddr_un addr;
	if (fill_address(&addr, path, err) < 0)
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "%s: socket", path);
	/* Non-blocking from the start: a listener with a full backlog must not hang its clients (EAGAIN). */
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		err_errno(err, errno == EACCES ? ERR_DENIED : ERR_UNAVAILABLE, "%s", path);
		close(fd);
		return -1;
	}
	return fd;
}

int sock_check_peer(int fd, pid_t *pid, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_errno(err, ERR_DENIED, "peer credentials");
	if (cred.uid != 0 && cred.uid != geteuid())
		return err_set(err, ERR_DENIED, "the peer has uid %u; only root and uid %u may connect",
			       (unsigned)cred.uid, (unsigned)geteuid());
	if (pid)
		*pid = cred.pid;
	return 0;
}

int sock_send_fds(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	if (!len || nfds > SOCK_FDS_MAX) { /* an empty packet would look like the end of the connection */
		errno = EINVAL;
		return -1;
	}
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * SOCK_FDS_MAX)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (nfds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0 && (size_t)n != len) { /* only possible on a stream socket, which is a mistake of the caller */
		errno = EMSGSIZE;
		return -1;
	}
	return n < 0 ? -1 : 0;
}

/* Takes the descriptors out of one received message; surplus ones are closed. Returns whether all of them fitted. */
static bool take_fds(struct msghdr *msg, int *fds)
{
	size_t taken = 0;
	bool fits = true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (taken < SOCK_FDS_MAX) {
				fds[taken++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

ssize_t sock_recv_fds(int fd, void *data, size_t size, int *fds)
{
	for (size_t i = 0; i < SOCK_FDS_MAX; i++)
		fds[i] = -1;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * SOCK_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	ssize_t n;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	bool fits = take_fds(&msg, fds);
	if (fits && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	for (size_t i = 0; i < SOCK_FDS_MAX; i++)
		sock_close(&fds[i]);
	errno = EBADMSG;
	return -1;
}

ssize_t sock_recv_packet(int fd, void *data, size_t size, int *only, bool *surplus)
{
	int fds[SOCK_FDS_MAX];
	ssize_t n = sock_recv_fds(fd, data, size, fds);

	*surplus = false;
	if (only)
		*only = fds[0];
	for (size_t i = only ? 1 : 0; i < SOCK_FDS_MAX; i++) {
		*surplus = *surplus || fds[i] >= 0;
		sock_close(&fds[i]);
	}
	return n;
}
