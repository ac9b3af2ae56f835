/* SPDX-License-Identifier: MIT
 *
 * The socket to the proxy (ppce/routing.h). One proxy is served at a time; a newer one replaces the older. Packets that
 * are malformed, of a foreign user or carry descriptors end the connection, never the daemon.
 */
#ifndef VMMD_ROUTE_H
#define VMMD_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/err.h"

#define ROUTE_QUEUE_MAX 8192 /* messages that the proxy has not taken; more end the connection */

struct vmmd;
struct app;
struct instance;
struct route_peer;

struct route_question {	     /* of a proxy */
	uint64_t id;	     /* 0: nobody asked, or it is answered */
	uint64_t generation; /* of the connection it came over */
};

struct route {
	int fd;
	uv_poll_t poll;
	struct route_peer *peer; /* the connected proxy, or NULL */
	uint64_t generation;	 /* counts connections: a parked question of an older one is dropped */
	uint64_t lost_ns;	 /* when the last proxy went, or the daemon started */
	unsigned parked;	 /* questions waiting for an image to boot */
};

int route_start(struct vmmd *v, struct err *err);
void route_end(struct vmmd *v);
bool route_connected(const struct vmmd *v);
/* All of these do nothing while no proxy is connected. */
void route_app(struct vmmd *v, const struct app *app);
void route_app_gone(struct vmmd *v, const char *name);
void route_gone(struct vmmd *v, const struct instance *i, const char *reason);
/* Sends the proxy's end of the channel, which it takes over, as the answer to i->asked; held in the instance while no
 * proxy is connected. */
void route_instance(struct vmmd *v, struct instance *i, int channel);
/* Answers a question that is still open; one of a proxy that is gone is dropped. */
void route_refuse(struct vmmd *v, struct route_question *asked, const struct err *err);

#endif
