/* SPDX-License-Identifier: MIT */
#include "vmmd/shells.h"

#include <stdio.h>

#include "lib/log.h"
#include "vmmd/vmmd.h"

#define REFILL_MS 5 /* after a shell was taken: let its request finish first */
#define READY_MS 5000
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 30000u
#define FAILURES_BROKEN 3 /* in a row: the daemon is not ready */

static const struct tender_owner shell_owner;

static void start_one(uv_timer_t *timer);

static unsigned backoff_ms(unsigned failures)
{
	unsigned ms = BACKOFF_MIN_MS;
	for (unsigned i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* Has the next shell made after `ms`, unless there are enough or one is on its way. */
static void refill(struct vmmd *v, unsigned ms)
{
	struct shells *s = &v->shells;
	if (v->ending || s->starting || s->timer_active || s->ready >= s->want)
		return;
	s->timer_active = true;
	uv_timer_start(&s->timer, start_one, ms, 0);
}

static void failed(struct vmmd *v, const char *reason)
{
	struct shells *s = &v->shells;
	s->failures++;
	v->metrics.shell_failures++;
	snprintf(s->reason, sizeof s->reason, "%s", reason);
	log_warn("a shell could not be made (%u in a row): %s", s->failures, reason);
	refill(v, backoff_ms(s->failures));
}

static void start_one(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	struct shells *s = &v->shells;
	struct err err;

	s->timer_active = false;
	if (v->ending || s->starting || s->ready >= s->want)
		return;
	s->starting = tender_spawn(v, &shell_owner, NULL, &err);
	if (s->starting)
		tender_deadline(s->starting, READY_MS, "creating the VM");
	else
		failed(v, err.text);
}

static void on_message(struct tender *t, const struct control_message *m)
{
	struct shells *s = &t->v->shells;
	if (m->type == CONTROL_FAILED) /* its end comes next */
		return;
	if (m->type != CONTROL_SHELL_READY) {
		tender_kill(t, "the tender spoke before it was asked");
		return;
	}
	tender_deadline(t, 0, NULL);
	s->starting = NULL;
	s->failures = 0;
	TAILQ_INSERT_TAIL(&s->list, t, shell_link);
	s->ready++;
	refill(t->v, 0);
}

static void on_ended(struct tender *t)
{
	struct shells *s = &t->v->shells;
	if (t == s->starting) {
		s->starting = NULL;
	} else {
		TAILQ_REMOVE(&s->list, t, shell_link);
		s->ready--;
	}
	failed(t->v, t->reason);
}

static const struct tender_owner shell_owner = { on_message, on_ended };

void shells_init(struct vmmd *v)
{
	TAILQ_INIT(&v->shells.list);
	v->shells.want = v->config.vmmd.shells;
	v->shells.timer.data = v;
	uv_timer_init(&v->loop, &v->shells.timer);
	refill(v, 0);
}

static void drop(struct vmmd *v, struct tender *t)
{
	TAILQ_REMOVE(&v->shells.list, t, shell_link);
	v->shells.ready--;
	tender_give(t, &tender_nobody, NULL);
}

void shells_set(struct vmmd *v, unsigned want)
{
	struct tender *t;
	v->shells.want = want;
	while (v->shells.ready > want && (t = TAILQ_LAST(&v->shells.list, shell_list))) {
		drop(v, t);
		tender_kill(t, "the pool was made smaller");
	}
	refill(v, 0);
}

struct tender *shells_take(struct vmmd *v)
{
	struct tender *t = TAILQ_FIRST(&v->shells.list);
	while (t && t->ending) /* its end is known, and handled by the owner soon */
		t = TAILQ_NEXT(t, shell_link);
	if (t)
		drop(v, t);
	refill(v, REFILL_MS);
	return t;
}

bool shells_working(struct vmmd *v, struct err *why)
{
	if (v->shells.failures < FAILURES_BROKEN)
		return true;
	err_set(why, ERR_UNAVAILABLE, "no instance can be made: %s", v->shells.reason);
	return false;
}

void shells_end(struct vmmd *v)
{
	uv_close((uv_handle_t *)&v->shells.timer, NULL);
}
