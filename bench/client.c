/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 client that measures: one request at a time, the clock read right before the first system call and right
 * after the last byte of the answer. Driven over standard input, one command a line:
 *
 *   COUNT PATH         makes COUNT requests for PATH on a connection that is kept; the clock starts before write(2)
 *   new PATH           makes one request on a connection of its own; the clock starts before connect(2)
 *   boot SOCKET JSON   asks vmmd, whose REST socket this is, for an instance, and connects to it by TCP until it accepts;
 *                      the clock starts before the question is written. JSON without spaces
 *
 * and prints for each request a line
 *
 *   MICROSECONDS STATUS START-KIND INSTANCE SERVER-TIMING     "-" for a field that the answer does not have
 *   MICROSECONDS TRIES UUID ADDRESS:PORT                      of `boot`
 *   ! REASON                                                  when there was no whole answer
 *
 * usage: client ADDRESS PORT TOKEN
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_S 30   /* longest wait for a part of an answer */
#define BOOT_MS 10000 /* longest wait until an instance accepts */
#define SYN_MS 250    /* then a SYN counts as lost */
#define REFUSED_US 200

static char answer[1 << 20];
static struct sockaddr_in proxy = { .sin_family = AF_INET };

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int fail(const char *what)
{
	printf("! %s: %s\n", what, strerror(errno));
	return -1;
}

static int connect_to(const void *address, socklen_t size, sa_family_t family)
{
	struct timeval longest = { .tv_sec = ANSWER_S };
	int one = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, address, size) == 0)
		return fd;
	close(fd);
	return -1;
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

static int read_answer(int fd)
{
	size_t have = 0, want = 0;

	while (!want || have < want) {
		ssize_t n = read(fd, answer + have, sizeof answer - 1 - have);
		if (n <= 0)
			return -1;
		have += (size_t)n;
		answer[have] = '\0';
		const char *end = want ? NULL : strstr(answer, "\r\n\r\n");
		if (end) {
			const char *length = strcasestr(answer, "\r\ncontent-length:");
			want = (size_t)(end + 4 - answer) + (length ? strtoul(length + 17, NULL, 10) : 0);
		}
	}
	return 0;
}

static void report(double took)
{
	char kind[32], instance[64], timing[1024];

	printf("%.3f %d %s %s %s\n", took, atoi(answer + 9), field("\r\nppce-start:", kind, sizeof kind),
	       field("\r\nppce-instance:", instance, sizeof instance),
	       field("\r\nserver-timing:", timing, sizeof timing));
}

/* On *fd, or on a connection of its own if that is NULL. */
static int request(int *fd, const char *path, const char *token)
{
	char text[1024];
	int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n",
			   path, token);
	double start = now_us();
	int own = fd && *fd >= 0 ? *fd : connect_to(&proxy, sizeof proxy, AF_INET);

	if (own < 0)
		return fail("connect");
	bool whole = write(own, text, (size_t)len) == len && read_answer(own) == 0;
	double took = now_us() - start;
	if (whole)
		report(took);
	else
		fail("no whole answer");
	if (!fd || !whole)
		close(own);
	if (fd)
		*fd = whole ? own : -1;
	return whole ? 0 : -1;
}

/* --- boot ---------------------------------------------------------------------------------------------------------- */

/* The text or number of a member of the JSON object in the answer. vmmd, which we asked, is the only one who writes it. */
static const char *member(const char *name, char *out, size_t size)
{
	char key[32];
	snprintf(key, sizeof key, "\"%s\"", name);
	const char *at = strstr(answer, key);

	if (!at)
		return "";
	at += strlen(key);
	at += strspn(at, ": \"");
	snprintf(out, size, "%.*s", (int)strcspn(at, "\",} \n"), at);
	return out;
}

