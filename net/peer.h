/* SPDX-License-Identifier: MIT
 *
 * The socket DIR/run/net.sock and its connections; include/ppce/net.h is the protocol. A connection that sends anything
 * else is ended, and so is one that does not read its answers.
 */
#ifndef NET_PEER_H
#define NET_PEER_H

#include <sys/queue.h>
#include <sys/types.h>
#include <uv.h>

#include <ppce/net.h>
#include "lib/err.h"

struct net;
struct peer;

struct peers {
	int fd;
	uv_poll_t poll;
	LIST_HEAD(, peer) list;
	unsigned count;
};

int peers_start(struct net *n, struct err *err);
void peers_end(struct net *n); /* takes back everything */
/* Takes `fd` over (-1: none). Never frees the peer. */
void peer_answer(struct peer *p, const struct net_message *m, int fd);
void peer_refuse(struct peer *p, uint64_t id, const struct err *err);

#endif
