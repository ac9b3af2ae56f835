/* SPDX-License-Identifier: MIT
 *
 * An instance as the proxy holds it: its place in routing (proxy/route.h), its channel or address, and the request it
 * works on. How it comes: proxy/announce.c.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "proxy/channel.h"
#include "proxy/route.h"

#define BACKEND_ADDRESS_SIZE 24 /* "255.255.255.255:65535" */

struct http_pending;
struct proxy;
struct request;

struct backend {
	struct instance instance;
	struct channel channel;
	struct proxy *proxy;
	struct request *request; /* in flight, or NULL */
	int next_fd;		 /* a channel announced anew, for when the present one is done with; -1 */
	/* An instance with a network: */
	char address[BACKEND_ADDRESS_SIZE]; /* where it serves HTTP; "" if requests go over the channel */
	bool foreign;			    /* not ours: it has no channel */
	unsigned keepalive_s;		    /* probes on its connections; 0: none */
	struct http_pending *call;	    /* that of `request`, or NULL */
	unsigned missed;		    /* tries in a row to reach it, see proxy/health.h */
};

extern const struct routes_ops backend_ops; /* ctx: struct proxy */

static inline struct backend *backend_of(struct instance *i)
{
	return table_entry(i, struct backend, instance);
}

/* The label of the instance now: what it was bound to, or what it has read since. -1: not to be known, so that nothing of
 * it may leave. */
int backend_label(const struct backend *b, struct label *out, struct err *err);
/* Its channel is `fd` from now on, which is taken over also on failure. */
int backend_open_channel(struct backend *b, int fd, size_t answer_max, struct err *err);
/* The channel that vmmd announced replaces the present one, which is closed: only then does the tender turn to it. */
void backend_adopt_channel(struct backend *b);
/* Its channel and its connections are closed, those too that are kept for later: its address may be another one's soon. */
void backend_hang_up(struct backend *b);
void backend_forget_connections(struct backend *b); /* only those that are kept */
/* Takes its request, if any, off the instance, which is done with it from here on. */
struct request *backend_take_request(struct backend *b);
/* Makes what can be made before a request is there: the connection to an idle instance that serves HTTP. */
void backend_prepare(struct backend *b);
/* An answer by HTTP was taken, or given up: it becomes ready for the next. Does nothing to one that has been ended. */
void backend_answered(struct backend *b);
/* Ends an instance that breaks the rules, by STOP to vmmd. Its request, if any, is the caller's to refuse. */
void backend_stop(struct backend *b, const char *reason);
/* ROUTING_GONE */
void backend_gone(struct proxy *p, const char *uuid, const char *reason);

#endif
