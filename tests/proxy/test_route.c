/* SPDX-License-Identifier: MIT
 *
 * Routing: exact keys, round robin, the queue, growth, making room, what a lost vmmd does. The test plays vmmd: it sees
 * every question and stop, and answers as it likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "proxy/route.h"

#define MS 1000000ull

struct question {
	uint64_t id;
	char app[PPCE_NAME_SIZE], label[PPCE_LABEL_SIZE], owner[PPCE_USER_SIZE];
};

struct world {
	struct routes routes;
	bool deaf; /* vmmd cannot be asked */
	struct question asked[64];
	unsigned nasked, nstopped, nfreed;
	struct instance *last_stopped;
	uint64_t now;
};

struct client {
	struct waiter waiter; /* first */
	struct instance *got;
	enum err_kind failed;
	const char *reason;
	bool unwilling; /* its session ended while it waited */
};

static bool on_need(void *ctx, const struct route *route, uint64_t id)
{
	struct world *w = ctx;
	if (w->deaf)
		return false;
	assert_in_range(w->nasked, 0, 63);
	struct question *q = &w->asked[w->nasked++];
	q->id = id;
	strcpy(q->app, route->app->name);
	strcpy(q->label, route->label);
	strcpy(q->owner, route->owner);
	return true;
}

static void on_stop(void *ctx, struct instance *i, const char *reason)
{
	struct world *w = ctx;
	assert_non_null(reason);
	assert_int_equal(i->state, INSTANCE_ENDING);
	w->nstopped++;
	w->last_stopped = i;
}

static void on_free(void *ctx, struct instance *i)
{
	struct world *w = ctx;
	w->nfreed++;
	free(i);
}

static const struct routes_ops ops = { on_need, on_stop, on_free };

static bool on_granted(struct waiter *waiter, struct instance *i)
{
	struct client *c = (struct client *)waiter;
	assert_null(c->got);
	assert_int_equal(c->failed, ERR_NONE);
	if (c->unwilling)
		return false;
	c->got = i;
	return true;
}

static void on_failed(struct waiter *waiter, enum err_kind kind, const char *reason)
{
	struct client *c = (struct client *)waiter;
	assert_null(c->got);
	c->failed = kind;
	c->reason = reason;
}

static void add_app(struct world *w, const char *name, enum app_lifetime lifetime, uint32_t max)
{
	struct routing_message m = { .type = ROUTING_APP,
				     .lifetime = lifetime,
				     .max_instances = max,
				     .idle_s = 10,
				     .max_age_s = 100,
				     .max_requests = 3,
				     .deadline_ms = 1000,
				     .request_bytes = 4096,
				     .response_bytes = 4096 };
	strcpy(m.app, name);
	assert_int_equal(routes_app_update(&w->routes, &m), 0);
}

static struct instance *add_instance(struct world *w, const char *app, const char *label, const char *owner,
				     uint64_t need)
{
	static unsigned number;
	struct instance *i = calloc(1, sizeof *i);
	snprintf(i->uuid, sizeof i->uuid, "%08x-0000-4000-8000-000000000000", ++number);
	strcpy(i->label, label);
	strcpy(i->owner, owner);
	i->born_ns = w->now;
	if (routes_add(&w->routes, i, app, need, w->now) == 0)
		return i;
	free(i);
	return NULL;
}

/* The test's request: true if an instance was there at once. */
static bool request(struct world *w, struct client *c, const char *app, const char *label, const char *owner)
{
	enum err_kind kind;
	*c = (struct client){ .waiter = { .granted = on_granted, .failed = on_failed } };
	c->got = route_acquire(&w->routes, routes_app(&w->routes, app), label, owner, &c->waiter, w->now, &kind);
	c->failed = kind;
	return c->got;
}

static void answer(struct world *w, unsigned question)
{
	const struct question *q = &w->asked[question];
	assert_non_null(add_instance(w, q->app, q->label, q->owner, q->id));
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->now = 1000000 * MS;
	assert_int_equal(routes_init(&w->routes, &ops, w, 4, 500), 0);
	routes_resync(&w->routes);
	routes_synced(&w->routes, w->now);
	add_app(w, "hello", LIFETIME_REQUEST, 2);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	routes_free(&w->routes);
	free(w);
	return 0;
}

