/* SPDX-License-Identifier: MIT
 *
 * Which instance gets which request: the tables of apps, routes and instances, the choice, the queue and the growth.
 * No input or output happens here; what has to be said to vmmd or to a waiting request goes through struct routes_ops.
 *
 * A route is a key (app, label, owner); only requests of exactly that key go to its instances (rules R1 and R8). An
 * instance takes one request at a time, so "least loaded" is: any idle one; ties go round robin, as the one that has
 * been idle longest is taken. Requests that find none idle wait in order of arrival while the app grows.
 *
 * Growth: one ROUTING_NEED per waiting request at most, and never past the app's max_instances. When all of those
 * belong to other keys, the one of them that has been idle longest is stopped to make room; one that was made ahead for its
 * key (.keep) only where all are.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <ppce/routing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "policy/label.h"
#include "proxy/table.h"

struct instance;
struct waiter;
TAILQ_HEAD(instance_list, instance);
TAILQ_HEAD(waiter_list, waiter);

struct app {
	struct table_link link;
	TAILQ_ENTRY(app) all;
	TAILQ_HEAD(, route) routes;
	TAILQ_HEAD(, route) starving; /* routes with waiters but without an instance, had or asked for */
	struct instance_list idle;    /* over all routes, idle longest first */
	char name[PPCE_NAME_SIZE];
	enum app_lifetime lifetime;
	bool discard;
	uint32_t max_instances, idle_s, max_age_s, max_requests, deadline_ms, request_bytes, response_bytes;
	unsigned instances;	/* usable or busy */
	unsigned kept;		/* of these, those with .keep */
	unsigned ending;	/* stopped or dead, but ROUTING_GONE is still to come */
	unsigned needs;		/* asked for and not answered */
	unsigned waiting;	/* requests in the queues of its routes */
	uint64_t hold_until_ns; /* vmmd refused: do not ask for additional ones before */
	bool has_store, has_sinks;
	enum app_transport transport;
	char digest[PPCE_DIGEST_SIZE]; /* of the image */
	uint32_t generation;
	bool gone;   /* removed; freed when nothing points here any more */
	bool pinned; /* not to be freed now */
};

/* May an instance's label rise by what it reads? Not where others share it (R8), nor where it can send to others, who
 * would not rise with it. */
static inline bool app_fixed(const struct app *app)
{
	return app->lifetime == LIFETIME_CLASS || app->has_sinks;
}

struct route {
	struct table_link link;
	TAILQ_ENTRY(route) of_app, starve;
	bool starving;
	bool pinned; /* not to be freed now */
	struct app *app;
	char label[PPCE_LABEL_SIZE], owner[PPCE_USER_SIZE];
	struct instance_list idle; /* idle longest first */
	struct waiter_list waiting;
	unsigned instances, needs, nwaiting;
};

/* The part of an instance that routing knows of; proxy/instance.h holds the rest. */
struct instance {
	struct table_link link;
	TAILQ_ENTRY(instance) all, idle_route, idle_app;
	enum instance_state { INSTANCE_IDLE, INSTANCE_BUSY, INSTANCE_ENDING } state;
	struct app *app;
	struct route *route;							  /* NULL once ENDING */
	char uuid[PPCE_UUID_SIZE], label[PPCE_LABEL_SIZE], owner[PPCE_USER_SIZE]; /* as vmmd bound it, or refiled */
	struct label level;							  /* of .label */
	uint64_t born_ns;
	uint64_t since_ns; /* in its present state */
	uint32_t served;   /* requests, over its whole life */
	bool asked;	   /* started because a request waited */
	uint32_t spawn_us;
	uint32_t slot; /* in the taint table; TAINT_NONE without a store */
	uint64_t seq;  /* of the newest ticket made for it */
	bool from_shell;
	bool keep;    /* made ahead to be there: idleness does not end it */
	bool surplus; /* to be stopped when its request is done: no longer announced */
	uint32_t generation;
};

/* A request that waits: part of the request's memory, in a queue from route_acquire() until granted(), failed() or
 * route_cancel(). */
