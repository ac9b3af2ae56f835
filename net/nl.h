/* SPDX-License-Identifier: MIT
 *
 * Netlink: messages are collected in a batch, sent in one system call, and answered one by one. The kernel does the work
 * inside that call, so that all answers are there when it returns; nothing here waits.
 */
#ifndef NET_NL_H
#define NET_NL_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

#define NL_BATCH_BYTES 32768
#define NL_BATCH_MESSAGES 64
#define NL_ROOM 1024 /* free bytes that nl_add() sees to: no message of ours is larger */

struct nl {
	struct mnl_socket *sock; /* NULL: not open */
	uint32_t seq;
};

struct nl_batch {
	uint32_t first_seq;
	unsigned count;	   /* messages */
	uint64_t want_ack; /* bit per message */
	uint64_t may_fail; /* bit per message: its failure is not one of the batch */
	bool overflow;	   /* a message did not fit: nl_commit() fails and sends nothing */
	size_t used;
	_Alignas(8) char bytes[NL_BATCH_BYTES];
};

int nl_open(struct nl *nl, int bus, struct err *err); /* NETLINK_ROUTE, NETLINK_NETFILTER */
void nl_close(struct nl *nl);

void nl_begin(struct nl *nl, struct nl_batch *b);
/* A new message with `extra` zeroed bytes of fixed header; NLM_F_REQUEST is added to `flags`. Attributes are appended to
 * it by mnl_attr_put() and friends until the next call for this batch, at most NL_ROOM bytes of them. */
struct nlmsghdr *nl_add(struct nl *nl, struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra,
			void *extra_out);
void nl_may_fail(struct nl_batch *b); /* says so of the message added last */
/* Sends and reads the answers. -1 with `what`, the kernel's reason, and *why = errno (may be NULL) for the first message
 * that failed; messages after it may have been carried out (rtnetlink) or none at all (nftables). */
int nl_commit(struct nl *nl, struct nl_batch *b, const char *what, int *why, struct err *err);
/* Sends a dump request that is the only message of `b`, and calls `each` for each answer. */
int nl_dump(struct nl *nl, struct nl_batch *b, mnl_cb_t each, void *ctx, struct err *err);

/* The first attribute of this type in a message, behind `extra` bytes of fixed header, or in another attribute; or NULL. */
const struct nlattr *nl_attribute(const struct nlmsghdr *h, size_t extra, uint16_t type);
const struct nlattr *nl_nested(const struct nlattr *nest, uint16_t type);
const char *nl_text(const struct nlattr *a); /* "" for NULL and for what is not a text */

#endif
