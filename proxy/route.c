/* SPDX-License-Identifier: MIT */
#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/route_table.h"

#define FORGET_NS 10000000000ull /* vmmd did not tell the end of a stopped instance: it never knew it */

/* --- growth -------------------------------------------------------------------------------------------------- */

/* The idle one that goes first: one that was not made ahead to be there, if there is any. */
static struct instance *least_wanted(const struct app *app)
{
	struct instance *i;
	TAILQ_FOREACH (i, &app->idle, idle_app)
		if (!i->keep)
			return i;
	return TAILQ_FIRST(&app->idle);
}

/* The app is at its maximum. May this route have the place of another key's idle instance? */
static bool make_room(struct routes *t, struct route *r, uint64_t now_ns)
{
	struct instance *victim = least_wanted(r->app);
	if (r->instances + r->needs > 0 || !victim)
		return false;
	instance_detach(t, victim, "stopped to make room for another key", now_ns);
	return true;
}

static bool ask(struct routes *t, struct route *r)
{
	struct need *n = calloc(1, sizeof *n);
	if (!n)
		return false;
	n->id = ++t->last_need;
	n->route = r;
	if (!t->ops->need(t->ctx, r, n->id)) {
		free(n);
		return false;
	}
	table_insert(&t->by_need, &n->link, table_hash(&n->id, sizeof n->id));
	TAILQ_INSERT_TAIL(&t->needs, n, all);
	r->needs++;
	r->app->needs++;
	route_settle(t, r);
	return true;
}

/* Asks for as many instances as requests wait here, within the app's maximum. The route has waiters. */
static void route_grow(struct routes *t, struct route *r, uint64_t now_ns)
{
	struct app *app = r->app;
	while (r->needs < r->nwaiting && t->connected && !app->gone) {
		bool can_wait = r->instances + r->needs > 0 || app->ending > 0;
		if (can_wait && now_ns < app->hold_until_ns)
			return;
		if (app->instances + app->needs >= app->max_instances && !make_room(t, r, now_ns))
			return;
		if (!ask(t, r))
			return;
	}
}

void app_grow(struct routes *t, struct app *app, uint64_t now_ns)
{
	struct route *r, *next;
	for (r = TAILQ_FIRST(&app->starving); r; r = next) {
		next = TAILQ_NEXT(r, starve);
		route_grow(t, r, now_ns);
	}
	if (app->waiting <= app->needs)
		return;
	TAILQ_FOREACH (r, &app->routes, of_app)
		if (r->nwaiting > 0)
			route_grow(t, r, now_ns);
}

/* --- the choice ---------------------------------------------------------------------------------------------- */

struct instance *route_acquire(struct routes *t, struct app *app, const char *label, const char *owner,
			       struct waiter *w, uint64_t now_ns, enum err_kind *kind)
{
	struct route *r = route_find(t, app, label, owner);
	struct instance *i = r ? TAILQ_FIRST(&r->idle) : NULL;
	w->route = NULL;
	*kind = ERR_NONE;
	if (i) {
		instance_unlist(i);
		i->state = INSTANCE_BUSY;
		i->since_ns = now_ns;
		return i;
	}
	/* A request for which there is room to grow waits for its own instance and takes nobody's place. */
	unsigned room = app->max_instances > app->instances ? app->max_instances - app->instances : 0;
	if (app->waiting >= t->queue_max + room) {
		*kind = ERR_FULL;
		return NULL;
	}
	if (!r && !(r = route_make(t, app, label, owner))) {
		*kind = ERR_INTERNAL;
		return NULL;
	}
	waiter_enqueue(t, r, w, now_ns);
	route_grow(t, r, now_ns);
	return NULL;
}

void instance_settle(struct routes *t, struct instance *i, uint64_t now_ns)
{
	struct waiter *w;
	i->since_ns = now_ns;
	i->state = INSTANCE_BUSY;
	while ((w = TAILQ_FIRST(&i->route->waiting))) {
		waiter_dequeue(t, w);
		if (w->granted(w, i))
			return;
	}
	i->state = INSTANCE_IDLE;
	TAILQ_INSERT_TAIL(&i->route->idle, i, idle_route);
	TAILQ_INSERT_TAIL(&i->app->idle, i, idle_app);
}

