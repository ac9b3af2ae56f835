/* SPDX-License-Identifier: MIT */
#include "proxy/backend.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/proxy.h"
#include "proxy/request.h"
#include "proxy/vmmd.h"

/* Takes the request off the instance: from here on the instance is done with it. */
static struct request *take_request(struct backend *b)
{
	struct request *r = b->request;
	b->request = NULL;
	return r;
}

/* --- what the channel says ----------------------------------------------------------------------------------- */

static enum err_kind failure_kind(uint32_t code)
{
	switch (code) {
	case FRAME_DEADLINE:
		return ERR_TIMEOUT;
	case FRAME_TOO_LARGE:
		return ERR_TOO_LARGE;
	default:
		return ERR_BAD_GATEWAY;
	}
}

static const char *failure_reason(uint32_t code)
{
	static const char *const names[] = { "instance-crashed", "deadline", "bad-answer", "request-too-large",
					     "tender-failed" };
	return names[code - FRAME_CRASHED];
}

static void on_answer(void *ctx, const struct frame_header *h, const void *payload)
{
	struct backend *b = ctx;
	struct proxy *p = b->proxy;
	struct request *r = take_request(b);
	bool failed = h->type == FRAME_FAILED && h->code != FRAME_TOO_LARGE;
	bool last = h->type == FRAME_RESPONSE && (h->flags & FRAME_FLAG_LAST);
	if (h->type == FRAME_FAILED)
		request_lost(r, failure_kind(h->code), failure_reason(h->code));
	else
		request_answered(r, h, payload);
	if (!(failed || last) || b->channel.state == CHANNEL_CLOSED)
		return;
	channel_close(&b->channel);
	/* It ends by itself. After its one answer vmmd is told all the same, so that its place is free at once; after a
	 * failure not, as the tender's own words about it are on their way. */
	route_end(&p->routes, &b->instance, last ? "has answered its one request" : NULL, clock_ns());
}

int backend_label(const struct backend *b, struct label *out, struct err *err)
{
	const struct instance *i = &b->instance;
	if (i->slot == TAINT_NONE) {
		*out = i->level;
		return 0;
	}
	struct taint_question q = { .slot = i->slot,
				    .uuid = i->uuid,
				    .seq = i->seq,
				    .pristine = i->app->lifetime == LIFETIME_REQUEST,
				    .start = &i->level };
	return taint_label(&b->proxy->taint, b->proxy->policy, &q, out, err);
}

/* What an instance with a memory has read stays in it: it serves requests at its new label from here on. */
static int refile(struct backend *b, struct err *err)
{
	struct instance *i = &b->instance;
	char text[PPCE_LABEL_SIZE];
	struct label now;
	if (i->slot == TAINT_NONE || i->app->lifetime == LIFETIME_REQUEST)
		return 0;
	if (backend_label(b, &now, err) < 0)
		return -1;
	if (label_equal(b->proxy->policy, &now, &i->level))
		return 0;
	if (label_format(b->proxy->policy, &now, text, err) < 0)
		return -1;
	return route_refile(&b->proxy->routes, i, text, &now) < 0 ? err_set(err, ERR_INTERNAL, "out of memory") : 0;
}

/* Done with a request and ready for the next. */
static void release(struct backend *b)
{
	struct err err;
	if (refile(b, &err) < 0)
		backend_stop(b, err.text);
	else
		route_release(&b->proxy->routes, &b->instance, clock_ns());
}

static void adopt_channel(struct backend *b);

static void on_ready(void *ctx, uint32_t reset_us)
{
	struct backend *b = ctx;
	if (reset_us)
		histogram_add(&b->proxy->totals.phase[PHASE_RESET], reset_us * 1000ull);
	if (b->next_fd >= 0)
		adopt_channel(b);
	if (b->channel.state == CHANNEL_IDLE)
		release(b);
}

static void on_lost(void *ctx, enum err_kind kind, const char *why)
{
	struct backend *b = ctx;
	struct request *r = take_request(b);
	log_warn("instance %s: %s", b->instance.uuid, why);
	if (b->next_fd >= 0 && !r && b->instance.state == INSTANCE_IDLE) {
		adopt_channel(b); /* vmmd made a new one for it */
		return;
	}
	if (r)
		request_lost(r, kind, kind == ERR_TIMEOUT ? "deadline" : "instance-lost");
	route_end(&b->proxy->routes, &b->instance, why, clock_ns());
}

static const struct channel_events events = { on_answer, on_ready, on_lost };

/* --- what routing says --------------------------------------------------------------------------------------- */

static void on_stop(void *ctx, struct instance *i, const char *reason)
{
	struct backend *b = backend_of(i);
	channel_close(&b->channel);
	sock_close(&b->next_fd);
	vmmd_stop(ctx, i->uuid, reason);
}

