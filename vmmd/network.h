/* SPDX-License-Identifier: MIT
 *
 * The connection to ppce-net (ppce/net.h): taps for instances of apps with `transport: tap`. vmmd connects when the
 * configuration enables the network, and again and again while there is nobody. When the connection ends, or one tap is
 * lost, the instances that have taps from it end. A tap goes back when its instance's process has been reaped.
 *
 * Which sinks an instance gets is decided at its start for its whole life (vmmd/sinks.h).
 */
#ifndef VMMD_NETWORK_H
#define VMMD_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/control.h>
#include <ppce/net.h>
#include "lib/err.h"

struct vmmd;
struct instance;
struct network_question; /* to ppce-net, not answered yet */
struct network_waiting;	 /* a message that the socket had no room for */

struct network {
	int fd; /* -1: not connected */
	uv_poll_t *poll;
	uv_timer_t retry;
	bool missing_logged;
	uint64_t last_id;
	unsigned asked, taps; /* questions without an answer; taps that instances have */
	LIST_HEAD(, network_question) questions;
	STAILQ_HEAD(, network_waiting) queue;
};

/* Of an instance with a tap: one allocation more, which the others do not make. */
struct instance_net {
	struct network_question *question; /* until it is answered */
	bool held;			   /* ppce-net has lent it a tap, which is to be given back */
	bool from_pool;
	uint32_t ipv4, flow_s; /* of NET_TAKEN; 0 before */
	char name[NET_IFNAME_SIZE];
	char sinks[NET_SINKS_SIZE]; /* granted */
	bool hears;		    /* by one of them, what is not for everybody */
};

/* What ppce-net answered. `tap`: descriptor of NET_TAKE, the receiver's; -1 for NET_TAKE_NAMED. */
struct network_tap {
	struct net_message taken;
	int tap;
};

struct network_wish {
	bool fresh; /* not from the pool */
	bool named; /* for a tender that is not ours: attached by name, as this user and group */
	uint32_t uid, gid;
	char sinks[NET_SINKS_SIZE]; /* of network_grant() */
};

/* Called once, never from within network_take(), and not at all after network_release(): exactly one of tap and err is
 * non-NULL. It may free the instance. */
typedef void network_taken_fn(struct instance *i, const struct network_tap *tap, const struct err *err);

/* Begins to connect; does nothing where the network is not enabled. */
int network_start(struct vmmd *v, struct err *err);
void network_end(struct vmmd *v); /* outstanding questions are forgotten without an answer */
bool network_connected(const struct vmmd *v);
/* Those of the app's sinks that this instance may have by its label (vmmd/sinks.h), into i->net->sinks; those that it may
 * not have are named in an event. Each decision is in the audit log when this returns. ERR_CONFIG: a name that the
 * configuration does not have; ERR_UNAVAILABLE: the log does not work. */
int network_grant(struct vmmd *v, struct instance *i, const char *wanted, struct err *err);
/* Asks for a tap; i->net is there. ERR_UNAVAILABLE: no connection. */
int network_take(struct vmmd *v, struct instance *i, const struct network_wish *wish, network_taken_fn *done,
		 struct err *err);
/* The instance's process is gone, or never came to be: gives its tap back, or forgets the question. */
void network_release(struct vmmd *v, struct instance *i);
/* What the tender is told: addresses from the answer, sinks with their addresses from the configuration. */
void network_describe(const struct vmmd *v, const struct network_tap *tap, unsigned port, const char *sinks,
		      struct control_net *out);

#endif
