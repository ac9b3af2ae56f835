/* SPDX-License-Identifier: MIT
 *
 * Messages between vmmd and ppce-net, which alone may touch the network: SOCK_SEQPACKET at DIR/run/net.sock, one struct
 * net_message per packet, descriptors by SCM_RIGHTS. The kernel's credentials of the peer are checked: root, or the user
 * that ppce-net runs as.
 *
 * vmmd -> ppce-net
 *   NET_TAKE        a tap for instance .uuid, which may connect to the sinks listed in .sinks. Who may use which sink is
 *                   decided by the asker (R6); here only that the configuration has them. .label is for listings
 *   NET_TAKE_NAMED  the same for a program that attaches the tap by its name: no descriptor is sent, and user .uid and
 *                   group .gid may attach it with TUNSETIFF (IFF_TAP | IFF_NO_PI, not IFF_MULTI_QUEUE)
 *   NET_GIVE        instance .uuid is gone. Whoever still holds the descriptor finds the port closed at once
 * ppce-net -> vmmd
 *   NET_TAKEN       answer to .id: .name .ifindex .mac .ipv4 .prefix .gateway .gateway_mac .mtu, and for NET_TAKE
 *                   fd: [tap], a descriptor of IFF_TAP | IFF_NO_PI without virtio headers, non-blocking: one read or
 *                   write is one Ethernet frame. It is the only one there is; its queue starts empty
 *   NET_GIVEN       answer to .id
 *   NET_REFUSED     answer to .id: .kind (enum err_kind of lib/err.h; ERR_FULL when no address or port is left,
 *                   ERR_CONFLICT when the instance has a tap already, ERR_NOT_FOUND for an unknown sink or instance)
 *                   and .reason
 *   NET_LOST        the tap of instance .uuid was taken away (somebody removed it from outside); .reason
 *
 * Answers to different questions may come in another order than the questions. When the connection ends, everything taken
 * over it is taken back. When ppce-net itself dies, its taps stop working with its next start, which removes them: an
 * instance whose tap came over a connection that is lost is to be ended.
 *
 * Addresses are numbers in host byte order: 10.77.0.1 is 0x0a4d0001. Both sides know each other's MAC from here, so that
 * neither has to ask by ARP.
 */
#ifndef PPCE_NET_H
#define PPCE_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define NET_IFNAME_SIZE 16     /* IFNAMSIZ */
#define NET_SINKS_SIZE 560     /* up to 16 names, comma-separated, each PPCE_NAME_SIZE - 1 at most */
#define NET_CONNECTIONS_MAX 16 /* at the same time; one more is closed */
#define NET_WAITING_MAX 1024   /* questions of all connections that are not answered yet; one more is refused */

enum net_type {
	NET_TAKE = 1,
	NET_TAKE_NAMED,
	NET_GIVE,
	NET_TAKEN = 16,
	NET_GIVEN,
	NET_REFUSED,
	NET_LOST,
};

struct net_message {
	uint32_t type; /* enum net_type */
	uint32_t kind; /* REFUSED: enum err_kind */
	uint64_t id;   /* of the question, chosen by the asker */
	char uuid[PPCE_UUID_SIZE];
	char name[NET_IFNAME_SIZE]; /* TAKEN */
	uint8_t mac[6];		    /* TAKEN: of the instance; the only one it may use */
	uint8_t gateway_mac[6];	    /* TAKEN: of the bridge, which is the only one it may send to */
	uint8_t from_pool;	    /* TAKEN: 1: made ahead, 0: made for this question */
	uint8_t fresh;		    /* TAKE, TAKE_NAMED: 1: make one for this question, whatever the pool has */
	uint8_t pad;
	uint32_t ifindex;		/* TAKEN */
	uint32_t ipv4, prefix, gateway; /* TAKEN; prefix: 16..29 */
	uint32_t mtu;			/* TAKEN: 1500 */
	uint32_t uid, gid;		/* TAKE_NAMED */
	uint32_t took_us;		/* TAKEN: from reading the question to writing this answer */
	uint32_t flow_s;	     /* TAKEN: a connection of the host's in which the host sends nothing for so long is
					* closed to the instance until it does: wait longer only with TCP keepalive */
	char sinks[NET_SINKS_SIZE];  /* TAKE, TAKE_NAMED: "a,b", or empty */
	char label[PPCE_LABEL_SIZE]; /* TAKE, TAKE_NAMED: canonical, may be empty */
	char reason[PPCE_REASON_SIZE]; /* REFUSED, LOST */
};

/* True if every text field of a received message of `size` bytes is terminated and its type known. */
static inline bool net_valid(const struct net_message *m, size_t size)
{
	return size == sizeof *m && memchr(m->uuid, 0, sizeof m->uuid) && memchr(m->name, 0, sizeof m->name) &&
	       memchr(m->sinks, 0, sizeof m->sinks) && memchr(m->label, 0, sizeof m->label) &&
	       memchr(m->reason, 0, sizeof m->reason) &&
	       ((m->type >= NET_TAKE && m->type <= NET_GIVE) || (m->type >= NET_TAKEN && m->type <= NET_LOST));
}

#endif