static const char *used_up(const struct instance *i, uint64_t now_ns)
{
	const struct app *app = i->app;
	if (i->surplus || app->gone)
		return "no longer wanted";
	if (app->max_requests && i->served >= app->max_requests)
		return "has answered max_requests";
	if (app->max_age_s && now_ns - i->born_ns >= app->max_age_s * 1000000000ull)
		return "is older than max_age";
	return NULL;
}

/* Someone who waits for an instance of another key, and longer than anybody for this one. */
static struct route *hungrier(const struct routes *t, const struct instance *i)
{
	struct app *app = i->app;
	struct route *r = TAILQ_FIRST(&app->starving);
	struct waiter *own = TAILQ_FIRST(&i->route->waiting);
	if (!r || !t->connected || app->instances + app->needs < app->max_instances)
		return NULL;
	return !own || TAILQ_FIRST(&r->waiting)->since_ns < own->since_ns ? r : NULL;
}

void route_release(struct routes *t, struct instance *i, uint64_t now_ns)
{
	i->served++;
	const char *reason = used_up(i, now_ns);
	if (!reason && hungrier(t, i) && !(i->keep && i->app->instances > i->app->kept))
		reason = "stopped to make room for another key";
	if (reason)
		route_end(t, i, reason, now_ns);
	else
		instance_settle(t, i, now_ns);
}

int route_refile(struct routes *t, struct instance *i, const char *label, const struct label *level)
{
	struct route *old = i->route, *r = route_make(t, i->app, label, i->owner);
	if (!r)
		return -1;
	r->instances++;
	old->instances--;
	i->route = r;
	i->level = *level;
	memcpy(i->label, label, strlen(label) + 1);
	route_settle(t, r);
	route_settle(t, old);
	return 0;
}

void route_end(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns)
{
	if (i->state == INSTANCE_ENDING)
		return;
	instance_detach(t, i, reason, now_ns);
	app_grow(t, i->app, now_ns);
}

/* --- once a second ------------------------------------------------------------------------------------------- */

static void sweep_instance(struct routes *t, struct instance *i, uint64_t now_ns)
{
	if (i->state == INSTANCE_ENDING && (!t->connected || now_ns - i->since_ns >= FORGET_NS)) {
		instance_forget(t, i);
		return;
	}
	if (i->state != INSTANCE_IDLE || !t->connected)
		return;
	const char *reason = used_up(i, now_ns);
	if (!reason && !i->keep && i->app->idle_s && now_ns - i->since_ns >= i->app->idle_s * 1000000000ull)
		reason = "was idle";
	if (reason)
		route_end(t, i, reason, now_ns);
}

void routes_sweep(struct routes *t, uint64_t now_ns)
{
	struct instance *i, *next;
	struct app *app;
	for (i = TAILQ_FIRST(&t->instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		sweep_instance(t, i, now_ns);
	}
	TAILQ_FOREACH (app, &t->apps, all)
		if (app->waiting > 0)
			app_grow(t, app, now_ns);
}

/* --- begin and end ------------------------------------------------------------------------------------------- */

int routes_init(struct routes *t, const struct routes_ops *ops, void *ctx, unsigned queue_max, unsigned queue_ms)
{
	*t = (struct routes){ .ops = ops, .ctx = ctx, .queue_max = queue_max, .queue_ns = queue_ms * 1000000ull };
	TAILQ_INIT(&t->apps);
	TAILQ_INIT(&t->needs);
	TAILQ_INIT(&t->instances);
	TAILQ_INIT(&t->waiting);
	if (table_init(&t->by_app) < 0 || table_init(&t->by_key) < 0 || table_init(&t->by_uuid) < 0 ||
	    table_init(&t->by_need) < 0)
		return -1;
	return 0;
}

void routes_free(struct routes *t)
{
	struct instance *i, *next;
	routes_lost(t);
	for (i = TAILQ_FIRST(&t->instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		instance_detach(t, i, NULL, 0);
		instance_forget(t, i);
	}
	while (!TAILQ_EMPTY(&t->apps))
		app_remove(t, TAILQ_FIRST(&t->apps));
	table_free(&t->by_app);
	table_free(&t->by_key);
	table_free(&t->by_uuid);
	table_free(&t->by_need);
}