static void test_exact_key(void **state)
{
	struct world *w = *state;
	struct client c, other;
	add_app(w, "tax", LIFETIME_USER, 8);
	struct instance *i = add_instance(w, "tax", "level=S", "ann", 0);
	assert_true(request(w, &c, "tax", "level=S", "ann"));
	assert_ptr_equal(c.got, i);
	route_release(&w->routes, i, w->now);
	assert_false(request(w, &other, "tax", "level=S", "bob"));
	assert_false(request(w, &c, "tax", "level=C", "ann"));
	assert_int_equal(w->nasked, 2);
	assert_string_equal(w->asked[0].owner, "bob");
	assert_string_equal(w->asked[1].label, "level=C");
	route_cancel(&w->routes, &other.waiter);
	route_cancel(&w->routes, &c.waiter);
}

/* A key must not be confused with one whose parts, put together, read the same. */
static void test_key_parts(void **state)
{
	struct world *w = *state;
	struct client c;
	add_app(w, "tax", LIFETIME_USER, 8);
	add_instance(w, "tax", "level=S", "ann", 0);
	assert_false(request(w, &c, "tax", "level=San", "n"));
	route_cancel(&w->routes, &c.waiter);
	assert_false(request(w, &c, "tax", "level=", "Sann"));
	route_cancel(&w->routes, &c.waiter);
}

static void test_round_robin(void **state)
{
	struct world *w = *state;
	struct client a, b, c, d;
	struct instance *one = add_instance(w, "hello", "L", "", 0), *two = add_instance(w, "hello", "L", "", 0);
	assert_true(request(w, &a, "hello", "L", ""));
	assert_true(request(w, &b, "hello", "L", ""));
	assert_ptr_equal(a.got, one);
	assert_ptr_equal(b.got, two);
	route_release(&w->routes, two, w->now);
	route_release(&w->routes, one, w->now);
	assert_true(request(w, &c, "hello", "L", ""));
	assert_true(request(w, &d, "hello", "L", ""));
	assert_ptr_equal(c.got, two);
	assert_ptr_equal(d.got, one);
	assert_int_equal(w->nasked, 0);
}

/* A burst asks once for each waiting request and never past the maximum. */
static void test_growth_is_bounded(void **state)
{
	struct world *w = *state;
	struct client c[5];
	for (int i = 0; i < 5; i++)
		assert_false(request(w, &c[i], "hello", "L", ""));
	assert_int_equal(w->nasked, 2);
	answer(w, 0);
	assert_non_null(c[0].got);
	assert_int_equal(w->nasked, 2);
	answer(w, 1);
	assert_non_null(c[1].got);
	assert_null(c[2].got);
	route_release(&w->routes, c[1].got, w->now);
	assert_ptr_equal(c[2].got, c[1].got);
	for (int i = 3; i < 5; i++)
		route_cancel(&w->routes, &c[i].waiter);
}

static void test_first_come_first_served(void **state)
{
	struct world *w = *state;
	struct client c[4];
	for (int i = 0; i < 4; i++)
		request(w, &c[i], "hello", "L", "");
	route_cancel(&w->routes, &c[1].waiter);
	answer(w, 0);
	answer(w, 1);
	assert_non_null(c[0].got);
	assert_null(c[1].got);
	assert_non_null(c[2].got);
	assert_null(c[3].got);
	route_release(&w->routes, c[2].got, w->now);
	assert_non_null(c[3].got);
}

static void test_unwilling_waiters_are_passed_over(void **state)
{
	struct world *w = *state;
	struct client c[4];
	for (int i = 0; i < 4; i++)
		request(w, &c[i], "hello", "L", "");
	c[0].unwilling = c[1].unwilling = c[3].unwilling = true;
	answer(w, 0);
	assert_null(c[0].got);
	assert_null(c[1].got);
	assert_non_null(c[2].got);
	route_release(&w->routes, c[2].got, w->now);
	assert_int_equal(c[2].got->state, INSTANCE_IDLE);
}

