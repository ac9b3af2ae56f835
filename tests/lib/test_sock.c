/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/sock.h"

static char dir[] = "/tmp/ppce-test-sock-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/a.sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

/* The number of open descriptors: what a hostile packet must not raise. */
static int open_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void make_pair(int type, int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void close_pair(int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void test_pass_fds(void **state)
{
	(void)state;
	int pair[2], fds[SOCK_FDS_MAX], pipe_fds[2], before = open_fds();
	char text[16];
	make_pair(SOCK_SEQPACKET, pair);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(sock_send_fds(pair[0], "hi", 2, pipe_fds, 2), 0);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), 2);
	assert_memory_equal(text, "hi", 2);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	assert_int_equal(fds[2], -1);
	assert_int_equal(fds[3], -1);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fds[1], "z", 1), 1); /* they are the two ends of that pipe, in order */
	assert_int_equal(read(pipe_fds[0], text, 1), 1);
	assert_int_equal(text[0], 'z');
	sock_close(&fds[0]);
	sock_close(&fds[1]);
	assert_int_equal(fds[0], -1);
	close_pair(pipe_fds);
	close_pair(pair);
	assert_int_equal(open_fds(), before);
}

static void test_plain_packets(void **state)
{
	(void)state;
	int pair[2], fds[SOCK_FDS_MAX];
	char text[16];
	make_pair(SOCK_SEQPACKET, pair);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(sock_send_fds(pair[0], "one", 3, NULL, 0), 0);
	assert_int_equal(sock_send_fds(pair[0], "three", 5, NULL, 0), 0);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), 3);
	assert_int_equal(fds[0], -1);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), 5);
	assert_int_equal(sock_send_fds(pair[0], "", 0, NULL, 0), -1);
	assert_int_equal(errno, EINVAL);
	close(pair[0]);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), 0);
	assert_int_equal(sock_send_fds(pair[1], "x", 1, NULL, 0), -1); /* no SIGPIPE */
	assert_int_equal(errno, EPIPE);
	close(pair[1]);
}

static void test_truncated(void **state)
{
	(void)state;
	int pair[2], fds[SOCK_FDS_MAX], zero, before = open_fds();
	char text[4];
	make_pair(SOCK_SEQPACKET, pair);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sock_send_fds(pair[0], "12345", 5, &zero, 1), 0);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), -1);
	assert_int_equal(errno, EBADMSG);
	for (int i = 0; i < SOCK_FDS_MAX; i++)
		assert_int_equal(fds[i], -1);
	close(zero);
	close_pair(pair);
	assert_int_equal(open_fds(), before);
}

/* A peer that sends more descriptors than the contract allows: by hand, since our own sender refuses. */
static void send_many(int fd, size_t n)
{
	int fds[32];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof fds)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int))
	};
	for (size_t i = 0; i < n; i++)
		fds[i] = STDIN_FILENO;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, 0), 1);
}

static void test_surplus_fds(void **state)
{
	(void)state;
	int pair[2], fds[SOCK_FDS_MAX], before = open_fds(), none[SOCK_FDS_MAX + 1] = { 0 };
	char text[4];
	make_pair(SOCK_SEQPACKET, pair);
	for (size_t n = SOCK_FDS_MAX + 1; n <= 32; n++) {
		send_many(pair[0], n);
		assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), -1);
		assert_int_equal(errno, EBADMSG);
		for (int i = 0; i < SOCK_FDS_MAX; i++)
			assert_int_equal(fds[i], -1);
		assert_int_equal(open_fds(), before + 2);
	}
	send_many(pair[0], SOCK_FDS_MAX);
	assert_int_equal(sock_recv_fds(pair[1], text, sizeof text, fds), 1);
	for (int i = 0; i < SOCK_FDS_MAX; i++)
		sock_close(&fds[i]);
	assert_int_equal(sock_send_fds(pair[0], "x", 1, none, SOCK_FDS_MAX + 1), -1);
	assert_int_equal(errno, EINVAL);
	close_pair(pair);
	assert_int_equal(open_fds(), before);
}

