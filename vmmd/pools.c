/* SPDX-License-Identifier: MIT */
#include "vmmd/pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "vmmd/state.h"
#include "vmmd/vmmd.h"

#define STARTING_MAX 4	       /* at a time, over all pools: requests come first */
#define REFILL_MS 5	       /* after one was used up: let its request finish first */
#define FULL_MS 1000	       /* while there is no room for more instances */
#define EARLY_NS 1000000000ull /* ended before that and without a request: it died at once */
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 30000u
#define MS_NS 1000000ull

static void fill(uv_timer_t *timer);

static unsigned backoff_ms(unsigned failures)
{
	unsigned ms = BACKOFF_MIN_MS;
	for (unsigned i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void try_after(struct pool *p, unsigned ms)
{
	p->retry_ns = clock_ns() + ms * MS_NS;
}

static bool wants_one(const struct pool *p)
{
	return p->alive < p->r.warm && !p->starting && !p->waiting;
}

/* Has fill() called when the first pool that lacks an instance may try. */
static void plan(struct vmmd *v)
{
	struct pools *ps = &v->pools;
	const struct pool *p;
	uint64_t first = UINT64_MAX, now = clock_ns();

	if (v->ending || ps->starting >= STARTING_MAX)
		return;
	TAILQ_FOREACH (p, &ps->list, link)
		if (wants_one(p) && p->retry_ns < first)
			first = p->retry_ns;
	if (first == UINT64_MAX)
		uv_timer_stop(&ps->timer);
	else
		uv_timer_start(&ps->timer, fill, first > now ? (first - now + MS_NS - 1) / MS_NS : 0, 0);
}

static void failed(struct vmmd *v, struct pool *p, const char *reason)
{
	p->failures++;
	v->metrics.warm_failures++;
	snprintf(p->reason, sizeof p->reason, "%s", reason);
	try_after(p, backoff_ms(p->failures));
	log_warn("an instance of app %s at %s%s%s could not be made ahead (%u in a row): %s", p->r.app, p->r.label,
		 *p->r.owner ? " for " : "", p->r.owner, p->failures, reason);
}

/* --- making one --------------------------------------------------------------------------------------------------- */

/* `ctx` is compared, never followed: pools may have come and gone since. */
static void on_image(struct vmmd *v, void *ctx, const struct err *err)
{
	struct pool *p;
	TAILQ_FOREACH (p, &v->pools.list, link) {
		if (!p->waiting || p->app->image != ctx)
			continue;
		p->waiting = false;
		if (err && !v->ending)
			failed(v, p, err->text);
	}
	plan(v);
}

static bool image_ready(struct vmmd *v, struct pool *p)
{
	struct image *image = p->app->image;
	struct err err;

	if (image->state == IMAGE_READY)
		return true;
	p->waiting = true;
	if (image_wait(v, image, on_image, image, &err) < 0) {
		p->waiting = false;
		failed(v, p, err.text);
	}
	return false;
}

static void started(void *ctx, struct instance *i, const struct err *err)
{
	struct vmmd *v = ctx;
	struct pool *p = i->pool;
	if (err || !p) /* pools_lost() knows of it, or nobody wants it any more */
		return;
	p->starting = NULL;
	v->pools.starting--;
	plan(v);
}

static void make_one(struct vmmd *v, struct pool *p)
{
	struct err err;

	if (instance_check(v, p->app, p->r.label, p->r.owner, &err) < 0) {
		if (err.kind != ERR_FULL) {
			failed(v, p, err.text);
			return;
		}
		snprintf(p->reason, sizeof p->reason, "%s", err.text);
		try_after(p, FULL_MS);
		return;
	}
	const struct instance_wish wish = {
		.label = p->r.label, .owner = p->r.owner, .pool = p, .started = started, .started_ctx = v
	};
	struct instance *i = instance_start(v, p->app, &wish, &err);
	if (!i) {
		failed(v, p, err.text);
		return;
	}
	p->alive++;
	p->starting = i;
	v->pools.starting++;
}

static void fill(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	uint64_t now = clock_ns();
	struct pool *p;

	TAILQ_FOREACH (p, &v->pools.list, link) {
		if (v->ending || v->pools.starting >= STARTING_MAX)
			return;
		if (wants_one(p) && p->retry_ns <= now && image_ready(v, p))
			make_one(v, p);
	}
	plan(v);
}

/* --- losing one --------------------------------------------------------------------------------------------------- */

static void take_out(struct vmmd *v, struct instance *i)
{
	struct pool *p = i->pool;
	i->pool = NULL;
	p->alive--;
	if (p->starting != i)
		return;
	p->starting = NULL;
	v->pools.starting--;
}

/* Did it die at once, so that another would too? One that was stopped before anybody used it is taken for such a one. */
static bool died_at_once(const struct instance *i, bool was_starting)
{
	/* Only the proxy knows of a unikernel made elsewhere whether it was used: one that was started was. */
	bool used = i->external ? !was_starting : i->tender && i->tender->stats->last_used_ns != 0;
	if (was_starting && !used)
		return true;
	return clock_ns() - i->started_ns < EARLY_NS && (!used || i->tender->failed);
}

void pools_lost(struct vmmd *v, struct instance *i, const char *reason)
{
	struct pool *p = i->pool;
	if (!p)
		return;
	bool was_starting = p->starting == i;
	take_out(v, i);
	if (died_at_once(i, was_starting)) {
		failed(v, p, reason);
	} else {
		p->failures = 0;
		try_after(p, REFILL_MS);
	}
	plan(v);
}

static struct instance *least_used(const struct pool *p)
{
	struct instance *i, *least = NULL;
	LIST_FOREACH (i, &p->app->instances, app_link)
		if (i->pool == p && (!least || i->tender->stats->last_used_ns < least->tender->stats->last_used_ns))
			least = i;
	return least;
}

static void shrink(struct vmmd *v, struct pool *p, unsigned to)
{
	struct instance *i;
	while (p->alive > to && (i = least_used(p))) {
		take_out(v, i);
		instance_stop(i, "the pool was made smaller");
	}
}

/* --- the entries -------------------------------------------------------------------------------------------------- */

static struct pool *find(struct vmmd *v, const struct pool_record *r)
{
	struct pool *p;
	TAILQ_FOREACH (p, &v->pools.list, link)
		if (strcmp(p->r.app, r->app) == 0 && strcmp(p->r.label, r->label) == 0 &&
		    strcmp(p->r.owner, r->owner) == 0)
			return p;
	return NULL;
}

static struct pool *insert(struct vmmd *v, const struct pool_record *r, struct app *app, struct err *err)
{
	struct pool *p = calloc(1, sizeof *p);
	if (!p) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	p->r = *r;
	p->app = app;
	TAILQ_INSERT_TAIL(&v->pools.list, p, link);
	v->pools.count++;
	return p;
}

/* Its instances are ended, or no longer kept alive, by the caller. */
static void forget(struct vmmd *v, struct pool *p)
{
	TAILQ_REMOVE(&v->pools.list, p, link);
	v->pools.count--;
	free(p);
}

static int remove_entry(struct vmmd *v, struct pool *p, struct err *err)
{
	if (state_delete_pool(v->state, &p->r, err) < 0)
		return -1;
	shrink(v, p, 0);
	forget(v, p);
	plan(v);
	return 0;
}

/* What all keys of an app want together must fit, or its pools would take each other's places for ever. */
static int check_sum(struct vmmd *v, const struct app *app, const struct pool *changed, uint32_t warm, struct err *err)
{
	const struct pool *p;
	unsigned others = 0;
	TAILQ_FOREACH (p, &v->pools.list, link)
		if (p->app == app && p != changed)
			others += p->r.warm;
	if (warm > app->r.max_instances)
		return err_set(err, ERR_INVALID, "warm: %u is more than the max_instances of app %s, which is %u", warm,
			       app->r.name, app->r.max_instances);
	if (others + warm > app->r.max_instances)
		return err_set(err, ERR_CONFLICT,
			       "warm: %u, and %u for other labels and owners, are more than the max_instances of app "
			       "%s, which is %u",
			       warm, others, app->r.name, app->r.max_instances);
	return 0;
}

int pools_set(struct vmmd *v, const struct pool_record *r, struct err *err)
{
	struct app *app = app_find(v, r->app);
	struct pool *p = find(v, r);

	if (!app)
		return err_set(err, ERR_NOT_FOUND, "there is no app of this name: see `ppce app ls`");
	if (p && !r->warm)
		return remove_entry(v, p, err);
	if (instance_check_key(v, app, r->label, r->owner, err) < 0 || check_sum(v, app, p, r->warm, err) < 0)
		return -1;
	if (!r->warm)
		return 0;
	if (!p && v->pools.count >= POOLS_MAX)
		return err_set(err, ERR_FULL, "there are %d entries already, which is the limit", POOLS_MAX);
	if (state_put_pool(v->state, r, err) < 0)
		return -1;
	if (!p && !(p = insert(v, r, app, err))) {
		state_delete_pool(v->state, r, NULL);
		return -1;
	}
	p->r.warm = r->warm;
	p->failures = 0; /* somebody looks after it: try at once */
	p->retry_ns = 0;
	shrink(v, p, r->warm);
	plan(v);
	return 0;
}

void pools_app_gone(struct vmmd *v, const struct app *app)
{
	struct pool *p, *next;
	struct instance *i;

	LIST_FOREACH (i, &app->instances, app_link)
		if (i->pool)
			take_out(v, i);
	for (p = TAILQ_FIRST(&v->pools.list); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->app == app)
			forget(v, p);
	}
	plan(v);
}

void pools_total(const struct vmmd *v, unsigned *ready, unsigned *want)
{
	const struct pool *p;
	*ready = *want = 0;
	TAILQ_FOREACH (p, &v->pools.list, link) {
		*ready += p->alive - (p->starting ? 1 : 0);
		*want += p->r.warm;
	}
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

static int load_one(void *ctx, const struct pool_record *r, struct err *err)
{
	struct vmmd *v = ctx;
	struct app *app = app_find(v, r->app);
	if (!app)
		return err_set(err, ERR_INTERNAL, "the database: a pool is of app %s, which is not there", r->app);
	if (v->pools.count >= POOLS_MAX)
		return err_set(err, ERR_INTERNAL, "the database: more than %d pools", POOLS_MAX);
	return insert(v, r, app, err) ? 0 : -1;
}

int pools_load(struct vmmd *v, struct err *err)
{
	return state_pools(v->state, load_one, v, err);
}

void pools_start(struct vmmd *v)
{
	v->pools.timer.data = v;
	uv_timer_init(&v->loop, &v->pools.timer);
	plan(v);
}

void pools_end(struct vmmd *v)
{
	struct pool *p;
	struct instance *i;

	uv_close((uv_handle_t *)&v->pools.timer, NULL);
	INSTANCE_FOREACH (v, i)
		if (i->pool)
			take_out(v, i);
	while ((p = TAILQ_FIRST(&v->pools.list)))
		forget(v, p);
}
