/* SPDX-License-Identifier: MIT */
#include "tender/store.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/names.h"

enum transfer { TRANSFER_DONE, TRANSFER_CLOSED, TRANSFER_OVERDUE };

/* False once the deadline has passed. A socket that has failed counts as ready: the next call on it says so. */
static bool wait_ready(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now = clock_ns();
		if (now >= deadline_ns)
			return false;
		int r = poll(&p, 1, (int)((deadline_ns - now) / 1000000 + 1));
		if (r > 0 || (r < 0 && errno != EINTR))
			return true;
	}
}

/* Takes the n bytes that were sent off the front of both parts. */
static void advance(struct iovec iov[2], size_t n)
{
	for (int i = 0; i < 2; i++) {
		size_t part = n < iov[i].iov_len ? n : iov[i].iov_len;
		iov[i].iov_base = (char *)iov[i].iov_base + part;
		iov[i].iov_len -= part;
		n -= part;
	}
}

static enum transfer send_call(int fd, const struct store_call *call, const uint8_t *data, uint64_t deadline_ns)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)call, sizeof *call }, { (void *)(uintptr_t)data, call->length } };
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	while (iov[0].iov_len + iov[1].iov_len > 0) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			advance(iov, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			return TRANSFER_CLOSED;
		else if (!wait_ready(fd, POLLOUT, deadline_ns))
			return TRANSFER_OVERDUE;
	}
	return TRANSFER_DONE;
}

static enum transfer receive(int fd, void *to, size_t len, uint64_t deadline_ns)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = recv(fd, (char *)to + done, len - done, MSG_DONTWAIT);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return TRANSFER_CLOSED;
		else if (!wait_ready(fd, POLLIN, deadline_ns))
			return TRANSFER_OVERDUE;
	}
	return TRANSFER_DONE;
}

static bool reply_valid(const struct store_reply *r, uint32_t max)
{
	if (r->magic != STORE_REPLY_MAGIC || r->status > STORE_CONFLICT)
		return false;
	return r->status == STORE_OK ? r->length > 0 && r->length <= max : r->length == 0;
}

static enum store_end not_done(enum transfer t, int64_t *result)
{
	*result = -(int64_t)STORE_UNAVAILABLE;
	return t == TRANSFER_OVERDUE ? STORE_OVERDUE : STORE_ANSWERED;
}

enum store_end store_exchange(int fd, const struct store_request *request, const struct ticket *ticket,
			      uint64_t deadline_ns, int64_t *result)
{
	const struct store_call call = { .magic = STORE_CALL_MAGIC,
					 .verb = request->verb,
					 .length = request->length,
					 .max = request->max,
					 .ticket = *ticket };
	struct store_reply reply;
	enum transfer t = send_call(fd, &call, request->data, deadline_ns);

	if (t == TRANSFER_DONE)
		t = receive(fd, &reply, sizeof reply, deadline_ns);
	if (t != TRANSFER_DONE)
		return not_done(t, result);
	if (!reply_valid(&reply, request->max))
		return STORE_MALFORMED;
	t = receive(fd, request->data, reply.length, deadline_ns);
	if (t != TRANSFER_DONE)
		return not_done(t, result);
	*result = reply.status == STORE_OK ? (int64_t)reply.length : -(int64_t)reply.status;
	return STORE_ANSWERED;
}
