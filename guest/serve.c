/* SPDX-License-Identifier: MIT
 *
 * A small HTTP/1.1 server on plain sockets: of an instance with a network, behind the platform's proxy, and of --serve,
 * for debugging. Some connections are kept, one request is served at a time, every length and time is bounded. */
#include "guest/http.h"
#include "guest/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, ANSWER_MAX = APP_HEADER_BYTES + 512, CLIENTS = 6, BACKLOG = 4, LINGER_SECONDS = 1 };

struct server {
	uint8_t *request, *response;
	size_t request_max, response_max;
	long seconds;		       /* that a client may take to send or receive the next bytes */
	struct app_ask nobody;	       /* who asks where a request does not say */
	struct pollfd at[1 + CLIENTS]; /* [0]: the listening socket; then the clients, the longest idle first */
	unsigned n;		       /* clients */
};

/* What has come from the client that is being served: a request's head, and perhaps what follows it. */
static struct {
	size_t len;
	char text[HEAD_MAX + 1];
} in;

static void set_limit(int fd, int option, long seconds)
{
	const struct timeval t = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, option, &t, sizeof t);
}

/* --- answers --- */

static int send_all(int fd, struct iovec *v, size_t count)
{
	while (count) {
		struct msghdr m = { .msg_iov = v, .msg_iovlen = count };
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		size_t sent = (size_t)n;
		for (; count && sent >= v->iov_len; v++, count--)
			sent -= v->iov_len;
		if (count) {
			v->iov_base = (char *)v->iov_base + sent;
			v->iov_len -= sent;
		}
	}
	return 0;
}

static int send_text(int fd, const char *text)
{
	struct iovec v = { (void *)text, strlen(text) };

	return send_all(fd, &v, 1);
}

/* What the client is still sending is read for a moment: closing with bytes unread would reset the connection, and the
 * answer might be lost with it. */
