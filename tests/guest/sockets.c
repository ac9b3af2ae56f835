/* SPDX-License-Identifier: MIT
 *
 * Test guest: TCP as an app uses it, as a client of the sinks it was granted. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/paths.h"

static struct ppce_response *out;

static long number(const struct ppce_request *req, const char *name, long otherwise)
{
	char text[24];

	return ppce_query_get(req, name, text, sizeof text) < 0 ? otherwise : strtol(text, NULL, 0);
}

static const char *word(const struct ppce_request *req, const char *name, const char *otherwise)
{
	static char text[4][256];
	static unsigned next;
	char *to = text[next++ % 4];

	return ppce_query_get(req, name, to, sizeof text[0]) < 0 ? otherwise : to;
}

static int failed(struct ppce_response *res, const char *what)
{
	return ppce_reply(res, 502, "text/plain", "%s: %s\n", what, strerror(errno));
}

/* A connection to the sink that the query names, by name or number; -1: the answer says why. */
static int dial(const struct ppce_request *req, struct ppce_response *res, int flags)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	const char *host = word(req, "host", "records-db");
	int bad = getaddrinfo(host, word(req, "port", "5432"), &hints, &found);

	if (bad) {
		ppce_reply(res, 502, "text/plain", "getaddrinfo: %s\n", gai_strerror(bad));
		return -1;
	}
	int fd = socket(found->ai_family, found->ai_socktype | flags, found->ai_protocol);
	if (fd < 0)
		failed(res, "socket");
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0 && errno != EINPROGRESS) {
		failed(res, "connect");
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static int read_all(int fd, struct ppce_response *res)
{
	char part[3000];
	ssize_t n;

	ppce_reply(res, 200, "application/octet-stream", "%s", "");
	while ((n = read(fd, part, sizeof part)) > 0)
		ppce_body(res, part, (size_t)n);
	return n < 0 ? failed(res, "read") : 0;
}

/* Sends the request's body to a sink, closes that half, answers what the sink says. */
static int fetch(const struct ppce_request *req, struct ppce_response *res)
{
	int fd = dial(req, res, 0);

	if (fd < 0)
		return 0;
	ssize_t n = write(fd, req->body, req->body_len);
	if (n != (ssize_t)req->body_len)
		failed(res, "write");
	else if (shutdown(fd, SHUT_WR) < 0)
		failed(res, "shutdown");
	else
		read_all(fd, res);
	close(fd);
	return 0;
}

/* As libpq does it: without blocking, asking poll() for everything. */
static int fetch_by_poll(const struct ppce_request *req, struct ppce_response *res)
{
	int fd = dial(req, res, SOCK_NONBLOCK), error = -1;
	struct pollfd p = { fd, POLLOUT, 0 };
	socklen_t len = sizeof error;
	size_t sent = 0;
	char part[3000];

	if (fd < 0)
		return 0;
	ppce_reply(res, 200, NULL, "%s", "");
	if (poll(&p, 1, -1) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
		errno = error;
		failed(res, "connect");
		p.events = 0;
	}
	for (p.events = p.events ? POLLIN | POLLOUT : 0; p.events && poll(&p, 1, -1) == 1;) {
		ssize_t n = 1;
		if (p.revents & POLLOUT && (p.events & POLLOUT)) {
			n = send(fd, (const char *)req->body + sent, req->body_len - sent, MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
		}
		if (sent == req->body_len && p.events & POLLOUT) {
			shutdown(fd, SHUT_WR);
			p.events = POLLIN;
		}
		if (p.revents & POLLIN) {
			n = recv(fd, part, sizeof part, 0);
			ppce_body(res, part, n > 0 ? (size_t)n : 0);
			p.events = n == 0 ? 0 : p.events;
		}
		if (n < 0 && errno != EAGAIN) {
			failed(res, "transfer");
			break;
		}
	}
	close(fd);
	return 0;
}

static int echo(const struct ppce_request *req, struct ppce_response *res)
{
	ppce_reply(res, 200, "application/octet-stream", "%s", "");
	return ppce_body(res, req->body, req->body_len);
}

static int show_file(const struct ppce_request *req, struct ppce_response *res)
{
	FILE *f = fopen(word(req, "path", "/etc/hosts"), "r");
	char line[200];

	if (!f)
		return failed(res, "fopen");
	ppce_reply(res, 200, "text/plain", "%s", "");
	while (fgets(line, sizeof line, f))
		ppce_printf(res, "%s", line);
	return fclose(f);
}

static int do_sleep(const struct ppce_request *req, struct ppce_response *res)
{
	uint64_t before = ppce_monotonic_ns();

	usleep((unsigned)number(req, "ms", 10) * 1000);
	return ppce_reply(res, 200, "text/plain", "%lu\n", (ppce_monotonic_ns() - before) / 1000000);
}

static int do_log(const struct ppce_request *req, struct ppce_response *res)
{
	printf("half a line");
	fprintf(stderr, "on standard error\n");
	return ppce_reply(res, 200, "text/plain", "%s %d\n", req->id, (int)getpid());
}

/* How many requests this memory has seen. */
static int counter(const struct ppce_request *req, struct ppce_response *res)
{
	static unsigned count;

	(void)req;
	return ppce_reply(res, 200, "text/plain", "%u\n", ++count);
}

/* Keeps a connection from one request to the next. */
static int kept(const struct ppce_request *req, struct ppce_response *res)
{
	static int fd = -1;
	char part[100];

	if (fd < 0)
		fd = dial(req, res, 0);
	if (fd < 0)
		return 0;
	if (write(fd, "ping", 4) != 4)
		return failed(res, "write");
	ssize_t n = read(fd, part, sizeof part - 1);
	return n < 0 ? failed(res, "read") : ppce_reply(res, 200, NULL, "%.*s", (int)n, part);
}

/* --- one call after the other --- */

static void check(const char *what, bool good)
{
	ppce_printf(out, "%s %s%s%s\n", good ? "ok" : "FAIL", what, good ? "" : ": errno ",
		    good ? "" : strerror(errno));
}

static bool fails(long result, int with)
{
	return result == -1 && errno == with;
}

static struct sockaddr_in address(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static void check_unconnected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), n = 0;
	struct sockaddr_in a = address("10.77.0.1", 1);
	socklen_t len = sizeof a;

	check("socket", fd > 2);
	check("a port that was not granted", fails(connect(fd, (void *)&a, sizeof a), ECONNREFUSED));
	check("getpeername unconnected", fails(getpeername(fd, (void *)&a, &len), ENOTCONN));
	check("getsockname unconnected", getsockname(fd, (void *)&a, &len) == 0 && len == sizeof a && a.sin_port == 0);
	check("recv unconnected", fails(recv(fd, &n, 1, 0), ENOTCONN));
	check("shutdown unconnected", fails(shutdown(fd, SHUT_RD), ENOTCONN));
	check("accept without listen", fails(accept(fd, NULL, NULL), EINVAL));
	check("FIONREAD", ioctl(fd, FIONREAD, &n) == 0 && n == 0);
	check("lseek", fails(lseek(fd, 0, SEEK_SET), ESPIPE));
	a = address("10.77.0.1", 5432);
	check("bind elsewhere", fails(bind(fd, (void *)&a, sizeof a), EADDRNOTAVAIL));
	check("a short address", fails(connect(fd, (void *)&a, 4), EINVAL));
	a.sin_family = AF_INET6;
	check("another family", fails(connect(fd, (void *)&a, sizeof a), EAFNOSUPPORT));
	check("close", close(fd) == 0 && fails(close(fd), EBADF) && fails(recv(fd, &n, 1, 0), EBADF));
	check("not a socket", fails(recv(0, &n, 1, 0), ENOTSOCK));
	check("UDP", fails(socket(AF_INET, SOCK_DGRAM, 0), ESOCKTNOSUPPORT));
	check("IPv6", fails(socket(AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT));
	check("Unix", fails(socket(AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT));
}

static void check_options(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), n = 0, on = 1;
	struct timeval t = { 2, 500000 }, got;
	socklen_t len = sizeof n;

	check("SOCK_NONBLOCK", fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	check("F_SETFL", fcntl(fd, F_SETFL, 0) == 0 && fcntl(fd, F_GETFL) == O_RDWR);
	check("FIONBIO", ioctl(fd, FIONBIO, &on) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	check("SO_TYPE", getsockopt(fd, SOL_SOCKET, SO_TYPE, &n, &len) == 0 && n == SOCK_STREAM && len == 4);
	check("TCP_NODELAY", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, 4) == 0 &&
				     getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &n, &len) == 0 && n == 1);
	n = 30;
	check("TCP_KEEPIDLE", setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &n, 4) == 0 &&
				      getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &n, &len) == 0 && n == 30);
	check("SO_KEEPALIVE", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, 4) == 0);
	check("SO_REUSEADDR", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4) == 0);
	check("an unknown option", fails(setsockopt(fd, SOL_SOCKET, 9999, &on, 4), ENOPROTOOPT));
	len = sizeof got;
	check("SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0 &&
				     getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len) == 0 && got.tv_sec == 2 &&
				     got.tv_usec == 500000);
	close(fd);
}

