/* SPDX-License-Identifier: MIT
 *
 * --serve: a small HTTP/1.1 server for debugging. One connection and one request at a time, Content-Length bodies only,
 * every length and time bounded. The proxy is the real door; this one must merely not fall over. */
#include "guest/app.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, CLIENT_SECONDS = 5 };

struct exchange {
	int fd;
	char head[HEAD_MAX + 1];
	size_t head_len; /* with the empty line */
	size_t have;	 /* bytes received in head[], perhaps some of the body */
	struct app_ask ask;
};

static int send_all(int fd, const void *data, size_t len)
{
	for (const char *p = data; len;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void refuse(int fd, int status)
{
	char text[96];
	int n = snprintf(text, sizeof text, "HTTP/1.1 %d \r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);

	send_all(fd, text, (size_t)n);
}

static int receive_head(struct exchange *x)
{
	for (;;) {
		ssize_t n = recv(x->fd, x->head + x->have, HEAD_MAX - x->have, 0);
		if (n <= 0)
			return 408;
		x->have += (size_t)n;
		x->head[x->have] = '\0';
		const char *end = memmem(x->head, x->have, "\r\n\r\n", 4);
		if (end) {
			x->head_len = (size_t)(end - x->head) + 4;
			return memchr(x->head, '\0', x->head_len) ? 400 : 0;
		}
		if (x->have == HEAD_MAX)
			return 431;
	}
}

static int parse_target(struct exchange *x, char *line)
{
	char *path = strchr(line, ' ');
	char *version = path ? strchr(path + 1, ' ') : NULL;

	if (!version || path == line || path[1] != '/' || strncmp(version + 1, "HTTP/1.", 7) != 0)
		return 400;
	*path = *version = '\0';
	x->ask.method = line;
	x->ask.path = path + 1;
	char *query = strchr(path + 1, '?');
	if (query) {
		*query = '\0';
		x->ask.query = query + 1;
	}
	return 0;
}

static int parse_length(struct exchange *x, const char *value)
{
	size_t n = 0;

	if (!*value)
		return 400;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return 400;
		n = n * 10 + (size_t)(*value - '0');
		if (n > app_request_max())
			return 413;
	}
	x->ask.body_len = n;
	return 0;
}

static int parse_field(struct exchange *x, char *line)
{
	char *colon = strchr(line, ':');

	if (!colon || colon == line)
		return 400;
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	if (strcasecmp(line, "content-length") == 0)
		return parse_length(x, value);
	if (strcasecmp(line, "transfer-encoding") == 0)
		return 501;
	if (strcasecmp(line, "ppce-user") == 0)
		x->ask.user = value;
	else if (strcasecmp(line, "ppce-label") == 0)
		x->ask.label = value;
	else if (x->ask.nheaders == PPCE_HEADERS_MAX)
		return 431;
	else
		x->ask.headers[x->ask.nheaders++] = (struct ppce_header){ line, value };
	return 0;
}

static int parse_head(struct exchange *x)
{
	char *line = x->head;
	int status = 0;

	for (unsigned i = 0; status == 0; i++) {
		char *end = strstr(line, "\r\n");
		if (end == line)
			return i > 0 ? 0 : 400;
		*end = '\0';
		status = i == 0 ? parse_target(x, line) : parse_field(x, line);
		line = end + 2;
	}
	return status;
}

/* Returns the body in fresh memory, or NULL. */
static char *receive_body(struct exchange *x)
{
	size_t have = x->have - x->head_len;
	char *body = malloc(x->ask.body_len + 1);

	if (!body)
		return NULL;
	if (have > x->ask.body_len)
		have = x->ask.body_len;
	memcpy(body, x->head + x->head_len, have);
	while (have < x->ask.body_len) {
		ssize_t n = recv(x->fd, body + have, x->ask.body_len - have, 0);
		if (n <= 0) {
			free(body);
			return NULL;
		}
		have += (size_t)n;
	}
	return body;
}

static void send_response(int fd, const void *msg, size_t size, bool head_only)
{
	const struct wire_response *w = wire_response_decode(msg, size);
	char line[160];

	if (!w) {
		refuse(fd, 500);
		return;
	}
	const struct wire_field *f = wire_fields(w, sizeof *w);
	int n = snprintf(line, sizeof line, "HTTP/1.1 %u \r\nContent-Length: %u\r\nConnection: close\r\n", w->status,
			 w->body.len);
	send_all(fd, line, (size_t)n);
	for (uint32_t i = 0; i < w->fields; i++) {
		send_all(fd, wire_text(w, f[i].name), f[i].name.len);
		send_all(fd, ": ", 2);
		send_all(fd, wire_text(w, f[i].value), f[i].value.len);
		send_all(fd, "\r\n", 2);
	}
	send_all(fd, "\r\n", 2);
	if (!head_only)
		send_all(fd, wire_text(w, w->body), w->body.len);
}

static void answer(struct exchange *x, void *request, void *response)
{
	size_t len = app_ask_encode(&x->ask, request, app_request_max());

	if (!len) {
		refuse(x->fd, 413);
		return;
	}
	len = app_serve(request, len, response, app_response_max());
	send_response(x->fd, response, len, strcmp(x->ask.method, "HEAD") == 0);
}

static void handle_client(int fd, void *request, void *response)
{
	static struct exchange x;
	const struct timeval limit = { .tv_sec = CLIENT_SECONDS };

	memset(&x, 0, sizeof x);
	x.fd = fd;
	x.ask.user = "tester";
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	int status = receive_head(&x);
	if (status == 0)
		status = parse_head(&x);
	char *body = status == 0 ? receive_body(&x) : NULL;
	if (body) {
		x.ask.body = body;
		answer(&x, request, response);
	} else {
		refuse(fd, status ? status : 408);
	}
	free(body);
}

/* "127.0.0.1:PORT"; port 0 picks one. */
static int listen_on(const char *address)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	const char *colon = strrchr(address, ':');
	char host[INET_ADDRSTRLEN] = "", *end = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (colon && (size_t)(colon - address) < sizeof host)
		memcpy(host, address, (size_t)(colon - address));
	if (!colon || end == colon + 1 || *end || port > 65535 || inet_pton(AF_INET, host, &sa.sin_addr) != 1) {
		fprintf(stderr, "%s: not an address like 127.0.0.1:8000\n", address);
		return -1;
	}
	sa.sin_port = htons((uint16_t)port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 8) < 0) {
		fprintf(stderr, "%s: %s\n", address, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	socklen_t len = sizeof sa;
	getsockname(fd, (struct sockaddr *)&sa, &len);
	fprintf(stderr, "listening on http://%s:%u for debugging only: no login, no isolation between users\n", host,
		ntohs(sa.sin_port));
	return fd;
}

int app_http_server(const char *address)
{
	void *request = malloc(app_request_max()), *response = malloc(app_response_max());
	int fd = request && response ? listen_on(address) : -1;

	while (fd >= 0) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0 && errno != EINTR && errno != ECONNABORTED) {
			fprintf(stderr, "accept: %s\n", strerror(errno));
			close(fd);
			fd = -1;
		}
		if (client >= 0) {
			handle_client(client, request, response);
			close(client);
		}
	}
	free(request);
	free(response);
	return 1;
}
