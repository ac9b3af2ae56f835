/* SPDX-License-Identifier: MIT */
#include "tender/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ppce/frame.h>
#include "lib/names.h"

static uint32_t since_us(uint64_t start_ns)
{
	return (uint32_t)((clock_ns() - start_ns) / 1000);
}

/* Reads exactly len bytes. 1: done, 0: the peer has closed, -1: error. */
static int read_all(int fd, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)data + done, len - done);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return 1;
}

static int send_frame(int fd, struct frame_header *h, const void *payload)
{
	struct iovec iov[2] = { { h, sizeof *h }, { (void *)(uintptr_t)payload, h->length } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = h->length ? 2 : 1 };

	h->magic = FRAME_MAGIC;
	while (iov[0].iov_len + iov[1].iov_len > 0) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -1;
		size_t left = n > 0 ? (size_t)n : 0;
		for (int i = 0; i < 2; i++) {
			size_t part = left < iov[i].iov_len ? left : iov[i].iov_len;
			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			left -= part;
		}
	}
	return 0;
}

static int send_failure(int fd, uint32_t id, enum frame_failure code)
{
	struct frame_header h = { .type = FRAME_FAILED, .id = id, .code = code };

	return send_frame(fd, &h, NULL);
}

/* Reads the next request; the payload goes from the socket into guest memory without a stop. 1: it is there, 0: the
 * channel is closed or broken, 2: refused as too large, go on. */
static int receive_request(struct guest *g, int fd, struct frame_header *h)
{
	uint64_t max = g->vm.layout.request_size;
	struct iovec iov[2] = { { h, sizeof *h }, { g->vm.request, max } };
	ssize_t n;

	do
		n = readv(fd, iov, 2);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	if ((size_t)n < sizeof *h && read_all(fd, (char *)h + n, sizeof *h - (size_t)n) != 1)
		return 0;
	if (!frame_valid(h, true))
		return 0;
	size_t have = (size_t)n > sizeof *h ? (size_t)n - sizeof *h : 0;
	if (h->length > max) {
		char sink[4096];
		for (size_t left = h->length - have; left > 0;) {
			size_t part = left < sizeof sink ? left : sizeof sink;
			if (read_all(fd, sink, part) != 1)
				return 0;
			left -= part;
		}
		return send_failure(fd, h->id, FRAME_TOO_LARGE) < 0 ? 0 : 2;
	}
	if (have > h->length) /* a second request before the first was answered */
		return 0;
	return read_all(fd, g->vm.request + have, h->length - have) == 1;
}

static int answer(struct guest *g, int fd, const struct frame_header *request, enum control_reset reset,
		  struct tender_stats *stats, struct err *err)
{
	static const enum frame_failure failures[] = { [GUEST_CRASHED] = FRAME_CRASHED,
						       [GUEST_DEADLINE] = FRAME_DEADLINE,
						       [GUEST_BAD_ANSWER] = FRAME_BAD_ANSWER };
	uint64_t start = clock_ns(), deadline = start + (uint64_t)request->code * 1000000;
	enum guest_end end;
	size_t len;

	if (guest_serve(g, request->length, deadline, &end, &len, err) < 0) {
		(void)send_failure(fd, request->id, FRAME_INTERNAL);
		return -1;
	}
	stats->busy_ns += clock_ns() - start;
	stats->last_used_ns = clock_ns();
	if (end != GUEST_WAITING || len == 0) {
		stats->failures++;
		end = end == GUEST_WAITING ? GUEST_BAD_ANSWER : end;
		(void)send_failure(fd, request->id, failures[end]);
		return err_set(err, ERR_BAD_GATEWAY, "%s",
			       end == GUEST_BAD_ANSWER ? "gave no valid answer" : g->reason);
	}
	struct frame_header h = {
		.type = FRAME_RESPONSE,
		.id = request->id,
		.length = (uint32_t)len,
		.load_us = (uint32_t)((g->entered_ns - start) / 1000),
		.run_us = since_us(g->entered_ns),
		.code = stats->requests ? 0 : g->create_us,
		.clone_us = stats->requests ? 0 : g->clone_us,
	};
	if (reset == CONTROL_RESET_NONE)
		h.flags = FRAME_FLAG_READY;
	if (reset == CONTROL_RESET_DISCARD)
		h.flags = FRAME_FLAG_LAST;
	stats->requests++;
	return send_frame(fd, &h, g->vm.response) < 0 ? 1 : 0;
}

static int make_pristine(struct guest *g, int fd, uint32_t id, struct tender_stats *stats, struct err *err)
{
	uint64_t start = clock_ns();

	if (guest_reset(g, err) < 0)
		return -1;
	stats->reset_ns += clock_ns() - start;
	stats->resets = g->vm.resets;
	stats->rewarms = g->vm.rewarms;
	stats->resident_kib = g->vm.resident_pages * (PPCE_PAGE / 1024);
	struct frame_header ready = { .type = FRAME_READY, .id = id, .load_us = since_us(start) };
	return fd < 0 || send_frame(fd, &ready, NULL) == 0 ? 0 : 1;
}

int serve_channel(struct guest *g, int channel, enum control_reset reset, struct tender_stats *stats, struct err *err)
{
	struct frame_header h;
	struct pollfd p = { .fd = channel, .events = POLLIN };

	/* Nobody waits yet: use the time to bring the clone to where every reset leaves it. */
	if (reset == CONTROL_RESET_PRISTINE && poll(&p, 1, 0) == 0 && guest_warm_up(g, err) < 0)
		return -1;
	for (;;) {
		int got = receive_request(g, channel, &h);
		if (got == 0)
			return 0;
		if (got == 2)
			continue;
		int r = answer(g, channel, &h, reset, stats, err);
		if (r < 0)
			return -1;
		if (reset == CONTROL_RESET_DISCARD)
			return 1;
		if (reset == CONTROL_RESET_PRISTINE && make_pristine(g, r == 0 ? channel : -1, h.id, stats, err) < 0)
			return -1;
		if (r > 0)
			return 0;
	}
}