/* "10.77.0.2:80" */
static bool parse_address(const char *text, struct sockaddr_in *out)
{
	char address[INET_ADDRSTRLEN];
	unsigned short port;

	if (sscanf(text, "%15[0-9.]:%hu", address, &port) != 2)
		return false;
	out->sin_port = htons(port);
	return inet_pton(AF_INET, address, &out->sin_addr) == 1;
}

static int ask_vmmd(int fd, const char *json)
{
	char text[1024];
	int len = snprintf(text, sizeof text,
			   "POST /v1/instances HTTP/1.1\r\nHost: vmmd\r\nContent-Type: application/json\r\n"
			   "Content-Length: %zu\r\n\r\n%s",
			   strlen(json), json);

	if (write(fd, text, (size_t)len) != len || read_answer(fd) < 0)
		return fail("vmmd");
	if (atoi(answer + 9) / 100 == 2)
		return 0;
	char *body = strstr(answer, "\r\n\r\n") + 4;
	body[strcspn(body, "\n")] = '\0';
	printf("! vmmd answers %d: %.300s\n", atoi(answer + 9), body);
	return -1;
}

/* One SYN and what comes of it: 1 accepted, 0 try again, -1 hopeless. */
static int try_connect(const struct sockaddr_in *to)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t size = sizeof error;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	int rc = connect(fd, (const struct sockaddr *)to, sizeof *to);
	if (rc < 0 && errno == EINPROGRESS)
		rc = poll(&p, 1, SYN_MS) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error
			     ? 0
			     : -1;
	close(fd);
	return rc == 0;
}

static int connect_until_accepted(const struct sockaddr_in *to, double start)
{
	for (int tries = 1; now_us() - start < BOOT_MS * 1e3; tries++) {
		int rc = try_connect(to);
		if (rc != 0)
			return rc < 0 ? -1 : tries;
		usleep(REFUSED_US);
	}
	errno = ETIMEDOUT;
	return -1;
}

static int boot(const char *path, const char *json)
{
	struct sockaddr_un vmmd = { .sun_family = AF_UNIX };
	struct sockaddr_in to = { .sin_family = AF_INET };
	char uuid[64], address[64];

	if (strlen(path) >= sizeof vmmd.sun_path)
		return puts("! the socket's path is too long"), -1;
	strcpy(vmmd.sun_path, path);
	int fd = connect_to(&vmmd, sizeof vmmd, AF_UNIX);
	if (fd < 0)
		return fail("vmmd");
	double start = now_us();
	int rc = ask_vmmd(fd, json);
	close(fd);
	if (rc < 0)
		return -1;
	if (!parse_address(member("address", address, sizeof address), &to))
		return puts("! vmmd names no address"), -1;
	int tries = connect_until_accepted(&to, start);
	double took = now_us() - start;
	if (tries < 0)
		return fail("connect to the instance");
	printf("%.3f %d %s %s\n", took, tries, member("uuid", uuid, sizeof uuid), address);
	return 0;
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

static void obey(const char *line, const char *token, int *kept)
{
	char word[16], path[480], json[480];
	int n = sscanf(line, "%15s %479s %479s", word, path, json);

	if (n == 3 && strcmp(word, "boot") == 0)
		boot(path, json);
	else if (n == 2 && strcmp(word, "new") == 0)
		request(NULL, path, token);
	else if (n == 2) {
		if (*kept < 0)
			*kept = connect_to(&proxy, sizeof proxy, AF_INET);
		for (unsigned long i = strtoul(word, NULL, 10); i > 0; i--)
			request(kept, path, token);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[1024];

	if (argc != 4 || inet_pton(AF_INET, argv[1], &proxy.sin_addr) != 1) {
		fprintf(stderr, "usage: %s ADDRESS PORT TOKEN\n", argv[0]);
		return 2;
	}
	proxy.sin_port = htons((uint16_t)atoi(argv[2]));
	int kept = -1;
	while (fgets(line, sizeof line, stdin))
		obey(line, argv[3], &kept);
	return 0;
}
