/* SPDX-License-Identifier: MIT
 *
 * Messages between vmmd and a proxy: SOCK_SEQPACKET socket DIR/run/vmmd-route.sock, peer credentials checked by both
 * (same user or root); one struct routing_message per packet.
 *
 * On connect vmmd sends ROUTING_APP for every app, ROUTING_INSTANCE (with a fresh channel) for every running instance,
 * then ROUTING_SYNCED. Afterwards:
 *
 * proxy -> vmmd
 *   ROUTING_NEED     an instance of (app, label, owner), please; .id names the question
 *   ROUTING_STOP     end instance .uuid: idle, too old, used up, or it broke the protocol (.reason)
 * vmmd -> proxy
 *   ROUTING_TAINT    fd: [the taint table, read-only] (ppce/taint.h). First message after connecting
 *   ROUTING_APP      an app was added or changed: all app fields are set
 *   ROUTING_APP_GONE .app was removed; its instances follow as ROUTING_GONE
 *   ROUTING_INSTANCE fd: [channel]. A new instance of (app, label, owner); .id of the question, 0 when nobody asked
 *                    (`ppce start`, pools). The proxy now alone decides what is sent to it. With .ipv4: requests go there
 *                    by HTTP, the channel carries FRAME_BEGIN and FRAME_END. With .foreign: it has no channel, no fd
 *                    comes, nothing resets it, and the proxy tries it now and then (proxy.health_s)
 *   ROUTING_REFUSED  answer to .id: .kind (enum err_kind of lib/err.h) and .reason (for the log, not for users)
 *   ROUTING_GONE     instance .uuid has ended; .reason
 */
#ifndef PPCE_ROUTING_H
#define PPCE_ROUTING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

enum routing_type {
	ROUTING_NEED = 1,
	ROUTING_STOP,
	ROUTING_APP = 16,
	ROUTING_APP_GONE,
	ROUTING_INSTANCE,
	ROUTING_REFUSED,
	ROUTING_GONE,
	ROUTING_SYNCED,
	ROUTING_TAINT,
};

enum app_lifetime {
	LIFETIME_CLASS = 1, /* one instance serves everyone of exactly its label */
	LIFETIME_USER,	    /* one instance serves one user at one label */
	LIFETIME_REQUEST,   /* every request finds a pristine instance */
};

enum app_transport {
	TRANSPORT_CHANNEL = 0, /* frames on the channel; no network in the guest */
	TRANSPORT_TAP,	       /* HTTP over TCP on the instance's own address */
};

struct routing_message {
	uint32_t type; /* enum routing_type */
	uint32_t kind; /* REFUSED: enum err_kind */
	uint64_t id;
	char app[PPCE_NAME_SIZE];
	char label[PPCE_LABEL_SIZE]; /* canonical */
	char owner[PPCE_USER_SIZE];  /* user name for LIFETIME_USER, else empty */
	char uuid[PPCE_UUID_SIZE];
	char reason[PPCE_REASON_SIZE];
	/* APP (and INSTANCE, the same values) */
	uint32_t lifetime;			/* enum app_lifetime */
	uint32_t discard;			/* LIFETIME_REQUEST: 1 = a new tender each time instead of a reset */
	uint32_t max_instances;			/* per app, over all labels and owners; 1..4096 */
	uint32_t idle_s, max_age_s;		/* 0 = unlimited */
	uint32_t max_requests;			/* 0 = unlimited */
	uint32_t deadline_ms;			/* of one request */
	uint32_t request_bytes, response_bytes; /* largest encoded request and response */
	uint32_t has_store;			/* 1: the image lists queries, so that requests carry tickets */
	uint32_t transport;			/* enum app_transport */
	uint32_t has_sinks;	       /* 1: it may send to others, so its instances never rise (TICKET_FIXED) */
	char digest[PPCE_DIGEST_SIZE]; /* of the image, for the audit log */
	/* INSTANCE */
	uint32_t slot;			       /* in the taint table; TAINT_NONE without a store */
	uint32_t age_s;			       /* since its start */
	uint32_t requests;		       /* answered so far */
	uint32_t spawn_us, create_us, bind_us; /* what its start took; 0 where it was made ahead */
	uint32_t from_shell;		       /* 1: a pooled shell was bound; 0: nothing had been made ahead */
	uint32_t keep;			       /* 1: made ahead by `ppce pool set`: idleness does not end it */
	uint32_t foreign;		       /* 1: a unikernel made elsewhere, run by a tender that is not ours */
	uint32_t ipv4, port;		       /* transport tap: where it serves, host byte order; else 0 */
	uint32_t flow_s;		       /* transport tap: see NET_TAKEN in ppce/net.h */
};

static inline bool routing_valid(const struct routing_message *m, size_t size)
{
	return size == sizeof *m && memchr(m->app, 0, sizeof m->app) && memchr(m->label, 0, sizeof m->label) &&
	       memchr(m->owner, 0, sizeof m->owner) && memchr(m->uuid, 0, sizeof m->uuid) &&
	       memchr(m->reason, 0, sizeof m->reason) && memchr(m->digest, 0, sizeof m->digest) &&
	       m->lifetime <= LIFETIME_REQUEST && m->transport <= TRANSPORT_TAP && m->port <= 65535 &&
	       ((m->type >= ROUTING_NEED && m->type <= ROUTING_STOP) ||
		(m->type >= ROUTING_APP && m->type <= ROUTING_TAINT));
}

#endif
