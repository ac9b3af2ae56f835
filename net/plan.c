/* SPDX-License-Identifier: MIT */
#include "net/plan.h"

#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "net/net.h"

#define SOON_MS 1
#define MS 1000000ull
#define HELD_WAIT_MS 20 /* until the next try to attach a tap whose descriptor somebody still holds */
#define HELD_TRIES 25
#define REMOVE_WAIT_MS 1000 /* for more to remove with it */
#define REMOVE_AT 16	    /* so many do not wait */
#define ADDRESS_WAIT_MS 1000
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 30000u

static void on_timer(uv_timer_t *timer)
{
	plan_next(timer->data);
}

void plan_start(struct net *n)
{
	uv_timer_init(&n->loop, &n->taps.timer);
	n->taps.timer.data = n;
	plan_next(n);
}

void plan_end(struct net *n)
{
	uv_close((uv_handle_t *)&n->taps.timer, NULL);
}

void plan_soon(struct net *n)
{
	if (!n->ending && !n->maker.busy)
		uv_timer_start(&n->taps.timer, on_timer, SOON_MS, 0);
}

/* Ready taps beyond the wanted number are kept up to here: what is given back is taken again soon, and removing a tap
 * costs more than keeping it. */
static unsigned keep(const struct net *n)
{
	return 2 * n->config.network.taps + 4;
}

static struct tap *first(struct net *n, enum tap_state state)
{
	return TAILQ_FIRST(&n->taps.list[state]);
}

void plan_doom(struct net *n, struct tap *t)
{
	sock_close(&t->fd);
	t->due_ns = clock_ns() + REMOVE_WAIT_MS * MS;
	tap_move(n, t, TAP_DOOMED);
}

/* --- jobs -------------------------------------------------------------------------------------------------------- */

static struct job *job_for(struct net *n, enum job_kind kind, struct tap *t)
{
	struct job *job = &n->maker.job;
	job->kind = kind;
	job->tap = t;
	job->port = (struct port){ .ifindex = t->ifindex, .fd = t->fd, .before = t->address, .reown = t->named };
	memcpy(job->port.name, t->name, sizeof job->port.name);
	return job;
}

static void recycle(struct net *n, struct tap *t, uint32_t address)
{
	struct job *job = job_for(n, JOB_RECYCLE, t);
	job->port.after = address;
	maker_run(n);
}

/* A tap with this address: a new one, or else (not `fresh`) one that lacks an address. */
static int provide(struct net *n, uint32_t address, bool fresh, struct err *err)
{
	struct tap *t = first(n, TAP_BARE);
	if (t && !fresh) {
		recycle(n, t, address);
		return 0;
	}
	t = tap_new(n);
	if (!t) {
		address_return(&n->addresses, address);
		return err_set(err, ERR_FULL, "all %d taps that one bridge has room for are in use", TAPS_MAX);
	}
	job_for(n, JOB_MAKE, t)->port.after = address;
	maker_run(n);
	return 0;
}

/* Will a tap that is given back free its address at once? */
static bool address_to_come(const struct net *n)
{
	const struct taps *ts = &n->taps;
	return n->config.network.reuse_s == 0 && ts->count[TAP_RESTING] + ts->count[TAP_DOOMED] > 0;
}

static bool serve(struct net *n)
{
	while (n->taps.waiting && !n->ending) {
		uint32_t address;
		struct err err;
		if (address_take(&n->addresses, clock_ns(), &address, &err) < 0) {
			if (address_to_come(n))
				return false;
		} else if (provide(n, address, STAILQ_FIRST(&n->taps.questions)->m.fresh, &err) == 0) {
			return true;
		}
		taps_refuse_first(n, &err);
	}
	return false;
}

static bool lend(struct net *n)
{
	struct tap *t = first(n, TAP_LENDING);
	if (!t)
		return false;
	struct job *job = job_for(n, JOB_LEND, t);
	job->uid = t->uid;
	job->gid = t->gid;
	t->fd = -1; /* the worker closes it */
	maker_run(n);
	return true;
}

/* One that was given back: ready again, or to be removed if there are enough. */
static bool refresh(struct net *n)
{
	struct tap *t, *next;
	uint64_t now = clock_ns();

	for (t = first(n, TAP_RESTING); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->due_ns > now)
			continue;
		if (!n->taps.waiting && n->taps.count[TAP_READY] + n->taps.count[TAP_BARE] >= keep(n)) {
			plan_doom(n, t);
			continue;
		}
		uint32_t address = 0;
		address_take(&n->addresses, now, &address, NULL); /* without one it becomes bare */
		recycle(n, t, address);
		return true;
	}
	return false;
}

static bool fill(struct net *n)
{
	uint64_t now = clock_ns();
	uint32_t address;
	struct err err;

	if (n->taps.count[TAP_READY] >= n->config.network.taps || n->taps.retry_ns > now ||
	    address_take(&n->addresses, now, &address, &err) < 0)
		return false;
	return provide(n, address, false, &err) == 0;
}

