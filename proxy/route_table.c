/* SPDX-License-Identifier: MIT */
#include "proxy/route_table.h"

#include <stdlib.h>
#include <string.h>

/* --- finding ------------------------------------------------------------------------------------------------- */

static uint64_t key_hash(const char *app, const char *label, const char *owner)
{
	char key[PPCE_NAME_SIZE + PPCE_LABEL_SIZE + PPCE_USER_SIZE];
	size_t a = strlen(app) + 1, l = strlen(label) + 1, o = strlen(owner);
	memcpy(key, app, a);
	memcpy(key + a, label, l);
	memcpy(key + a + l, owner, o);
	return table_hash(key, a + l + o);
}

struct route *route_find(const struct routes *t, const struct app *app, const char *label, const char *owner)
{
	for (struct table_link *l = table_first(&t->by_key, key_hash(app->name, label, owner)); l; l = table_next(l)) {
		struct route *r = table_entry(l, struct route, link);
		if (r->app == app && strcmp(r->label, label) == 0 && strcmp(r->owner, owner) == 0)
			return r;
	}
	return NULL;
}

struct app *routes_app(const struct routes *t, const char *name)
{
	for (struct table_link *l = table_first(&t->by_app, table_hash(name, strlen(name))); l; l = table_next(l)) {
		struct app *app = table_entry(l, struct app, link);
		if (strcmp(app->name, name) == 0)
			return app;
	}
	return NULL;
}

struct instance *routes_instance(const struct routes *t, const char *uuid)
{
	for (struct table_link *l = table_first(&t->by_uuid, table_hash(uuid, strlen(uuid))); l; l = table_next(l)) {
		struct instance *i = table_entry(l, struct instance, link);
		if (strcmp(i->uuid, uuid) == 0)
			return i;
	}
	return NULL;
}

struct need *need_find(const struct routes *t, uint64_t id)
{
	for (struct table_link *l = table_first(&t->by_need, table_hash(&id, sizeof id)); l; l = table_next(l)) {
		struct need *n = table_entry(l, struct need, link);
		if (n->id == id)
			return n;
	}
	return NULL;
}

/* --- making and freeing -------------------------------------------------------------------------------------- */

void app_settle(struct routes *t, struct app *app)
{
	if (!app->gone || app->pinned || app->instances || app->ending || !TAILQ_EMPTY(&app->routes))
		return;
	TAILQ_REMOVE(&t->apps, app, all);
	free(app);
}

void route_settle(struct routes *t, struct route *r)
{
	bool starving = r->nwaiting > 0 && r->instances + r->needs == 0;
	if (starving != r->starving) {
		r->starving = starving;
		if (starving)
			TAILQ_INSERT_TAIL(&r->app->starving, r, starve);
		else
			TAILQ_REMOVE(&r->app->starving, r, starve);
	}
	if (r->nwaiting + r->instances + r->needs > 0 || r->pinned)
		return;
	struct app *app = r->app;
	table_remove(&t->by_key, &r->link);
	TAILQ_REMOVE(&app->routes, r, of_app);
	free(r);
	app_settle(t, app);
}

struct route *route_make(struct routes *t, struct app *app, const char *label, const char *owner)
{
	struct route *r = route_find(t, app, label, owner);
	if (r || !(r = calloc(1, sizeof *r)))
		return r;
	r->app = app;
	memcpy(r->label, label, strlen(label) + 1);
	memcpy(r->owner, owner, strlen(owner) + 1);
	TAILQ_INIT(&r->idle);
	TAILQ_INIT(&r->waiting);
	TAILQ_INSERT_TAIL(&app->routes, r, of_app);
	table_insert(&t->by_key, &r->link, key_hash(app->name, label, owner));
	return r;
}

void need_drop(struct routes *t, struct need *n)
{
	n->route->needs--;
	n->route->app->needs--;
	table_remove(&t->by_need, &n->link);
	TAILQ_REMOVE(&t->needs, n, all);
	free(n);
}

void instance_forget(struct routes *t, struct instance *i)
{
	struct app *app = i->app;
	app->ending--;
	table_remove(&t->by_uuid, &i->link);
	TAILQ_REMOVE(&t->instances, i, all);
	t->ops->free(t->ctx, i);
	app_settle(t, app);
}

/* --- the queue ----------------------------------------------------------------------------------------------- */

void waiter_enqueue(struct routes *t, struct route *r, struct waiter *w, uint64_t now_ns)
{
	w->route = r;
	w->since_ns = now_ns;
	TAILQ_INSERT_TAIL(&r->waiting, w, of_route);
	TAILQ_INSERT_TAIL(&t->waiting, w, all);
	r->nwaiting++;
	r->app->waiting++;
	route_settle(t, r);
}

void waiter_dequeue(struct routes *t, struct waiter *w)
{
	struct route *r = w->route;
	w->route = NULL;
	TAILQ_REMOVE(&r->waiting, w, of_route);
	TAILQ_REMOVE(&t->waiting, w, all);
	r->nwaiting--;
	r->app->waiting--;
	route_settle(t, r);
}

void route_cancel(struct routes *t, struct waiter *w)
{
	if (w->route)
		waiter_dequeue(t, w);
}

void route_fail_waiters(struct routes *t, struct route *r, enum err_kind kind, const char *reason)
{
	r->pinned = true;
	for (unsigned n = r->nwaiting; n > 0 && !TAILQ_EMPTY(&r->waiting); n--) {
		struct waiter *w = TAILQ_FIRST(&r->waiting);
		waiter_dequeue(t, w);
		w->failed(w, kind, reason);
	}
	r->pinned = false;
	route_settle(t, r);
}

void routes_expire(struct routes *t, uint64_t now_ns)
{
	struct waiter *w;
	while ((w = TAILQ_FIRST(&t->waiting)) && now_ns - w->since_ns >= t->queue_ns) {
		waiter_dequeue(t, w);
		w->failed(w, ERR_UNAVAILABLE, "queue-timeout");
	}
}

/* --- instances ---------------------------------------------------------------------------------------------------- */

void instance_unlist(struct instance *i)
{
	if (i->state != INSTANCE_IDLE)
		return;
	TAILQ_REMOVE(&i->route->idle, i, idle_route);
	TAILQ_REMOVE(&i->app->idle, i, idle_app);
}

void instance_detach(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns)
{
	struct route *r = i->route;
	instance_unlist(i);
	i->state = INSTANCE_ENDING;
	i->since_ns = now_ns;
	i->route = NULL;
	i->app->instances--;
	i->app->kept -= i->keep;
	i->app->ending++;
	r->instances--;
	route_settle(t, r);
	if (reason)
		t->ops->stop(t->ctx, i, reason);
}