struct waiter {
	TAILQ_ENTRY(waiter) of_route, all;
	struct route *route; /* NULL while not waiting */
	uint64_t since_ns;
	/* Exactly one of them, once. */
	/* The instance is BUSY now, for this request. False: the request does not want it any more. */
	bool (*granted)(struct waiter *w, struct instance *i);
	void (*failed)(struct waiter *w, enum err_kind kind, const char *reason); /* reason: a stable code */
};

struct routes_ops {
	/* Ask vmmd; false if it cannot be asked now (it will be at routes_synced()). */
	bool (*need)(void *ctx, const struct route *route, uint64_t id);
	/* End this instance; routing has already taken it out of its tables (state ENDING). */
	void (*stop)(void *ctx, struct instance *i, const char *reason);
	void (*free)(void *ctx, struct instance *i); /* out of all tables: its memory is the owner's again */
};

struct routes {
	const struct routes_ops *ops;
	void *ctx;
	unsigned queue_max; /* waiting requests of one app */
	uint64_t queue_ns;  /* longest wait */
	struct table by_app, by_key, by_uuid, by_need;
	TAILQ_HEAD(, app) apps;
	TAILQ_HEAD(, need) needs; /* questions to vmmd without an answer yet */
	struct instance_list instances;
	struct waiter_list waiting; /* of all apps, in order of arrival */
	uint64_t last_need;
	uint32_t generation; /* of vmmd's announcements, see routes_resync() */
	bool synced;	     /* vmmd has announced everything at least once */
	bool connected;	     /* ... and is connected, so that instances can be stopped and asked for */
};

int routes_init(struct routes *t, const struct routes_ops *ops, void *ctx, unsigned queue_max, unsigned queue_ms);
void routes_free(struct routes *t); /* nobody may wait any more */

struct app *routes_app(const struct routes *t, const char *name); /* NULL: unknown, or removed */
struct instance *routes_instance(const struct routes *t, const char *uuid);

/* An instance for the key, BUSY from now on; or NULL, and the waiter is queued (*kind ERR_NONE) or the queue is full
 * (ERR_FULL), or memory is short (ERR_INTERNAL). `owner` is the user for LIFETIME_USER, else "". */
struct instance *route_acquire(struct routes *t, struct app *app, const char *label, const char *owner,
			       struct waiter *w, uint64_t now_ns, enum err_kind *kind);
void route_cancel(struct routes *t, struct waiter *w); /* the request went away; harmless if not waiting */
/* A BUSY instance has done its request and is fit for the next: it goes to whoever waits, or becomes idle, or is
 * stopped when it is used up or needed elsewhere. */
void route_release(struct routes *t, struct instance *i, uint64_t now_ns); /* i may be ENDING afterwards */
/* A BUSY instance has another label now (it has read): it belongs to another key from here on. -1: no memory. */
int route_refile(struct routes *t, struct instance *i, const char *label, const struct label *level);
/* Takes an instance that is dead, broken or used up out of the tables. It stays known by its UUID (ENDING) until
 * routes_gone(). With a reason, ops->stop() is called. */
void route_end(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns);

/* vmmd's messages, checked by routing_valid() */
int routes_app_update(struct routes *t, const struct routing_message *m); /* -1: out of memory */
void routes_app_gone(struct routes *t, const char *name);
/* A new instance: i->uuid, label, owner, level and start figures are set by the caller. -1: unknown app, or no memory; the
 * instance is not taken. Otherwise it serves a waiting request at once, or is idle. */
int routes_add(struct routes *t, struct instance *i, const char *app, uint64_t need, uint64_t now_ns);
void routes_refused(struct routes *t, uint64_t need, enum err_kind kind, uint64_t now_ns);
void routes_gone(struct routes *t, struct instance *i, uint64_t now_ns); /* frees it */
void routes_resync(struct routes *t);					 /* vmmd is connected: announcements follow */
/* What was not announced again is dropped, busy instances after their request; then asks for what is waited for. */
void routes_synced(struct routes *t, uint64_t now_ns);
void routes_lost(struct routes *t); /* vmmd is gone: open questions are void, ENDING instances are forgotten */

void routes_expire(struct routes *t, uint64_t now_ns); /* fails requests that waited longer than queue_ms */
void routes_sweep(struct routes *t, uint64_t now_ns);  /* stops instances that are idle too long, too old, used up */

#endif
