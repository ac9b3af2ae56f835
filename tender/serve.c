/* SPDX-License-Identifier: MIT */
#include "tender/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/names.h"
#include "tender/frames.h"

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

/* Reads away the `left` bytes of a payload that has no room. 1: done, 0: the channel is closed or broken. */
static int drain(int fd, size_t left)
{
	char sink[4096];

	while (left > 0) {
		size_t part = left < sizeof sink ? left : sizeof sink;
		if (read_all(fd, sink, part) != 1)
			return 0;
		left -= part;
	}
	return 1;
}

/* Completes header and ticket, of which `have` bytes are there. False: the frame is malformed or its ticket does not fit
 * the instance. */
static bool complete_head(struct guest *g, int fd, struct incoming *in, size_t head, size_t have)
{
	if (have < sizeof in->h && read_all(fd, (char *)in + have, sizeof in->h - have) != 1)
		return false;
	have = have < sizeof in->h ? sizeof in->h : have;
	if (!frame_valid(&in->h, true) || in->h.type != FRAME_REQUEST ||
	    ((in->h.flags & FRAME_FLAG_TICKET) != 0) != (g->store >= 0))
		return false;
	return have >= head || read_all(fd, (char *)in + have, head - have) == 1;
}

/* Reads the next request; the payload goes from the socket into guest memory without a stop. 1: it is there, 0: the
 * channel is closed or broken (a second request before the first was answered breaks it), 2: refused as too large, go on. */
static int receive_request(struct guest *g, int fd, struct incoming *in)
{
	size_t max = g->vm.layout.request_size, head = g->store >= 0 ? sizeof *in : sizeof in->h;
	struct iovec iov[2] = { { in, head }, { g->vm.request, max } };
	ssize_t n;

	do
		n = readv(fd, iov, 2);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	size_t have = (size_t)n > head ? (size_t)n - head : 0; /* bytes of the payload */
	if (!complete_head(g, fd, in, head, (size_t)n - have) || have > in->h.length) {
		memset(g->vm.request, 0, have); /* there may be a ticket in it */
		return 0;
	}
	if (in->h.length > max) {
		if (!drain(fd, in->h.length - have))
			return 0;
		return frame_send_failure(fd, in->h.id, FRAME_TOO_LARGE) < 0 ? 0 : 2;
	}
	return read_all(fd, g->vm.request + have, in->h.length - have) == 1;
}

enum frame_failure serve_failure(enum guest_end end)
{
	switch (end) {
	case GUEST_DEADLINE:
		return FRAME_DEADLINE;
	case GUEST_BAD_ANSWER:
		return FRAME_BAD_ANSWER;
	case GUEST_STORE_FAULT:
		return FRAME_INTERNAL;
	default:
		return FRAME_CRASHED;
	}
}

static int answer(struct guest *g, int fd, const struct incoming *in, enum control_reset reset,
		  struct tender_stats *stats, struct err *err)
{
	const struct frame_header *request = &in->h;
	uint64_t start = clock_ns(), deadline = start + (uint64_t)request->code * 1000000;
	enum guest_end end;
	size_t len;

	if (guest_serve(g, request->length, g->store >= 0 ? &in->ticket : NULL, deadline, &end, &len, err) < 0) {
		(void)frame_send_failure(fd, request->id, FRAME_INTERNAL);
		return -1;
	}
	stats->busy_ns += clock_ns() - start;
	stats->last_used_ns = clock_ns();
	if (end != GUEST_WAITING || len == 0) {
		stats->failures++;
		end = end == GUEST_WAITING ? GUEST_BAD_ANSWER : end;
		(void)frame_send_failure(fd, request->id, serve_failure(end));
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
	if (reset == CONTROL_RESET_DISCARD || g->store_lost)
		h.flags = FRAME_FLAG_LAST;
	else if (reset == CONTROL_RESET_NONE)
		h.flags = FRAME_FLAG_READY;
	stats->requests++;
	int sent = frame_send(fd, &h, g->vm.response);
	if (g->store_lost) /* the guest was told; the next request deserves an instance that works */
		return err_set(err, ERR_UNAVAILABLE, "the store closed this instance's socket");
	return sent < 0 ? 1 : 0;
}

int serve_reset(struct guest *g, struct tender_stats *stats, uint32_t *reset_us, struct err *err)
{
	uint64_t start = clock_ns();

	if (guest_reset(g, err) < 0)
		return -1;
	*reset_us = since_us(start);
	stats->reset_ns += clock_ns() - start;
	stats->resets = g->vm.resets;
	stats->rewarms = g->vm.rewarms;
	stats->resident_kib = g->vm.resident_pages * (PPCE_PAGE / 1024);
	return 0;
}

static int make_pristine(struct guest *g, int fd, uint32_t id, struct tender_stats *stats, struct err *err)
{
	struct frame_header ready = { .type = FRAME_READY, .id = id };

	if (serve_reset(g, stats, &ready.load_us, err) < 0)
		return -1;
	return fd < 0 || frame_send(fd, &ready, NULL) == 0 ? 0 : 1;
}

int serve_channel(struct guest *g, int channel, enum control_reset reset, struct tender_stats *stats, struct err *err)
{
	struct incoming in;
	struct pollfd p = { .fd = channel, .events = POLLIN };

	/* Nobody waits yet: use the time to bring the clone to where every reset leaves it. */
	if (reset == CONTROL_RESET_PRISTINE && poll(&p, 1, 0) == 0 && guest_warm_up(g, err) < 0)
		return -1;
	for (;;) {
		int got = receive_request(g, channel, &in);
		if (got == 0)
			return 0;
		if (got == 2)
			continue;
		int r = answer(g, channel, &in, reset, stats, err);
		explicit_bzero(&in.ticket, sizeof in.ticket); /* a reset of the process backend forks us */
		if (r < 0)
			return -1;
		if (reset == CONTROL_RESET_DISCARD)
			return 1;
		if (reset == CONTROL_RESET_PRISTINE && make_pristine(g, r == 0 ? channel : -1, in.h.id, stats, err) < 0)
			return -1;
		if (r > 0)
			return 0;
	}
}
