/* SPDX-License-Identifier: MIT
 *
 * How an instance starts: from the snapshot or by booting the image anew, in a shell or in a new process, with a tap or
 * without one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"

#define BOUND_MS 5000
#define TAP_MS 10000  /* making one takes a millisecond; ppce-net may be busy removing hundreds */
#define SLACK_MS 3000 /* a tender keeps the deadline of a boot itself; this is for one that does not */

static bool has_tap(const struct app *app)
{
	return app->r.transport == TRANSPORT_TAP;
}

static struct instance *prepare(struct vmmd *v, struct app *app, const struct instance_wish *wish)
{
	struct instance *i = calloc(1, sizeof *i);
	if (!i || (has_tap(app) && !(i->net = calloc(1, sizeof *i->net)))) {
		free(i);
		return NULL;
	}
	i->app = app;
	i->held = -1;
	i->slot = TAINT_NONE;
	i->external = app->image->r.kind != IMAGE_PPCE;
	i->pool = wish->pool;
	i->asked = (struct route_question){ .id = wish->id, .generation = v->route.generation };
	i->started = wish->started;
	i->started_ctx = wish->started_ctx;
	i->started_ns = clock_ns();
	uuid_new(i->uuid);
	memcpy(i->digest, app->image->r.digest, sizeof i->digest);
	snprintf(i->label, sizeof i->label, "%s", wish->label);
	snprintf(i->owner, sizeof i->owner, "%s", wish->owner);
	return i;
}

/* --- the tender and its order ------------------------------------------------------------------------------------- */

/* A shell, or a new process: an order to bind waits in its socket until the VM is there. */
static int take_tender(struct vmmd *v, struct instance *i, struct err *err)
{
	i->tender = i->app->r.no_shells ? NULL : shells_take(v);
	i->from_shell = i->tender != NULL;
	if (i->from_shell) {
		tender_give(i->tender, &instance_owner, i);
		return 0;
	}
	i->tender = tender_spawn(v, &instance_owner, i, err);
	if (!i->tender)
		return -1;
	i->spawn_us = i->tender->spawn_us;
	return 0;
}

struct parts { /* what a tender is given besides the image; -1: not this one */
	int channel, store, memory;
	const struct network_tap *tap; /* or NULL */
};

static uint32_t reset_mode(const struct app *app)
{
	if (app->r.lifetime != LIFETIME_REQUEST)
		return CONTROL_RESET_NONE;
	return app->r.discard ? CONTROL_RESET_DISCARD : CONTROL_RESET_PRISTINE;
}

static int order(struct vmmd *v, struct instance *i, const struct parts *p, struct err *err)
{
	const struct app *app = i->app;
	unsigned boot_ms = v->config.vmmd.boot_ms;
	struct control_message m = { .type = app->r.boot ? CONTROL_START : CONTROL_BIND,
				     .reset = reset_mode(app),
				     .deadline_ms = app->r.boot ? boot_ms : 0,
				     .has_store = p->store >= 0,
				     .has_net = p->tap != NULL };
	const int all[] = { app->r.boot ? app->image->file : app->image->snapshot, p->channel, p->store,
			    p->tap ? p->tap->tap : -1, p->memory };
	int fds[SOCK_FDS_MAX];
	size_t n = 0;

	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		if (all[k] >= 0)
			fds[n++] = all[k];
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	if (p->tap)
		network_describe(v, p->tap, app->r.port, i->net->sinks, &m.net);
	tender_deadline(i->tender, app->r.boot ? boot_ms + SLACK_MS : BOUND_MS, "binding the instance");
	return tender_send(i->tender, &m, fds, n, err);
}

/* A shell may have died a moment ago, which shows when it takes no order: then the next one. */
static int take_and_order(struct vmmd *v, struct instance *i, const struct parts *p, struct err *err)
{
	for (;;) {
		if (!i->tender && take_tender(v, i, err) < 0)
			return -1;
		if (order(v, i, p, err) == 0)
			return 0;
		tender_give(i->tender, &tender_nobody, NULL);
		i->tender = NULL;
		if (!i->from_shell)
			return -1;
	}
}

static void count(struct vmmd *v, const struct instance *i)
{
	if (i->from_shell)
		v->metrics.starts_shell++;
	else
		v->metrics.starts_cold++;
	if (i->app->r.boot)
		v->metrics.starts_boot++;
	else
		v->metrics.starts_restore++;
}