static void test_queue_is_bounded(void **state)
{
	struct world *w = *state;
	struct client c[7];
	for (int i = 0; i < 6; i++) {
		request(w, &c[i], "hello", "L", "");
		assert_int_equal(c[i].failed, ERR_NONE);
	}
	request(w, &c[6], "hello", "L", "");
	assert_int_equal(c[6].failed, ERR_FULL);
	for (int i = 0; i < 6; i++)
		route_cancel(&w->routes, &c[i].waiter);
}

static void test_waiting_ends(void **state)
{
	struct world *w = *state;
	struct client early, late;
	request(w, &early, "hello", "L", "");
	w->now += 300 * MS;
	request(w, &late, "hello", "L", "");
	w->now += 250 * MS;
	routes_expire(&w->routes, w->now);
	assert_int_equal(early.failed, ERR_UNAVAILABLE);
	assert_string_equal(early.reason, "queue-timeout");
	assert_int_equal(late.failed, ERR_NONE);
	answer(w, 0);
	assert_non_null(late.got);
}

/* All of the app's places belong to other keys: the one that has been idle longest goes, never a busy one. */
static void test_room_for_another_key(void **state)
{
	struct world *w = *state;
	struct client a, b;
	struct instance *one = add_instance(w, "hello", "L1", "", 0), *two = add_instance(w, "hello", "L2", "", 0);
	request(w, &a, "hello", "L1", "");
	route_release(&w->routes, one, w->now += MS); /* now L2's has been idle longer */
	assert_false(request(w, &b, "hello", "L3", ""));
	assert_ptr_equal(w->last_stopped, two);
	assert_int_equal(w->nasked, 1);
	assert_string_equal(w->asked[0].label, "L3");
	/* vmmd still counts the stopped one: refused, and asked again when that is gone. */
	routes_refused(&w->routes, w->asked[0].id, ERR_FULL, w->now);
	assert_int_equal(b.failed, ERR_NONE);
	routes_gone(&w->routes, two, w->now);
	assert_int_equal(w->nasked, 2);
	answer(w, 1);
	assert_non_null(b.got);
	assert_true(b.got->asked);
}

static void test_busy_others_are_waited_for(void **state)
{
	struct world *w = *state;
	struct client a, b, c, d;
	struct instance *one = add_instance(w, "hello", "L1", "", 0);
	add_instance(w, "hello", "L1", "", 0);
	request(w, &a, "hello", "L1", "");
	request(w, &b, "hello", "L1", "");
	assert_false(request(w, &c, "hello", "L2", ""));
	assert_int_equal(w->nstopped, 0);
	assert_int_equal(w->nasked, 0);
	w->now += MS;
	assert_false(request(w, &d, "hello", "L1", ""));
	/* c has waited longer than d, so the next free instance makes room for c's key. */
	route_release(&w->routes, one, w->now);
	assert_ptr_equal(w->last_stopped, one);
	assert_int_equal(w->nasked, 1);
	assert_string_equal(w->asked[0].label, "L2");
	route_release(&w->routes, b.got, w->now);
	assert_ptr_equal(d.got, b.got);
	answer(w, 0);
	assert_non_null(c.got);
}

static void test_refusals(void **state)
{
	struct world *w = *state;
	struct client a, b;
	request(w, &a, "hello", "L", "");
	routes_refused(&w->routes, w->asked[0].id, ERR_DENIED, w->now);
	assert_int_equal(a.failed, ERR_DENIED);
	request(w, &a, "hello", "L", "");
	routes_refused(&w->routes, w->asked[1].id, ERR_INTERNAL, w->now);
	assert_int_equal(a.failed, ERR_UNAVAILABLE);
	/* With an instance at work, a refusal of another one only means waiting for it, without asking in a loop. */
	struct instance *i = add_instance(w, "hello", "L", "", 0);
	request(w, &a, "hello", "L", "");
	request(w, &b, "hello", "L", "");
	assert_int_equal(w->nasked, 3);
	routes_refused(&w->routes, w->asked[2].id, ERR_FULL, w->now);
	assert_int_equal(b.failed, ERR_NONE);
	assert_int_equal(w->nasked, 3);
	routes_sweep(&w->routes, w->now + MS);
	assert_int_equal(w->nasked, 3);
	routes_sweep(&w->routes, w->now + 300 * MS);
	assert_int_equal(w->nasked, 4);
	route_release(&w->routes, i, w->now);
	assert_ptr_equal(b.got, i);
	routes_refused(&w->routes, 12345, ERR_FULL, w->now); /* nobody asked that */
}

