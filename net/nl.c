/* SPDX-License-Identifier: MIT */
#include "net/nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_BYTES 32768
#define ALIGN(len) (((size_t)(len) + 3) & ~(size_t)3)

int nl_open(struct nl *nl, int bus, struct err *err)
{
	int on = 1, room = 4 << 20;

	nl->seq = 1;
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock)
		return err_errno(err, ERR_INTERNAL, "netlink socket");
	/* Answers without a copy of the question, and with the kernel's own words where it has any. */
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof on);
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof on);
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	err_errno(err, ERR_INTERNAL, "netlink socket");
	nl_close(nl);
	return -1;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

void nl_begin(struct nl *nl, struct nl_batch *b)
{
	b->first_seq = nl->seq;
	b->count = 0;
	b->want_ack = b->may_fail = 0;
	b->overflow = false;
	b->used = 0;
}

/* The length of the message added last is final when the next one starts. */
static void seal(struct nl_batch *b)
{
	if (b->count)
		b->used += ALIGN(((struct nlmsghdr *)(void *)(b->bytes + b->used))->nlmsg_len);
}

struct nlmsghdr *nl_add(struct nl *nl, struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra, void *extra_out)
{
	seal(b);
	if (b->count == NL_BATCH_MESSAGES || b->used + NL_ROOM > sizeof b->bytes) {
		b->overflow = true; /* the rest goes over the last message, and nothing is sent */
		b->used = 0;
		b->count = 0;
	}
	struct nlmsghdr *h = mnl_nlmsg_put_header(b->bytes + b->used);
	h->nlmsg_type = type;
	h->nlmsg_flags = flags | NLM_F_REQUEST;
	h->nlmsg_seq = nl->seq++;
	*(void **)extra_out = mnl_nlmsg_put_extra_header(h, extra);
	if (flags & NLM_F_ACK)
		b->want_ack |= 1ull << b->count;
	b->count++;
	return h;
}

void nl_may_fail(struct nl_batch *b)
{
	b->may_fail |= 1ull << (b->count - 1);
}

/* Attributes between two addresses. */
static const struct nlattr *find(const char *at, const char *end, uint16_t type)
{
	while (end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
		const struct nlattr *a = (const struct nlattr *)(const void *)at;
		if (a->nla_len < sizeof *a || a->nla_len > end - at)
			return NULL;
		if (mnl_attr_get_type(a) == type)
			return a;
		at += ALIGN(a->nla_len);
	}
	return NULL;
}

const struct nlattr *nl_attribute(const struct nlmsghdr *h, size_t extra, uint16_t type)
{
	return find((const char *)h + NLMSG_HDRLEN + ALIGN(extra), (const char *)h + h->nlmsg_len, type);
}

const struct nlattr *nl_nested(const struct nlattr *nest, uint16_t type)
{
	return find((const char *)nest + sizeof *nest, (const char *)nest + nest->nla_len, type);
}

const char *nl_text(const struct nlattr *a)
{
	return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(a) : "";
}

/* The kernel's words in an NLMSG_ERROR, or "". */
static const char *words(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	size_t extra = sizeof *e;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) /* the question is there, without its header of which we know */
		extra += ALIGN(e->msg.nlmsg_len) - sizeof e->msg;
	return nl_text(nl_attribute(h, extra, NLMSGERR_ATTR_MSG));
}

/* One answer. Returns -1 for a failure that counts. */
static int take_answer(struct nl_batch *b, const struct nlmsghdr *h, const char *what, int *why, struct err *err)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	uint32_t i = h->nlmsg_seq - b->first_seq;

	if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < mnl_nlmsg_size(sizeof *e) || i >= b->count)
		return 0;
	b->want_ack &= ~(1ull << i);
	if (e->error == 0 || (b->may_fail & (1ull << i)))
		return 0;
	const char *said = words(h);
	if (why)
		*why = -e->error;
	return err_set(err, -e->error == EPERM ? ERR_DENIED : ERR_INTERNAL, "%s: %s%s%s", what, strerror(-e->error),
		       *said ? ": " : "", said);
}

int nl_commit(struct nl *nl, struct nl_batch *b, const char *what, int *why, struct err *err)
{
	_Alignas(8) char answer[ANSWER_BYTES];
	int fd = mnl_socket_get_fd(nl->sock), rc = 0;

	seal(b);
	if (why)
		*why = 0;
	if (b->overflow)
		return err_set(err, ERR_INTERNAL, "%s: too much for one message", what);
	if (mnl_socket_sendto(nl->sock, b->bytes, b->used) < 0)
		return err_errno(err, ERR_INTERNAL, "%s", what);
	while (b->want_ack) {
		ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) /* an answer is missing; after a failure of another message that is nothing new */
			return rc < 0 ? rc : err_errno(err, ERR_INTERNAL, "%s: the kernel did not answer", what);
		int left = (int)got;
		for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer; mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left))
			if (take_answer(b, h, what, rc < 0 ? NULL : why, rc < 0 ? NULL : err) < 0)
				rc = -1;
	}
	return rc;
}

int nl_dump(struct nl *nl, struct nl_batch *b, mnl_cb_t each, void *ctx, struct err *err)
{
	_Alignas(8) char answer[ANSWER_BYTES];
	int rc = MNL_CB_OK;

	seal(b);
	if (mnl_socket_sendto(nl->sock, b->bytes, b->used) < 0)
		return err_errno(err, ERR_INTERNAL, "netlink dump");
	while (rc > MNL_CB_STOP) {
		ssize_t got = mnl_socket_recvfrom(nl->sock, answer, sizeof answer);
		if (got < 0 && errno == EINTR)
			continue;
		rc = got < 0 ? MNL_CB_ERROR
			     : mnl_cb_run(answer, (size_t)got, b->first_seq, mnl_socket_get_portid(nl->sock), each,
					  ctx);
	}
	return rc < 0 ? err_errno(err, ERR_INTERNAL, "netlink dump") : 0;
}