static bool on_need(void *ctx, const struct route *route, uint64_t id)
{
	return vmmd_need(ctx, route, id) == 0;
}

static void on_free(void *ctx, struct instance *i)
{
	struct backend *b = backend_of(i);
	(void)ctx;
	channel_close(&b->channel);
	sock_close(&b->next_fd);
	free(b);
}

const struct routes_ops backend_ops = { .need = on_need, .stop = on_stop, .free = on_free };

/* --- coming and going ---------------------------------------------------------------------------------------- */

/* The channel that vmmd announced replaces the present one, which is closed: only then does the tender turn to it. */
static void adopt_channel(struct backend *b)
{
	struct err err = { 0 };
	int fd = b->next_fd;
	b->next_fd = -1;
	channel_close(&b->channel);
	if (channel_open(&b->channel, b->proxy->loop, fd, b->instance.app->response_bytes, &events, b, &err) < 0) {
		log_error("instance %s: %s", b->instance.uuid, err.text);
		route_end(&b->proxy->routes, &b->instance, "its channel cannot be watched", clock_ns());
	}
}

static void announced_again(struct backend *b, int fd)
{
	b->instance.generation = b->proxy->routes.generation;
	sock_close(&b->next_fd);
	b->next_fd = fd;
	if (b->instance.state == INSTANCE_IDLE)
		adopt_channel(b);
}

/* The label of an instance in canonical form, or it is not a label of our policy and nothing may be sent there. */
static int take_label(const struct proxy *p, const char *text, struct instance *i, struct err *err)
{
	if (label_parse(p->policy, text, &i->level, err) < 0)
		return -1;
	return label_format(p->policy, &i->level, i->label, err);
}

static struct backend *make_backend(struct proxy *p, const struct routing_message *m, int fd, struct err *err)
{
	struct backend *b = calloc(1, sizeof *b);
	if (!b) {
		sock_close(&fd);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	b->proxy = p;
	b->next_fd = -1;
	b->channel.fd = -1;
	memcpy(b->instance.uuid, m->uuid, sizeof b->instance.uuid);
	memcpy(b->instance.owner, m->owner, sizeof b->instance.owner);
	b->instance.born_ns = clock_ns() - m->age_s * 1000000000ull;
	b->instance.served = m->requests;
	b->instance.spawn_us = m->spawn_us;
	b->instance.from_shell = m->from_shell;
	b->instance.slot = m->has_store ? m->slot : TAINT_NONE;
	b->instance.seq = clock_ns(); /* higher than any that a proxy before us gave out */
	if (channel_open(&b->channel, p->loop, fd, m->response_bytes, &events, b, err) < 0 ||
	    take_label(p, m->label, &b->instance, err) < 0) {
		channel_close(&b->channel);
		free(b);
		return NULL;
	}
	return b;
}

void backend_announced(struct proxy *p, const struct routing_message *m, int fd)
{
	struct err err = { 0 };
	struct instance *known = routes_instance(&p->routes, m->uuid);
	if (known && known->state != INSTANCE_ENDING) {
		announced_again(backend_of(known), fd);
		return;
	}
	if (known) { /* it broke a rule while vmmd was away */
		sock_close(&fd);
		vmmd_stop(p, m->uuid, "was ended by the proxy");
		return;
	}
	struct backend *b = make_backend(p, m, fd, &err);
	if (b && routes_add(&p->routes, &b->instance, m->app, m->id, clock_ns()) < 0) {
		err_set(&err, ERR_INTERNAL, "app %s is not known", m->app);
		channel_close(&b->channel);
		free(b);
		b = NULL;
	}
	if (!b) {
		log_error("instance %s: %s", m->uuid, err.text);
		routes_refused(&p->routes, m->id, ERR_UNAVAILABLE, clock_ns());
		vmmd_stop(p, m->uuid, "the proxy cannot use it");
	}
}

void backend_stop(struct backend *b, const char *reason)
{
	log_warn("instance %s: %s", b->instance.uuid, reason);
	route_end(&b->proxy->routes, &b->instance, reason, clock_ns());
}

void backend_gone(struct proxy *p, const char *uuid, const char *reason)
{
	struct instance *i = routes_instance(&p->routes, uuid);
	if (!i)
		return;
	/* vmmd may be faster than the channel: the answer of a tender that ended right after it is still in there. */
	channel_drain(&backend_of(i)->channel);
	i = routes_instance(&p->routes, uuid);
	if (!i)
		return;
	struct request *r = take_request(backend_of(i));
	log_debug("instance %s ended: %s", uuid, reason);
	if (r)
		request_lost(r, ERR_BAD_GATEWAY, "instance-lost");
	routes_gone(&p->routes, i, clock_ns());
}