/* With a socket to the store where the image lists queries, and memory of its own where it boots. */
static int hand_over(struct vmmd *v, struct instance *i, struct parts *p, struct err *err)
{
	const char *queries = i->app->image->r.queries;

	if (*queries && (p->store = attach_instance(v, i, queries, err)) < 0)
		return -1;
	if (i->app->r.boot && (p->memory = memfd_create("ppce-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0)
		return err_errno(err, ERR_INTERNAL, "memfd");
	return take_and_order(v, i, p, err);
}

void instance_announce(struct vmmd *v, struct instance *i, int channel)
{
	char address[40] = "";
	if (i->net)
		snprintf(address, sizeof address, ", on %s%s", i->net->name, i->net->from_pool ? " from the pool" : "");
	i->state = INSTANCE_BINDING;
	i->announced = true;
	count(v, i);
	route_instance(v, i, channel);
	event_add(&v->events, "instance-started", i->app->r.name, i->uuid, "%s%s%s, %s%s", i->label,
		  *i->owner ? ", for " : "", i->owner, i->from_shell ? "from a shell" : "with nothing made ahead",
		  address);
}

/* Everything that it needs is there: tells the tender, then the proxy. The tap's descriptor stays the caller's. */
static int begin(struct vmmd *v, struct instance *i, const struct network_tap *tap, struct err *err)
{
	struct parts p = { .store = -1, .memory = -1, .tap = tap };
	int pair[2];

	if (instance_make_channel(pair, err) < 0)
		return -1;
	p.channel = pair[1];
	int rc = hand_over(v, i, &p, err);
	sock_close(&pair[1]);
	sock_close(&p.store);
	sock_close(&p.memory);
	if (rc == 0)
		instance_announce(v, i, pair[0]);
	else
		sock_close(&pair[0]);
	return rc;
}

/* --- with a tap ---------------------------------------------------------------------------------------------------- */

/* Nobody is kept waiting until the process is gone. */
void instance_give_up(struct vmmd *v, struct instance *i, const struct err *err)
{
	instance_failed(v, i, err);
	if (i->tender) {
		instance_stop(i, "%s", err->text);
		return;
	}
	i->app->nliving--;
	pools_lost(v, i, err->text);
	instance_forget(v, i);
}

static void on_tap(struct instance *i, const struct network_tap *tap, const struct err *refused)
{
	struct vmmd *v = i->tender->v;
	int fd = tap ? tap->tap : -1;
	struct err err;

	if (i->state == INSTANCE_WAITING) { /* else it was stopped, and its process is not reaped yet */
		if (!tap)
			instance_give_up(v, i, refused);
		else if (begin(v, i, tap, &err) < 0)
			instance_give_up(v, i, &err);
		else
			histogram_add(&v->metrics.need, (clock_ns() - i->started_ns) / 1000);
	}
	sock_close(&fd);
}

/* The tender is made while ppce-net looks for a tap. */
static int wait_for_tap(struct vmmd *v, struct instance *i, struct err *err)
{
	const struct app *app = i->app;
	struct network_wish wish = { .fresh = app->r.no_taps };

	if (!app->image->r.network)
		return err_set(err, ERR_UNAVAILABLE, "app %s needs a network, which its image cannot use any more",
			       app->r.name);
	if (network_grant(v, i, app->r.sinks, err) < 0)
		return -1;
	memcpy(wish.sinks, i->net->sinks, sizeof wish.sinks);
	if (network_take(v, i, &wish, on_tap, err) < 0 || take_tender(v, i, err) < 0)
		return -1;
	tender_deadline(i->tender, TAP_MS, "getting a tap");
	return 0;
}

/* --- the start ----------------------------------------------------------------------------------------------------- */

static int start_kind(struct vmmd *v, struct instance *i, struct err *err)
{
	if (i->external)
		return foreign_start(v, i, err);
	return has_tap(i->app) ? wait_for_tap(v, i, err) : begin(v, i, NULL, err);
}

struct instance *instance_start(struct vmmd *v, struct app *app, const struct instance_wish *wish, struct err *err)
{
	struct instance *i = prepare(v, app, wish);
	if (!i) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	instance_insert(v, i);
	if (start_kind(v, i, err) == 0)
		return i;
	app->nliving--;
	instance_forget(v, i);
	return NULL;
}
