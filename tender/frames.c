/* SPDX-License-Identifier: MIT */
#include "tender/frames.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

int frame_send(int fd, struct frame_header *h, const void *payload)
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

int frame_send_failure(int fd, uint32_t id, enum frame_failure code)
{
	struct frame_header h = { .type = FRAME_FAILED, .id = id, .code = code };

	return frame_send(fd, &h, NULL);
}