static void refuse(const struct server *s, int fd, int status)
{
	char text[96];

	snprintf(text, sizeof text, "HTTP/1.1 %d \r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	if (send_text(fd, text) < 0 || shutdown(fd, SHUT_WR) < 0)
		return;
	set_limit(fd, SO_RCVTIMEO, LINGER_SECONDS);
	for (size_t left = s->request_max; left > HEAD_MAX;) {
		ssize_t n = recv(fd, in.text, HEAD_MAX, 0);
		if (n <= 0)
			return;
		left -= (size_t)n;
	}
}

static size_t append(char *to, size_t at, const char *text, size_t len)
{
	if (len > ANSWER_MAX - at)
		len = ANSWER_MAX - at; /* cannot be: response.c bounds the fields */
	memcpy(to + at, text, len);
	return at + len;
}

static size_t write_head(char *to, const struct wire_response *w, bool bodiless, bool close_after)
{
	const struct wire_field *f = wire_fields(w, sizeof *w);
	char line[96];
	size_t n = (size_t)snprintf(to, ANSWER_MAX, "HTTP/1.1 %u \r\n", w->status);

	if (!bodiless)
		n = append(to, n, line, (size_t)snprintf(line, sizeof line, "Content-Length: %u\r\n", w->body.len));
	if (close_after)
		n = append(to, n, "Connection: close\r\n", 19);
	if (w->release)
		n = append(to, n, "PPCE-Release: 1\r\n", 17);
	for (uint32_t i = 0; i < w->fields; i++) {
		if (strncmp(wire_text(w, f[i].name), "ppce-", 5) == 0)
			continue; /* these are the platform's */
		n = append(to, n, wire_text(w, f[i].name), f[i].name.len);
		n = append(to, n, ": ", 2);
		n = append(to, n, wire_text(w, f[i].value), f[i].value.len);
		n = append(to, n, "\r\n", 2);
	}
	return append(to, n, "\r\n", 2);
}

static int send_response(int fd, const struct wire_response *w, bool head_only, bool close_after)
{
	static char head[ANSWER_MAX];
	bool bodiless = w->status == 204 || w->status == 304;
	struct iovec v[2] = { { head, write_head(head, w, bodiless, close_after) },
			      { (void *)wire_text(w, w->body), w->body.len } };

	return send_all(fd, v, bodiless || head_only ? 1 : 2);
}

/* --- requests --- */

/* 0: a whole head is in `in`, *len bytes long; else the status to refuse it with, or -1: the client has gone. */
static int receive_head(int fd, size_t *len)
{
	for (;;) {
		const char *end = memmem(in.text, in.len, "\r\n\r\n", 4);
		if (end) {
			*len = (size_t)(end - in.text) + 4;
			in.text[in.len] = '\0';
			return memchr(in.text, '\0', *len) ? 400 : 0;
		}
		if (in.len == HEAD_MAX)
			return 431;
		ssize_t n = recv(fd, in.text + in.len, HEAD_MAX - in.len, 0);
		if (n <= 0)
			return in.len ? 408 : -1;
		in.len += (size_t)n;
	}
}

/* The rest of the body, straight to where it belongs. What follows it stays in `in`. */
static int receive_body(int fd, size_t head_len, uint8_t *to, size_t len, bool expects)
{
	size_t have = in.len - head_len < len ? in.len - head_len : len;

	memcpy(to, in.text + head_len, have);
	in.len -= head_len + have;
	memmove(in.text, in.text + head_len + have, in.len);
	if (have < len && expects && send_text(fd, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
		return -1;
	while (have < len) {
		ssize_t n = recv(fd, to + have, len - have, 0);
		if (n <= 0)
			return 408;
		have += (size_t)n;
	}
	return 0;
}

/* Serves the next request of a client; false: the connection is done with. */
static bool serve_one(struct server *s, int fd)
{
	static struct app_ask ask;
	struct http_head head = { .ask = &ask, .body_max = s->request_max };
	size_t head_len = 0, len = 0;
	int status = receive_head(fd, &head_len);

	ask = s->nobody;
	if (status == 0)
		status = http_parse(in.text, &head);
	if (status == 0 && !(len = app_ask_encode(&ask, s->request, s->request_max)))
		status = 413;
	if (status == 0)
		status = receive_body(fd, head_len, s->request + (len - ask.body_len - 1), ask.body_len, head.expects);
	if (status > 0)
		refuse(s, fd, status);
	if (status != 0)
		return false;
	len = app_serve(s->request, len, s->response, s->response_max);
	fflush(stdout);
	if (los_io)
		los_next_request();
	const struct wire_response *w = wire_response_decode(s->response, len);
	return w && send_response(fd, w, head.head_only, head.close) == 0 && !head.close;
}

/* --- connections --- */

/* Takes client i out of the list, so that those after it move up. */
static int take_out(struct server *s, unsigned i)
{
	int fd = s->at[i].fd;

	memmove(&s->at[i], &s->at[i + 1], (s->n - i) * sizeof s->at[i]);
	s->n--;
	return fd;
}

static void add(struct server *s, int fd)
{
	s->at[++s->n] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* Everything that the client has sent in one go is served in one go: only one buffer is needed for all. */
static void serve_client(struct server *s, unsigned i)
{
	int fd = take_out(s, i);
	bool goes_on;

	in.len = 0;
	do
		goes_on = serve_one(s, fd);
	while (goes_on && in.len);
	if (goes_on)
		add(s, fd);
	else
		close(fd);
}

static int admit(struct server *s)
{
	int fd = accept4(s->at[0].fd, NULL, NULL, SOCK_CLOEXEC), on = 1;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : -1;
	set_limit(fd, SO_RCVTIMEO, s->seconds);
	set_limit(fd, SO_SNDTIMEO, s->seconds);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (s->n == CLIENTS)
		close(take_out(s, 1)); /* the longest idle one */
	add(s, fd);
	return 0;
}

/* Ends only when no connection can be accepted any more. */
static void run(struct server *s)
{
	for (;;) {
		if (poll(s->at, 1 + s->n, -1) < 0 && errno != EINTR)
			return;
		for (unsigned i = s->n; i >= 1; i--)
			if (s->at[i].revents)
				serve_client(s, i);
		if (s->at[0].revents && admit(s) < 0)
			return;
	}
}

static int listen_on(struct server *s, struct in_addr ip, uint16_t port)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = ip, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	s->at[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return -1;
	return bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0 ? -1 : listen(fd, BACKLOG);
}

/* --- where it is used --- */

_Noreturn void app_network_server(uint16_t port)
{
	static struct server s;

	s = (struct server){ .request = (uint8_t *)los_io->request_at,
			     .request_max = (size_t)los_io->request_max,
			     .response = (uint8_t *)los_io->response_at,
			     .response_max = (size_t)los_io->response_max,
			     .seconds = 60 }; /* the platform's deadline is what bounds a request */
	if (listen_on(&s, (struct in_addr){ INADDR_ANY }, port) < 0)
		los_panic("cannot listen on the network");
	run(&s);
	los_panic("cannot accept connections");
}

/* "127.0.0.1:PORT"; port 0 picks one. */
static int parse_address(const char *address, struct in_addr *ip, uint16_t *port)
{
	const char *colon = strrchr(address, ':');
	char host[INET_ADDRSTRLEN] = "", *end = NULL;
	unsigned long n = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (colon && (size_t)(colon - address) < sizeof host)
		memcpy(host, address, (size_t)(colon - address));
	if (!colon || end == colon + 1 || *end || n > 65535 || inet_pton(AF_INET, host, ip) != 1)
		return -1;
	*port = (uint16_t)n;
	return 0;
}

static void announce(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;
	char host[INET_ADDRSTRLEN];

	getsockname(fd, (struct sockaddr *)&sa, &len);
	inet_ntop(AF_INET, &sa.sin_addr, host, sizeof host);
	fprintf(stderr, "listening on http://%s:%u for debugging only: no login, no isolation between users\n", host,
		ntohs(sa.sin_port));
}

int app_http_server(const char *address)
{
	static struct server s;
	struct in_addr ip;
	uint16_t port;

	s = (struct server){ .request = malloc(app_request_max()),
			     .request_max = app_request_max(),
			     .response = malloc(app_response_max()),
			     .response_max = app_response_max(),
			     .seconds = 5,
			     .nobody = app_ask_debug() };
	if (parse_address(address, &ip, &port) < 0) {
		fprintf(stderr, "%s: not an address like 127.0.0.1:8000\n", address);
	} else if (!s.request || !s.response || listen_on(&s, ip, port) < 0) {
		fprintf(stderr, "%s: %s\n", address, strerror(errno));
	} else {
		announce(s.at[0].fd);
		run(&s);
		fprintf(stderr, "accept: %s\n", strerror(errno));
	}
	if (s.at[0].fd > 0)
		close(s.at[0].fd);
	free(s.request);
	free(s.response);
	return 1;
}
