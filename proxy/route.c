/* SPDX-License-Identifier: MIT */
#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#define HOLD_NS 250000000ull	 /* after a refusal, before an app with instances asks for more */
#define FORGET_NS 10000000000ull /* vmmd did not tell the end of a stopped instance: it never knew it */

struct need {
	struct table_link link;
	TAILQ_ENTRY(need) all;
	uint64_t id;
	struct route *route;
};

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

static struct route *find_route(const struct routes *t, const struct app *app, const char *label, const char *owner)
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

static struct need *find_need(const struct routes *t, uint64_t id)
{
	for (struct table_link *l = table_first(&t->by_need, table_hash(&id, sizeof id)); l; l = table_next(l)) {
		struct need *n = table_entry(l, struct need, link);
		if (n->id == id)
			return n;
	}
	return NULL;
}

/* --- making and freeing -------------------------------------------------------------------------------------- */

static void settle_app(struct routes *t, struct app *app)
{
	if (!app->gone || app->pinned || app->instances || app->ending || !TAILQ_EMPTY(&app->routes))
		return;
	TAILQ_REMOVE(&t->apps, app, all);
	free(app);
}

/* To be called after every change of a route's numbers: keeps the list of starving routes and frees the route when
 * nothing is left of it. */
static void settle(struct routes *t, struct route *r)
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
	settle_app(t, app);
}