static void test_used_up(void **state)
{
	struct world *w = *state;
	struct client c;
	struct instance *i = add_instance(w, "hello", "L", "", 0);
	for (int n = 0; n < 3; n++) {
		assert_true(request(w, &c, "hello", "L", ""));
		route_release(&w->routes, i, w->now);
	}
	assert_ptr_equal(w->last_stopped, i); /* max_requests: 3 */
	assert_false(request(w, &c, "hello", "L", ""));
	answer(w, 0);
	i = c.got;
	w->now += 101000 * MS; /* max_age_s: 100 */
	route_release(&w->routes, i, w->now);
	assert_int_equal(w->nstopped, 2);
}

/* An instance that has read serves its new label only; who waits for the old one gets another. */
static void test_refiled(void **state)
{
	struct world *w = *state;
	struct client c, d;
	struct label high = { .axis = { 1 } };
	add_app(w, "tax", LIFETIME_USER, 1);
	struct instance *i = add_instance(w, "tax", "level=L", "ann", 0);
	assert_true(request(w, &c, "tax", "level=L", "ann"));
	assert_false(request(w, &d, "tax", "level=L", "ann"));
	assert_int_equal(route_refile(&w->routes, i, "level=S", &high), 0);
	route_release(&w->routes, i, w->now);
	assert_ptr_equal(w->last_stopped, i); /* to make room for the one who waits */
	assert_null(d.got);
	routes_gone(&w->routes, i, w->now);
	assert_int_equal(w->nasked, 1);
	answer(w, 0);
	assert_non_null(d.got);
	assert_int_equal(route_refile(&w->routes, d.got, "level=S", &high), 0);
	route_release(&w->routes, d.got, w->now);
	assert_true(request(w, &c, "tax", "level=S", "ann"));
	assert_ptr_equal(c.got, d.got);
}

static void test_idle_and_old(void **state)
{
	struct world *w = *state;
	struct client c;
	struct instance *i = add_instance(w, "hello", "L", "", 0);
	routes_sweep(&w->routes, w->now + 9000 * MS);
	assert_int_equal(w->nstopped, 0);
	assert_true(request(w, &c, "hello", "L", ""));
	routes_sweep(&w->routes, w->now + 20000 * MS); /* a busy one is left alone */
	assert_int_equal(w->nstopped, 0);
	route_release(&w->routes, i, w->now);
	routes_sweep(&w->routes, w->now + 10000 * MS);
	assert_ptr_equal(w->last_stopped, i);
	routes_sweep(&w->routes, w->now + 30000 * MS); /* vmmd never said GONE: forgotten all the same */
	assert_int_equal(w->nfreed, 1);
}

/* What was made ahead is not ended for being idle, and makes room last; age and use end it like any other. */
static void test_made_ahead(void **state)
{
	struct world *w = *state;
	struct client c;
	struct instance *kept = add_instance(w, "hello", "L1", "", 0);
	kept->keep = true; /* set before routes_add() in the proxy */
	kept->app->kept++;
	struct instance *other = add_instance(w, "hello", "L2", "", 0);
	assert_false(request(w, &c, "hello", "L3", "")); /* `kept` has been idle longer */
	assert_ptr_equal(w->last_stopped, other);
	route_cancel(&w->routes, &c.waiter);
	routes_gone(&w->routes, other, w->now);
	routes_sweep(&w->routes, w->now + 20000 * MS);
	assert_int_equal(w->nstopped, 1);
	routes_sweep(&w->routes, w->now + 101000 * MS); /* max_age_s: 100 */
	assert_ptr_equal(w->last_stopped, kept);
}

