/* SPDX-License-Identifier: MIT
 *
 * An instance as the proxy holds it: its place in routing (proxy/route.h), its channel, and the request it works on.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "proxy/channel.h"
#include "proxy/route.h"

struct proxy;
struct request;

struct backend {
	struct instance instance;
	struct channel channel;
	struct proxy *proxy;
	struct request *request; /* in flight, or NULL */
	int next_fd;		 /* a channel announced anew, for when the present one is done with; -1 */
};

extern const struct routes_ops backend_ops; /* ctx: struct proxy */

static inline struct backend *backend_of(struct instance *i)
{
	return table_entry(i, struct backend, instance);
}

/* The label of the instance now: what it was bound to, or what it has read since. -1: not to be known, so that nothing of
 * it may leave. */
int backend_label(const struct backend *b, struct label *out, struct err *err);
/* ROUTING_INSTANCE: a new instance, or a new channel for one that is known. Takes over `fd`. */
void backend_announced(struct proxy *p, const struct routing_message *m, int fd);
/* Ends an instance that breaks the rules, by STOP to vmmd. Its request, if any, is the caller's to refuse. */
void backend_stop(struct backend *b, const char *reason);
/* ROUTING_GONE */
void backend_gone(struct proxy *p, const char *uuid, const char *reason);

#endif
