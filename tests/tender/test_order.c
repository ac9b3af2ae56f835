/* SPDX-License-Identifier: MIT
 *
 * FRAME_BEGIN and the first bytes of its request come at the worst moment, between two looks of the tender: each time just
 * before it reads the tap. The guest's call to the store must have its ticket all the same. A real guest in the process
 * backend (tests/guest/network.c; the image is the program's argument); read(2) is wrapped to choose the moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/store.h>
#include "tender/serve_net.h"

ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size);

static const char *image;
static int tap = -1, wire, proxy;
static bool begun;

static const struct control_net config = { .ipv4 = 0x0a4d0005,
					   .gateway = 0x0a4d0001,
					   .mac = { 2, 0x50, 10, 77, 0, 5 },
					   .gateway_mac = { 2, 0x50, 10, 77, 0, 1 } };
/* the command "call the store" */
static const uint8_t command[] = { 2, 0x50, 10, 77, 0,	5,   2, 0x50, 10, 77, 0, 1, 8,	0,  0x45, 0, 0,	 21,
				   0, 0,    0,	0,  64, 253, 0, 0,    10, 77, 0, 1, 10, 77, 0,	  5, 's' };

/* What the proxy does: first the channel, then the network. Once the guest has answered, it goes away. */
static void act(void)
{
	struct incoming begin = {
		.h = { .magic = FRAME_MAGIC, .type = FRAME_BEGIN, .flags = FRAME_FLAG_TICKET, .id = 1, .code = 10000 }
	};
	struct pollfd answered = { .fd = wire, .events = POLLIN };

	if (!begun) {
		begun = true;
		assert_int_equal(send(proxy, &begin, sizeof begin, 0), sizeof begin);
		assert_int_equal(send(wire, command, sizeof command, 0), sizeof command);
	} else if (poll(&answered, 1, 0) == 1) {
		shutdown(proxy, SHUT_RDWR);
	}
}

ssize_t __wrap_read(int fd, void *to, size_t size)
{
	if (fd == tap)
		act();
	return __real_read(fd, to, size);
}

static void pair(int type, int *ours, int *theirs)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
	*ours = fds[0];
	*theirs = fds[1];
}

static void begin_is_known_before_the_first_byte(void **state)
{
	static struct network_service s;
	static struct tender_stats stats;
	struct guest g = { .vm.backend = &backend_process, .store = -1 };
	struct store_reply reply = { .magic = STORE_REPLY_MAGIC, .status = STORE_OK, .length = 8 };
	struct ppce_manifest manifest;
	uint8_t answer[2048];
	int channel, store;
	int64_t result;
	struct err err = { 0 };

	(void)state;
	if (g.vm.backend->create(&g.vm, &err) < 0 ||
	    guest_start(&g, open(image, O_RDONLY), memfd_create("memory", 0), 10000, &manifest, &err) < 0)
		fail_msg("%s", err.text);
	pair(SOCK_STREAM, &store, &g.store);
	pair(SOCK_STREAM, &proxy, &channel);
	pair(SOCK_SEQPACKET | SOCK_NONBLOCK, &wire, &tap);
	assert_int_equal(send(store, &reply, sizeof reply, 0), sizeof reply);
	assert_int_equal(send(store, answer, 8, 0), 8);
	s = (struct network_service){ .guest = &g, .stats = &stats, .net = { .tap = tap, .config = config } };
	if (serve_network(&s, channel, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(recv(wire, answer, sizeof answer, 0), 34 + 8);
	memcpy(&result, answer + 34, sizeof result);
	assert_int_equal(result, 8);
	guest_destroy(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(begin_is_known_before_the_first_byte) };

	if (argc != 2)
		return 2;
	image = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