/* While others of the app could go, one that was made ahead stays with its key when it is free again. */
static void test_made_ahead_stays(void **state)
{
	struct world *w = *state;
	struct client a, b, c;
	struct instance *kept = add_instance(w, "hello", "L1", "", 0);
	kept->keep = true;
	kept->app->kept++;
	struct instance *other = add_instance(w, "hello", "L2", "", 0);
	request(w, &a, "hello", "L1", "");
	request(w, &b, "hello", "L2", "");
	assert_false(request(w, &c, "hello", "L3", ""));
	route_release(&w->routes, kept, w->now);
	assert_int_equal(w->nstopped, 0);
	route_release(&w->routes, other, w->now);
	assert_ptr_equal(w->last_stopped, other);
	route_cancel(&w->routes, &c.waiter);
}

static void test_instance_dies(void **state)
{
	struct world *w = *state;
	struct client a, b, c;
	struct instance *one = add_instance(w, "hello", "L", "", 0);
	add_instance(w, "hello", "L", "", 0);
	request(w, &a, "hello", "L", "");
	request(w, &b, "hello", "L", "");
	request(w, &c, "hello", "L", "");
	assert_int_equal(w->nasked, 0);
	route_end(&w->routes, one, NULL, w->now); /* its place is asked for at once */
	assert_int_equal(w->nstopped, 0);
	assert_int_equal(w->nasked, 1);
	route_end(&w->routes, one, "again", w->now);
	assert_int_equal(w->nstopped, 0);
	routes_gone(&w->routes, one, w->now);
	assert_int_equal(w->nfreed, 1);
	answer(w, 0);
	assert_non_null(c.got);
}

static void test_app_removed(void **state)
{
	struct world *w = *state;
	struct client a, b;
	struct instance *i = add_instance(w, "hello", "L", "", 0);
	request(w, &a, "hello", "L", "");
	request(w, &b, "hello", "L", "");
	routes_app_gone(&w->routes, "hello");
	assert_int_equal(b.failed, ERR_NOT_FOUND);
	assert_null(routes_app(&w->routes, "hello"));
	route_release(&w->routes, i, w->now); /* ends, as nobody may ask for it any more */
	assert_ptr_equal(w->last_stopped, i);
	routes_gone(&w->routes, i, w->now);
	add_app(w, "hello", LIFETIME_CLASS, 1);
	assert_false(request(w, &a, "hello", "L", ""));
	route_cancel(&w->routes, &a.waiter);
}

static void test_unknown_app(void **state)
{
	struct world *w = *state;
	assert_null(add_instance(w, "nobody", "L", "", 0));
	assert_null(routes_app(&w->routes, "nobody"));
}

/* vmmd restarts: who waits goes on waiting, busy instances finish, what is not announced again goes. */
static void test_vmmd_restarts(void **state)
{
	struct world *w = *state;
	struct client a, b, c;
	struct instance *busy = add_instance(w, "hello", "L", "", 0), *idle = add_instance(w, "hello", "L", "", 0);
	request(w, &a, "hello", "L", "");
	assert_ptr_equal(a.got, busy);
	routes_lost(&w->routes);
	w->deaf = true;
	assert_true(request(w, &b, "hello", "L", "")); /* living channels work on */
	route_release(&w->routes, idle, w->now);
	assert_false(request(w, &c, "hello", "L2", ""));
	assert_int_equal(w->nasked, 0);
	assert_int_equal(w->nstopped, 0);
	w->deaf = false;
	routes_resync(&w->routes);
	add_app(w, "hello", LIFETIME_REQUEST, 2);
	routes_synced(&w->routes, w->now);
	assert_ptr_equal(w->last_stopped, idle);
	assert_int_equal(w->nfreed, 1);
	assert_int_equal(w->nasked, 1);
	assert_string_equal(w->asked[0].label, "L2");
	answer(w, 0);
	assert_non_null(c.got);
	route_release(&w->routes, busy, w->now);
	assert_ptr_equal(w->last_stopped, busy);
}

