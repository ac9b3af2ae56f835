/* SPDX-License-Identifier: MIT
 *
 * Events for the store's automata (policy/automaton.h): what owners consented to, revoked, or asked to erase, and what
 * ran out. An event is written in the transaction of the change that it tells of, and delivered in order to POST
 * /v1/events on DIR/run/store.sock, again and again until the store has it; a restart of auth loses none, and an event
 * may arrive twice where auth was killed in between.
 *
 * A policy without automata has no use for events: none are made.
 */
#ifndef AUTH_OUTBOX_H
#define AUTH_OUTBOX_H

#include <uv.h>

#include "auth/db.h"
#include "lib/http_client.h"
#include "policy/automaton.h"

struct outbox;

struct outbox_event {
	enum automaton_event event;
	const char *owner, *category, *actor, *class_name, *purpose;
};

/* Delivers what is left from before, if `enabled`; else makes no events. `store` is the path of the store's socket. */
struct outbox *outbox_new(uv_loop_t *loop, struct db *db, const char *store, bool enabled, struct err *err);
bool outbox_enabled(const struct outbox *o);

/* Within the caller's transaction. *id names the event for outbox_wait(); 0 where none are made. */
int outbox_put(struct outbox *o, const struct outbox_event *e, int64_t *id, struct err *err);

/* After the commit: delivers, and tells once how it went: at once for id 0, else after OUTBOX_WAIT_MS at the latest. */
enum outbox_fate {
	OUTBOX_DELIVERED,
	OUTBOX_REFUSED, /* the store has it, and no automaton allows it: nothing more will come */
	OUTBOX_LATER,	/* not yet: it follows */
};
#define OUTBOX_WAIT_MS 2000u
typedef void outbox_done(void *ctx, enum outbox_fate fate);
void outbox_wait(struct outbox *o, int64_t id, outbox_done *done, void *ctx);

int64_t outbox_waiting(struct outbox *o, struct err *err); /* events that are not delivered; -1 */
/* Tells everybody who waits OUTBOX_LATER, and frees itself once the loop has closed its handles. */
void outbox_stop(struct outbox *o);

#endif
