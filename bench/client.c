/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 client that measures: one kept connection, one request at a time, the clock read right before write(2) and
 * right after the last byte of the answer. Driven by bench/run over standard input:
 *
 *   COUNT PATH     makes COUNT requests for PATH and prints for each a line
 *                  MICROSECONDS STATUS START-KIND INSTANCE SERVER-TIMING
 *                  with "-" for a field that the answer does not have
 *
 * usage: client ADDRESS PORT TOKEN
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char answer[1 << 20];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int connect_to(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		die(address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* Copies the value of a header field of the answer to out, or "-". */
static const char *field(const char *name, char *out, size_t size)
{
	const char *at = strcasestr(answer, name);

	if (!at)
		return "-";
	at += strlen(name);
	at += strspn(at, " ");
	snprintf(out, size, "%.*s", (int)strcspn(at, "\r"), at);
	return out;
}

static size_t read_answer(int fd)
{
	size_t have = 0, want = 0;

	while (!want || have < want) {
		ssize_t n = read(fd, answer + have, sizeof answer - 1 - have);
		if (n <= 0)
			die("connection lost");
		have += (size_t)n;
		answer[have] = '\0';
		const char *end = want ? NULL : strstr(answer, "\r\n\r\n");
		if (end) {
			const char *length = strcasestr(answer, "\r\ncontent-length:");
			want = (size_t)(end + 4 - answer) + (length ? strtoul(length + 17, NULL, 10) : 0);
		}
	}
	return have;
}

static void request(int fd, const char *path, const char *token)
{
	char text[1024];
	int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n",
			   path, token);
	double start = now_us();

	if (write(fd, text, (size_t)len) != len)
		die("write");
	read_answer(fd);
	double took = now_us() - start;
	int status = atoi(answer + 9);
	char kind[32], instance[64], timing[1024];
	printf("%.1f %d %s %s %s\n", took, status, field("\r\nppce-start:", kind, sizeof kind),
	       field("\r\nppce-instance:", instance, sizeof instance),
	       field("\r\nserver-timing:", timing, sizeof timing));
}

int main(int argc, char **argv)
{
	char line[512], path[480];
	unsigned long count;

	if (argc != 4) {
		fprintf(stderr, "usage: %s ADDRESS PORT TOKEN\n", argv[0]);
		return 2;
	}
	int fd = connect_to(argv[1], argv[2]);
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "%lu %479s", &count, path) != 2)
			continue;
		while (count-- > 0)
			request(fd, path, argv[3]);
		fflush(stdout);
	}
	close(fd);
	return 0;
}