static void test_lost_questions_are_asked_again(void **state)
{
	struct world *w = *state;
	struct client a;
	request(w, &a, "hello", "L", "");
	assert_int_equal(w->nasked, 1);
	routes_lost(&w->routes);
	routes_resync(&w->routes);
	add_app(w, "hello", LIFETIME_REQUEST, 2);
	routes_synced(&w->routes, w->now);
	assert_int_equal(w->nasked, 2);
	routes_refused(&w->routes, w->asked[0].id, ERR_NOT_FOUND, w->now); /* the old one's answer is void */
	assert_int_equal(a.failed, ERR_NONE);
	answer(w, 1);
	assert_non_null(a.got);
}

static void test_app_not_announced_again(void **state)
{
	struct world *w = *state;
	struct client a;
	request(w, &a, "hello", "L", "");
	routes_lost(&w->routes);
	routes_resync(&w->routes);
	routes_synced(&w->routes, w->now);
	assert_int_equal(a.failed, ERR_NOT_FOUND);
	assert_null(routes_app(&w->routes, "hello"));
}

/* A thousand random events: whatever happens, an instance only ever serves its own key, and nobody is forgotten. */
static void test_random_events(void **state)
{
	struct world *w = *state;
	static struct client c[40];
	static const char *const labels[] = { "L1", "L2", "L3" };
	unsigned seed = 4711, active[40] = { 0 };
	const char *label[40];
	for (int n = 0; n < 20000; n++) {
		seed = seed * 1103515245u + 12345u;
		unsigned k = (seed >> 16) % 40;
		w->now += MS;
		if (!active[k]) {
			label[k] = labels[(seed >> 24) % 3];
			request(w, &c[k], "hello", label[k], "");
			active[k] = c[k].failed == ERR_NONE;
		} else if (c[k].got) {
			assert_string_equal(c[k].got->label, label[k]);
			assert_int_equal(c[k].got->state, INSTANCE_BUSY);
			struct instance *i = c[k].got;
			active[k] = 0;
			if (seed & 0x100000)
				route_release(&w->routes, i, w->now);
			else
				route_end(&w->routes, i, "broken", w->now);
		} else if (c[k].failed) {
			active[k] = 0;
		}
		while (w->nasked > 0) {
			struct question q = w->asked[--w->nasked];
			if (seed & 0x200000)
				routes_refused(&w->routes, q.id, ERR_FULL, w->now);
			else
				assert_non_null(add_instance(w, q.app, q.label, q.owner, q.id));
		}
		while (w->last_stopped) {
			struct instance *i = w->last_stopped;
			w->last_stopped = NULL;
			routes_gone(&w->routes, i, w->now);
		}
		routes_expire(&w->routes, w->now);
		assert_in_range(routes_app(&w->routes, "hello")->instances, 0, 2);
	}
	for (int k = 0; k < 40; k++)
		route_cancel(&w->routes, &c[k].waiter);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exact_key),
		TEST(test_key_parts),
		TEST(test_round_robin),
		TEST(test_growth_is_bounded),
		TEST(test_first_come_first_served),
		TEST(test_unwilling_waiters_are_passed_over),
		TEST(test_queue_is_bounded),
		TEST(test_waiting_ends),
		TEST(test_room_for_another_key),
		TEST(test_busy_others_are_waited_for),
		TEST(test_refusals),
		TEST(test_used_up),
		TEST(test_refiled),
		TEST(test_idle_and_old),
		TEST(test_made_ahead),
		TEST(test_made_ahead_stays),
		TEST(test_instance_dies),
		TEST(test_app_removed),
		TEST(test_unknown_app),
		TEST(test_vmmd_restarts),
		TEST(test_lost_questions_are_asked_again),
		TEST(test_app_not_announced_again),
		TEST(test_random_events),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("proxy/route", tests, NULL, NULL);
}