/* Where at most one descriptor is expected, or none: the others are closed, and one hears of them. */
static void test_at_most_one_fd(void **state)
{
	(void)state;
	int pair[2], only, before = open_fds();
	bool surplus;
	char text[4];
	make_pair(SOCK_SEQPACKET, pair);
	assert_int_equal(sock_recv_packet(pair[1], text, sizeof text, &only, &surplus), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(only == -1 && !surplus);
	for (size_t n = 1; n <= SOCK_FDS_MAX; n++) {
		send_many(pair[0], n);
		assert_int_equal(sock_recv_packet(pair[1], text, sizeof text, NULL, &surplus), 1);
		assert_true(surplus);
		send_many(pair[0], n);
		assert_int_equal(sock_recv_packet(pair[1], text, sizeof text, &only, &surplus), 1);
		assert_true(only >= 0 && surplus == (n > 1));
		assert_int_equal(open_fds(), before + 3);
		sock_close(&only);
	}
	assert_int_equal(sock_send_fds(pair[0], "x", 1, NULL, 0), 0);
	assert_int_equal(sock_recv_packet(pair[1], text, sizeof text, NULL, &surplus), 1);
	assert_false(surplus);
	close_pair(pair);
	assert_int_equal(open_fds(), before);
}

static void test_listen(void **state)
{
	(void)state;
	struct err err;
	struct stat st;
	pid_t pid = 0;
	int fd = sock_listen_unix(path, SOCK_SEQPACKET, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	int client = sock_connect_unix(path, SOCK_SEQPACKET, &err);
	assert_true(client >= 0);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	int server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	assert_int_equal(sock_check_peer(server, &pid, &err), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(sock_check_peer(client, NULL, &err), 0);
	close(server);
	close(client);
	close(fd);
}

static void test_stale(void **state)
{
	(void)state;
	struct err err;
	int first = sock_listen_unix(path, SOCK_STREAM, &err);
	assert_true(first >= 0);
	/* someone listens: of the same type or the other one, it is not taken away */
	assert_int_equal(sock_listen_unix(path, SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(sock_listen_unix(path, SOCK_SEQPACKET, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	int client = sock_connect_unix(path, SOCK_STREAM, &err);
	assert_true(client >= 0);
	close(client);
	close(first); /* the file stays, as after a kill -9 */
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(sock_connect_unix(path, SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, path));
	int second = sock_listen_unix(path, SOCK_STREAM, &err);
	assert_true(second >= 0);
	client = sock_connect_unix(path, SOCK_STREAM, &err);
	assert_true(client >= 0);
	close(client);
	close(second);
}

static void test_full_backlog(void **state)
{
	(void)state;
	struct err err;
	int fd = sock_listen_unix(path, SOCK_STREAM, &err), clients[64], n = 0;
	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 1), 0); /* a listener that never accepts fills up at once */
	while (n < 64 && (clients[n] = sock_connect_unix(path, SOCK_STREAM, &err)) >= 0)
		n++;
	assert_true(n < 64);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_int_equal(sock_listen_unix(path, SOCK_STREAM, &err), -1); /* busy is not stale */
	assert_int_equal(err.kind, ERR_CONFLICT);
	while (n > 0)
		close(clients[--n]);
	close(fd);
}

static void test_bad_paths(void **state)
{
	(void)state;
	struct err err;
	char longest[200], file[80];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(sock_listen_unix(longest, SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(sock_connect_unix("", SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(sock_connect_unix("/nonexistent/a.sock", SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_int_equal(sock_listen_unix("/nonexistent/a.sock", SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	/* an ordinary file at the path is never removed */
	snprintf(file, sizeof file, "%s/plain", dir);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(sock_listen_unix(file, SOCK_STREAM, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(unlink(file), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_fds),       cmocka_unit_test(test_plain_packets),
		cmocka_unit_test(test_truncated),      cmocka_unit_test(test_surplus_fds),
		cmocka_unit_test(test_at_most_one_fd), cmocka_unit_test(test_listen),
		cmocka_unit_test(test_stale),	       cmocka_unit_test(test_full_backlog),
		cmocka_unit_test(test_bad_paths),
	};
	return cmocka_run_group_tests_name("sock", tests, make_dir, remove_dir);
}