static struct route *make_route(struct routes *t, struct app *app, const char *label, const char *owner)
{
	struct route *r = find_route(t, app, label, owner);
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

static void drop_need(struct routes *t, struct need *n)
{
	n->route->needs--;
	n->route->app->needs--;
	table_remove(&t->by_need, &n->link);
	TAILQ_REMOVE(&t->needs, n, all);
	free(n);
}

static void forget_instance(struct routes *t, struct instance *i)
{
	struct app *app = i->app;
	app->ending--;
	table_remove(&t->by_uuid, &i->link);
	TAILQ_REMOVE(&t->instances, i, all);
	t->ops->free(t->ctx, i);
	settle_app(t, app);
}

/* --- the queue ----------------------------------------------------------------------------------------------- */

static void enqueue(struct routes *t, struct route *r, struct waiter *w, uint64_t now_ns)
{
	w->route = r;
	w->since_ns = now_ns;
	TAILQ_INSERT_TAIL(&r->waiting, w, of_route);
	TAILQ_INSERT_TAIL(&t->waiting, w, all);
	r->nwaiting++;
	r->app->waiting++;
	settle(t, r);
}

static void dequeue(struct routes *t, struct waiter *w)
{
	struct route *r = w->route;
	w->route = NULL;
	TAILQ_REMOVE(&r->waiting, w, of_route);
	TAILQ_REMOVE(&t->waiting, w, all);
	r->nwaiting--;
	r->app->waiting--;
	settle(t, r);
}

void route_cancel(struct routes *t, struct waiter *w)
{
	if (w->route)
		dequeue(t, w);
}

/* Fails those that wait now; what they set off may queue new ones, which stay. */
static void fail_waiters(struct routes *t, struct route *r, enum err_kind kind, const char *reason)
{
	r->pinned = true;
	for (unsigned n = r->nwaiting; n > 0 && !TAILQ_EMPTY(&r->waiting); n--) {
		struct waiter *w = TAILQ_FIRST(&r->waiting);
		dequeue(t, w);
		w->failed(w, kind, reason);
	}
	r->pinned = false;
	settle(t, r);
}

void routes_expire(struct routes *t, uint64_t now_ns)
{
	struct waiter *w;
	while ((w = TAILQ_FIRST(&t->waiting)) && now_ns - w->since_ns >= t->queue_ns) {
		dequeue(t, w);
		w->failed(w, ERR_UNAVAILABLE, "queue-timeout");
	}
}

/* --- growth -------------------------------------------------------------------------------------------------- */

static void unlist_idle(struct instance *i)
{
	if (i->state != INSTANCE_IDLE)
		return;
	TAILQ_REMOVE(&i->route->idle, i, idle_route);
	TAILQ_REMOVE(&i->app->idle, i, idle_app);
}

/* Takes an instance out of routing, without any consequence for those who wait. */
static void detach(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns)
{
	struct route *r = i->route;
	unlist_idle(i);
	i->state = INSTANCE_ENDING;
	i->since_ns = now_ns;
	i->route = NULL;
	i->app->instances--;
	i->app->ending++;
	r->instances--;
	settle(t, r);
	if (reason)
		t->ops->stop(t->ctx, i, reason);
}

/* The app is at its maximum. May this route have the place of another key's idle instance? */
static bool make_room(struct routes *t, struct route *r, uint64_t now_ns)
{
	struct instance *victim = TAILQ_FIRST(&r->app->idle);
	if (r->instances + r->needs > 0 || !victim)
		return false;
	detach(t, victim, "stopped to make room for another key", now_ns);
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
	settle(t, r);
	return true;
}

/* Asks for as many instances as requests wait here, within the app's maximum. The route has waiters. */
static void grow(struct routes *t, struct route *r, uint64_t now_ns)
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

/* There may be room for more instances of this app: the starving ask first. */
static void grow_app(struct routes *t, struct app *app, uint64_t now_ns)
{
	struct route *r, *next;
	for (r = TAILQ_FIRST(&app->starving); r; r = next) {
		next = TAILQ_NEXT(r, starve);
		grow(t, r, now_ns);
	}
	if (app->waiting <= app->needs)
		return;
	TAILQ_FOREACH (r, &app->routes, of_app)
		if (r->nwaiting > 0)
			grow(t, r, now_ns);
}

/* --- the choice ---------------------------------------------------------------------------------------------- */

struct instance *route_acquire(struct routes *t, struct app *app, const char *label, const char *owner,
			       struct waiter *w, uint64_t now_ns, enum err_kind *kind)
{
	struct route *r = find_route(t, app, label, owner);
	struct instance *i = r ? TAILQ_FIRST(&r->idle) : NULL;
	w->route = NULL;
	*kind = ERR_NONE;
	if (i) {
		unlist_idle(i);
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
	if (!r && !(r = make_route(t, app, label, owner))) {
		*kind = ERR_INTERNAL;
		return NULL;
	}
	enqueue(t, r, w, now_ns);
	grow(t, r, now_ns);
	return NULL;
}

/* Gives a free instance to the first who waits for its key, or keeps it. */
static void settle_instance(struct routes *t, struct instance *i, uint64_t now_ns)
{
	struct waiter *w;
	i->since_ns = now_ns;
	i->state = INSTANCE_BUSY;
	while ((w = TAILQ_FIRST(&i->route->waiting))) {
		dequeue(t, w);
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
	if (!reason && hungrier(t, i))
		reason = "stopped to make room for another key";
	if (reason)
		route_end(t, i, reason, now_ns);
	else
		settle_instance(t, i, now_ns);
}

int route_refile(struct routes *t, struct instance *i, const char *label, const struct label *level)
{
	struct route *old = i->route, *r = make_route(t, i->app, label, i->owner);
	if (!r)
		return -1;
	r->instances++;
	old->instances--;
	i->route = r;
	i->level = *level;
	memcpy(i->label, label, strlen(label) + 1);
	settle(t, r);
	settle(t, old);
	return 0;
}

void route_end(struct routes *t, struct instance *i, const char *reason, uint64_t now_ns)
{
	if (i->state == INSTANCE_ENDING)
		return;
	detach(t, i, reason, now_ns);
	grow_app(t, i->app, now_ns);
}

/* --- vmmd's messages ----------------------------------------------------------------------------------------- */

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

static void remove_app(struct routes *t, struct app *app)
{
	struct route *r, *next;
	app->gone = true;
	app->pinned = true;
	table_remove(&t->by_app, &app->link);
	for (r = TAILQ_FIRST(&app->routes); r; r = next) {
		next = TAILQ_NEXT(r, of_app);
		fail_waiters(t, r, ERR_NOT_FOUND, "app-removed");
	}
	app->pinned = false;
	settle_app(t, app);
}

void routes_app_gone(struct routes *t, const char *name)
{
	struct app *app = routes_app(t, name);
	if (app)
		remove_app(t, app);
}

int routes_add(struct routes *t, struct instance *i, const char *app_name, uint64_t need, uint64_t now_ns)
{
	struct app *app = routes_app(t, app_name);
	struct route *r = app ? make_route(t, app, i->label, i->owner) : NULL;
	struct need *n = need ? find_need(t, need) : NULL;
	if (!r)
		return -1;
	r->instances++;
	app->instances++;
	if (n) {
		struct route *asked = n->route;
		i->asked = asked == r;
		drop_need(t, n);
		settle(t, asked);
	}
	settle(t, r);
	i->app = app;
	i->route = r;
	i->state = INSTANCE_BUSY;
	i->generation = t->generation;
	TAILQ_INSERT_TAIL(&t->instances, i, all);
	table_insert(&t->by_uuid, &i->link, table_hash(i->uuid, strlen(i->uuid)));
	settle_instance(t, i, now_ns);
	return 0;
}

void routes_refused(struct routes *t, uint64_t id, enum err_kind kind, uint64_t now_ns)
{
	struct need *n = find_need(t, id);
	if (!n)
		return;
	struct route *r = n->route;
	struct app *app = r->app;
	drop_need(t, n);
	if (r->instances + r->needs > 0 || (kind == ERR_FULL && app->ending > 0)) {
		app->hold_until_ns = now_ns + HOLD_NS; /* those who wait have others to wait for */
		settle(t, r);
		return;
	}
	bool known = kind == ERR_FULL || kind == ERR_DENIED || kind == ERR_NOT_FOUND;
	fail_waiters(t, r, known ? kind : ERR_UNAVAILABLE, "no-instance");
}

void routes_gone(struct routes *t, struct instance *i, uint64_t now_ns)
{
	struct app *app = i->app;
	if (i->state != INSTANCE_ENDING)
		detach(t, i, NULL, now_ns);
	app->pinned = true;
	app->hold_until_ns = 0;
	forget_instance(t, i);
	grow_app(t, app, now_ns);
	app->pinned = false;
	settle_app(t, app);
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
		detach(t, i, "not announced by vmmd any more", now_ns);
		forget_instance(t, i); /* no ROUTING_GONE will come */
	}
	for (app = TAILQ_FIRST(&t->apps); app; app = next_app) {
		next_app = TAILQ_NEXT(app, all);
		if (app->generation != t->generation && !app->gone)
			remove_app(t, app);
		else if (!app->gone)
			grow_app(t, app, now_ns);
	}
}

void routes_lost(struct routes *t)
{
	struct instance *i, *next;
	t->connected = false;
	while (!TAILQ_EMPTY(&t->needs)) {
		struct route *r = TAILQ_FIRST(&t->needs)->route;
		drop_need(t, TAILQ_FIRST(&t->needs));
		settle(t, r);
	}
	for (i = TAILQ_FIRST(&t->instances); i; i = next) {
		next = TAILQ_NEXT(i, all);
		if (i->state == INSTANCE_ENDING)
			forget_instance(t, i);
	}
}

/* --- once a second ------------------------------------------------------------------------------------------- */

static void sweep_instance(struct routes *t, struct instance *i, uint64_t now_ns)
{
	if (i->state == INSTANCE_ENDING && (!t->connected || now_ns - i->since_ns >= FORGET_NS)) {
		forget_instance(t, i);
		return;
	}
	if (i->state != INSTANCE_IDLE || !t->connected)
		return;
	const char *reason = used_up(i, now_ns);
	if (!reason && i->app->idle_s && now_ns - i->since_ns >= i->app->idle_s * 1000000000ull)
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
			grow_app(t, app, now_ns);
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
		detach(t, i, NULL, 0);
		forget_instance(t, i);
	}
	while (!TAILQ_EMPTY(&t->apps))
		remove_app(t, TAILQ_FIRST(&t->apps));
	table_free(&t->by_app);
	table_free(&t->by_key);
	table_free(&t->by_uuid);
	table_free(&t->by_need);
}
