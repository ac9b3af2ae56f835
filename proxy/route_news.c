/* SPDX-License-Identifier: MIT */
#include "proxy/route_table.h"

#include <stdlib.h>
#include <string.h>

#define HOLD_NS 250000000ull /* after a refusal, before an app with instances asks for more */

int routes_app_update(struct routes *t, const struct routing_message *m)
{
	struct app *app = routes_app(t, m->app);
	if (!app) {
		app = calloc(1, sizeof *app);
		if (!app)
			return -1;
		memcpy(app->name, m->app, sizeof app->name);
		TAILQ_INIT(&app->routes);
		TAILQ_INIT(&app->starving);
		TAILQ_INIT(&app->idle);
		TAILQ_INSERT_TAIL(&t->apps, app, all);
		table_insert(&t->by_app, &app->link, table_hash(app->name, strlen(app->name)));
	}
	app->lifetime = m->lifetime;
	app->discard = m->discard;
	app->max_instances = m->max_instances;
	app->idle_s = m->idle_s;
	app->max_age_s = m->max_age_s;
	app->max_requests = m->max_requests;
	app->deadline_ms = m->deadline_ms;
	app->request_bytes = m->request_bytes;
	app->response_bytes = m->response_bytes;
	app->has_store = m->has_store != 0;
	app->has_sinks = m->has_sinks != 0;
	app->transport = m->transport;
	memcpy(app->digest, m->digest, sizeof app->digest);
	app->generation = t->generation;
	return 0;
}

void app_remove(struct routes *t, struct app *app)
{
	struct route *r, *next;
	app->gone = true;
	app->pinned = true;
	table_remove(&t->by_app, &app->link);
	for (r = TAILQ_FIRST(&app->routes); r; r = next) {
		next = TAILQ_NEXT(r, of_app);
		route_fail_waiters(t, r, ERR_NOT_FOUND, "app-removed");
	}
	app->pinned = false;
	app_settle(t, app);
}

void routes_app_gone(struct routes *t, const char *name)
{
	struct app *app = routes_app(t, name);
	if (app)
		app_remove(t, app);
}

int routes_add(struct routes *t, struct instance *i, const char *app_name, uint64_t need, uint64_t now_ns)
{
	struct app *app = routes_app(t, app_name);
	struct route *r = app ? route_make(t, app, i->label, i->owner) : NULL;
	struct need *n = need ? need_find(t, need) : NULL;
	if (!r)
		return -1;
	r->instances++;
	app->instances++;
	app->kept += i->keep;
	if (n) {
		struct route *asked = n->route;
		i->asked = asked == r;
		need_drop(t, n);
		route_settle(t, asked);
	}
	route_settle(t, r);
	i->app = app;
	i->route = r;
	i->state = INSTANCE_BUSY;
	i->generation = t->generation;
	TAILQ_INSERT_TAIL(&t->instances, i, all);
	table_insert(&t->by_uuid, &i->link, table_hash(i->uuid, strlen(i->uuid)));
	instance_settle(t, i, now_ns);
	return 0;
}

void routes_refused(struct routes *t, uint64_t id, enum err_kind kind, uint64_t now_ns)
{
	struct need *n = need_find(t, id);
	if (!n)
		return;
	struct route *r = n->route;
	struct app *app = r->app;
	need_drop(t, n);
	if (r->instances + r->needs > 0 || (kind == ERR_FULL && app->ending > 0)) {
		app->hold_until_ns = now_ns + HOLD_NS; /* those who wait have others to wait for */
		route_settle(t, r);
		return;
	}
	bool known = kind == ERR_FULL || kind == ERR_DENIED || kind == ERR_NOT_FOUND;
	route_fail_waiters(t, r, known ? kind : ERR_UNAVAILABLE, "no-instance");
}

void routes_gone(struct routes *t, struct instance *i, uint64_t now_ns)
{
	struct app *app = i->app;
	if (i->state != INSTANCE_ENDING)
		instance_detach(t, i, NULL, now_ns);
	app->pinned = true;
	app->hold_until_ns = 0;
	instance_forget(t, i);
	app_grow(t, app, now_ns);
	app->pinned = false;
	app_settle(t, app);
}

void routes_resync(struct routes *t)
{
	t->generation++;
}

void routes_synced(struct routes *t, uint64_t now_ns)
{
	struct instance *i, *next;
	struct app *app, *next_app;
	t->synced = true;
	t->connected = true;
	for (i = TAILQ_FIRST(&t->instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		if (i->generation == t->generation || i->state == INSTANCE_ENDING)
			continue;
		i->surplus = true;
		if (i->state != INSTANCE_IDLE)
			continue;
		instance_detach(t, i, "not announced by vmmd any more", now_ns);
		instance_forget(t, i); /* no ROUTING_GONE will come */
	}
	for (app = TAILQ_FIRST(&t->apps); app; app = next_app) {
		next_app = TAILQ_NEXT(app, all);
		if (app->generation != t->generation && !app->gone)
			app_remove(t, app);
		else if (!app->gone)
			app_grow(t, app, now_ns);
	}
}

void routes_lost(struct routes *t)
{
	struct instance *i, *next;
	t->connected = false;
	while (!TAILQ_EMPTY(&t->needs)) {
		struct route *r = TAILQ_FIRST(&t->needs)->route;
		need_drop(t, TAILQ_FIRST(&t->needs));
		route_settle(t, r);
	}
	for (i = TAILQ_FIRST(&t->instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		if (i->state == INSTANCE_ENDING)
			instance_forget(t, i);
	}
}
