/* SPDX-License-Identifier: MIT
 *
 * Inside routing: what its parts share.
 *
 *	route_table.c	the tables: finding, making, freeing, queues
 *	route.c		growth and choice
 *	route_news.c	what vmmd announces
 */
#ifndef PROXY_ROUTE_TABLE_H
#define PROXY_ROUTE_TABLE_H

#include "proxy/route.h"

struct need { /* a question to vmmd */
	struct table_link link;
	TAILQ_ENTRY(need) all;
	uint64_t id;
	struct route *route;
};

struct route *route_find(const struct routes *t, const struct app *app, const char *label, const char *owner);
struct route *route_make(struct routes *t, struct app *app, const char *label, const char *owner); /* or finds it */
/* To be called after every change of a route's numbers: keeps the list of starving routes and frees the route when
 * nothing is left of it. */
void route_settle(struct routes *t, struct route *r);
void app_remove(struct routes *t, struct app *app); /* nobody finds it any more; who waits for it fails */
void app_settle(struct routes *t, struct app *app); /* frees it when it is gone and nothing points there */
struct need *need_find(const struct routes *t, uint64_t id);
void need_drop(struct routes *t, struct need *n);

void waiter_enqueue(struct routes *t, struct route *r, struct waiter *w, uint64_t now_ns);
void waiter_dequeue(struct routes *t, struct waiter *w);
/* Fails those that wait now; what they set off may queue new ones, which stay. */
void route_fail_waiters(struct routes *t, struct route *r, enum err_kind kind, const char *reason);

void instance_unlist(struct instance *i); /* from the idle ones */
/* Takes an instance out of routing, without any consequence for those who wait. */
void instance_detach(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns);
void instance_forget(struct routes *t, struct instance *i); /* one that is ENDING: frees it */
/* Gives a free instance to the first who waits for its key, or keeps it. */
void instance_settle(struct routes *t, struct instance *i, uint64_t now_ns);

/* There may be room for more instances of this app: the starving ask first. */
void app_grow(struct routes *t, struct app *app, uint64_t now_ns);

#endif