static bool clear(struct net *n)
{
	struct job *job = &n->maker.job;
	struct tap *t = first(n, TAP_DOOMED);

	if (!t || (n->taps.count[TAP_DOOMED] < REMOVE_AT && t->due_ns > clock_ns() && !address_to_come(n)))
		return false;
	job->kind = JOB_REMOVE;
	job->ndoomed = 0;
	for (; t && job->ndoomed < MAKER_REMOVE_MAX; t = TAILQ_NEXT(t, link)) {
		job->removed[job->ndoomed] = t;
		job->doomed[job->ndoomed++] = (struct link_doomed){ t->ifindex, t->address };
	}
	maker_run(n);
	return true;
}

/* Nothing to do now: when will there be? */
static void sleep_until_due(struct net *n)
{
	uint64_t now = clock_ns(), due = UINT64_MAX;
	struct tap *t;

	TAILQ_FOREACH (t, &n->taps.list[TAP_RESTING], link)
		due = t->due_ns < due ? t->due_ns : due;
	t = first(n, TAP_DOOMED);
	if (t && t->due_ns < due)
		due = t->due_ns;
	if (n->taps.count[TAP_READY] < n->config.network.taps) {
		uint64_t next = n->taps.retry_ns > now ? n->taps.retry_ns : now + ADDRESS_WAIT_MS * MS;
		due = next < due ? next : due;
	}
	if (due == UINT64_MAX)
		uv_timer_stop(&n->taps.timer);
	else
		uv_timer_start(&n->taps.timer, on_timer, due > now ? (due - now) / MS + 1 : 0, 0);
}

void plan_next(struct net *n)
{
	if (n->ending || n->maker.busy)
		return;
	if (serve(n) || lend(n) || refresh(n) || fill(n) || clear(n))
		return;
	if (!n->ending)
		sleep_until_due(n);
}

/* --- results ----------------------------------------------------------------------------------------------------- */

static void make_failed(struct net *n, const struct err *err)
{
	struct taps *ts = &n->taps;
	unsigned ms = BACKOFF_MIN_MS << (ts->failures < 9 ? ts->failures : 9);

	ts->failures++;
	ts->retry_ns = clock_ns() + (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) * MS;
	snprintf(ts->reason, sizeof ts->reason, "%.199s", err->text);
	log_warn("a tap could not be made (%u in a row): %s", ts->failures, err->text);
	if (ts->waiting)
		taps_refuse_first(n, err);
}

static void made(struct net *n, struct job *job)
{
	struct tap *t = job->tap;

	n->metrics.make_us += job->us;
	if (job->rc < 0) {
		address_return(&n->addresses, job->port.after);
		tap_free(n, t);
		make_failed(n, &job->err);
		return;
	}
	n->metrics.made++;
	n->taps.failures = 0;
	t->fd = job->port.fd;
	t->ifindex = job->port.ifindex;
	t->address = job->port.after;
	tap_usable(n, t, true);
}

static void still_held(struct net *n, struct tap *t)
{
	if (++t->tries < HELD_TRIES) {
		t->due_ns = clock_ns() + HELD_WAIT_MS * MS;
		return;
	}
	n->metrics.still_held++;
	log_warn("tap %s was given back, but somebody holds its descriptor: it is removed", t->name);
	plan_doom(n, t);
}

static void recycled(struct net *n, struct job *job)
{
	struct tap *t = job->tap;

	t->fd = job->port.fd;
	if (job->rc < 0) {
		if (job->port.after)
			address_return(&n->addresses, job->port.after);
		if (job->err.kind == ERR_CONFLICT) {
			still_held(n, t);
			return;
		}
		log_warn("tap %s cannot be used again: %s", t->name, job->err.text);
		plan_doom(n, t);
		return;
	}
	n->metrics.recycle_us += job->us;
	n->metrics.recycled++;
	if (t->address)
		address_give(&n->addresses, t->address, clock_ns());
	t->address = job->port.after;
	t->named = false;
	if (t->address)
		tap_usable(n, t, false);
	else
		tap_move(n, t, TAP_BARE);
}

static void removed(struct net *n, struct job *job)
{
	if (job->rc < 0) {
		net_fail(n, "%s", job->err.text);
		return;
	}
	n->metrics.remove_us += job->us;
	for (unsigned i = 0; i < job->ndoomed; i++) {
		if (job->removed[i]->address)
			address_give(&n->addresses, job->removed[i]->address, clock_ns());
		tap_free(n, job->removed[i]);
		n->metrics.removed++;
	}
}

void plan_done(struct net *n, struct job *job)
{
	struct tap *t = job->tap;
	bool lost = job->kind == JOB_RECYCLE || job->kind == JOB_LEND ? t->lost : false;

	switch (job->kind) {
	case JOB_MAKE:
		made(n, job);
		break;
	case JOB_RECYCLE:
		recycled(n, job);
		break;
	case JOB_LEND:
		tap_lent(n, job->tap, job->rc < 0 ? &job->err : NULL);
		break;
	case JOB_REMOVE:
		removed(n, job);
		break;
	}
	if (lost)
		tap_lost(n, t, "it was removed by somebody else");
	plan_next(n);
}