static void check_poll(void)
{
	struct pollfd p[3] = { { 0, POLLIN, 7 }, { 31, POLLIN, 7 }, { -1, POLLIN, 7 } };
	struct timeval none = { 0, 1000 };
	fd_set r, w;

	check("poll", poll(p, 3, -1) == 2 && p[0].revents == POLLIN && p[1].revents == POLLNVAL && p[2].revents == 0);
	check("poll of nothing", poll(NULL, 0, 1) == 0);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(0, &r);
	FD_SET(1, &w);
	check("select", select(2, &r, &w, NULL, NULL) == 2 && FD_ISSET(0, &r) && FD_ISSET(1, &w));
	check("select of nothing", select(0, NULL, NULL, NULL, &none) == 0);
	FD_SET(31, &r);
	check("select of a closed one", fails(select(32, &r, NULL, NULL, NULL), EBADF));
}

/* The sink echoes. */
static void check_connected(const struct ppce_request *req)
{
	int fd = dial(req, out, 0), copy = dup(fd), n = 0;
	struct sockaddr_in a;
	struct pollfd p = { fd, POLLIN | POLLOUT, 0 };
	socklen_t len = sizeof a;
	struct timeval t = { 0, 20000 };
	char one[4], two[10];
	struct iovec v[2] = { { one, 4 }, { two, 10 } };

	check("connect", fd >= 0 && copy == fd + 1);
	check("connect again", fails(connect(fd, (void *)&a, sizeof a), EAFNOSUPPORT) || errno == EISCONN);
	check("getpeername", getpeername(fd, (void *)&a, &len) == 0 && ntohs(a.sin_port) == 5432);
	check("getsockname", getsockname(fd, (void *)&a, &len) == 0 && a.sin_port && a.sin_addr.s_addr);
	check("nothing to read yet", poll(&p, 1, 0) == 1 && p.revents == POLLOUT);
	check("MSG_DONTWAIT", fails(recv(fd, one, 1, MSG_DONTWAIT), EAGAIN));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	check("SO_RCVTIMEO ends a recv", fails(recv(fd, one, 1, 0), EAGAIN));
	t.tv_usec = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	struct iovec hello[2] = { { "hel", 3 }, { "lo", 2 } };
	check("writev", writev(fd, hello, 2) == 5);
	p.events = POLLIN;
	check("poll waits", poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
	check("MSG_PEEK", recv(fd, one, 4, MSG_PEEK | MSG_WAITALL) > 0 && one[0] == 'h');
	check("readv", readv(copy, v, 2) == 5 && memcmp(one, "hell", 4) == 0 && two[0] == 'o');
	check("send", send(fd, "123456", 6, MSG_NOSIGNAL) == 6);
	check("MSG_WAITALL", recv(fd, two, 6, MSG_WAITALL) == 6 && memcmp(two, "123456", 6) == 0);
	check("FIONREAD", ioctl(fd, FIONREAD, &n) == 0 && n == 0);
	check("close of one descriptor", close(fd) == 0 && write(copy, "x", 1) == 1 && read(copy, one, 1) == 1);
	check("shutdown", shutdown(copy, SHUT_WR) == 0 && fails(write(copy, "x", 1), EPIPE));
	check("end of stream", read(copy, one, 1) == 0 && read(copy, one, 1) == 0);
	p = (struct pollfd){ copy, POLLIN | POLLRDHUP, 0 };
	check("POLLHUP", poll(&p, 1, 0) == 1 && (p.revents & (POLLIN | POLLHUP | POLLRDHUP)));
	close(copy);
}

/* A server of the app's own, and as many sockets as there are. */
static void check_many(void)
{
	int fds[40], n = 0;
	struct sockaddr_in a = address("0.0.0.0", 0);
	socklen_t len = sizeof a;

	while (n < 40 && (fds[n] = socket(AF_INET, SOCK_STREAM, 0)) >= 0)
		n++;
	check("the number of sockets is bounded", n > 4 && n < 32 && (errno == ENFILE || errno == EMFILE));
	check("bind to any port",
	      bind(fds[0], (void *)&a, sizeof a) == 0 && getsockname(fds[0], (void *)&a, &len) == 0 && a.sin_port);
	check("bind to a used port", fails(bind(fds[1], (void *)&a, sizeof a), EADDRINUSE));
	check("listen", listen(fds[0], 1) == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	check("nobody to accept", fails(accept(fds[0], NULL, NULL), EAGAIN));
	while (n > 0)
		close(fds[--n]);
}

static int all_calls(const struct ppce_request *req, struct ppce_response *res)
{
	out = res;
	ppce_reply(res, 200, "text/plain", "%s", "");
	check_unconnected();
	check_options();
	check_poll();
	check_connected(req);
	check_many();
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	static const struct test_path paths[] = { { "/echo", echo },	      { "/fetch", fetch },
						  { "/poll", fetch_by_poll }, { "/file", show_file },
						  { "/sleep", do_sleep },     { "/log", do_log },
						  { "/kept", kept },	      { "/counter", counter },
						  { "/calls", all_calls } };

	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "sockets", .handle = handle, .warm_path = "/none", .request_kib = 4096, .response_kib = 4096)
