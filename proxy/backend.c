/* SPDX-License-Identifier: MIT */
#include "proxy/backend.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/proxy.h"
#include "proxy/forward.h"
#include "proxy/vmmd.h"

#define ONE_REQUEST "has answered its one request"
#define PREPARE_MS 10000u

struct request *backend_take_request(struct backend *b)
{
	struct request *r = b->request;
	if (b->call)
		http_call_cancel(b->call);
	b->call = NULL;
	b->request = NULL;
	return r;
}

void backend_forget_connections(struct backend *b)
{
	if (b->address[0] && b->proxy->client) /* NULL: the proxy is ending, and nothing is connected any more */
		http_client_forget(b->proxy->client, b->address);
}

void backend_hang_up(struct backend *b)
{
	channel_close(&b->channel);
	sock_close(&b->next_fd);
	if (b->call)
		http_call_cancel(b->call);
	b->call = NULL;
	backend_forget_connections(b);
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
	struct request *r = backend_take_request(b);
	bool failed = h->type == FRAME_FAILED && h->code != FRAME_TOO_LARGE;
	bool last = h->type == FRAME_RESPONSE && (h->flags & FRAME_FLAG_LAST);
	if (h->type == FRAME_RESPONSE)
		forward_answered(r, h, payload);
	else if (r) /* by HTTP, it may have been answered before */
		forward_lost(r, failure_kind(h->code), failure_reason(h->code));
	if (!(failed || last) || b->channel.state == CHANNEL_CLOSED)
		return;
	backend_hang_up(b);
	/* It ends by itself. After its one answer vmmd is told all the same, so that its place is free at once; after a
	 * failure not, as the tender's own words about it are on their way. */
	route_end(&p->routes, &b->instance, last ? ONE_REQUEST : NULL, clock_ns());
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

void backend_prepare(struct backend *b)
{
	const struct http_call how = { .address = b->address,
				       .timeout_ms = PREPARE_MS,
				       .until_accepted = true,
				       .reset = true,
				       .keepalive_s = b->keepalive_s };
	if (b->address[0] && !b->foreign && b->instance.state == INSTANCE_IDLE && b->proxy->client)
		http_client_prepare(b->proxy->client, &how);
}

static void take_next(struct backend *b)
{
	if (b->next_fd >= 0)
		backend_adopt_channel(b);
	if (b->foreign || b->channel.state == CHANNEL_IDLE)
		release(b);
	backend_prepare(b);
}

void backend_answered(struct backend *b)
{
	bool pristine = b->instance.app->lifetime == LIFETIME_REQUEST;
	if (b->instance.state != INSTANCE_BUSY)
		return;
	if (pristine) /* nothing that the guest had open outlives its reset */
		backend_forget_connections(b);
	if (!b->foreign)
		channel_end(&b->channel, pristine);
	else if (pristine)
		route_end(&b->proxy->routes, &b->instance, ONE_REQUEST, clock_ns());
	if (!pristine)
		take_next(b);
}

static void on_ready(void *ctx, uint32_t reset_us, bool last)
{
	struct backend *b = ctx;
	if (last) {
		route_end(&b->proxy->routes, &b->instance, ONE_REQUEST, clock_ns());
		return;
	}
	if (reset_us)
		histogram_add(&b->proxy->totals.phase[PHASE_RESET], reset_us * 1000ull);
	take_next(b);
}

static void on_lost(void *ctx, enum err_kind kind, const char *why)
{
	struct backend *b = ctx;
	struct request *r = backend_take_request(b);
	log_warn("instance %s: %s", b->instance.uuid, why);
	if (b->next_fd >= 0 && !r && b->instance.state == INSTANCE_IDLE) {
		backend_adopt_channel(b); /* vmmd made a new one for it */
		return;
	}
	if (r)
		forward_lost(r, kind, kind == ERR_TIMEOUT ? "deadline" : "instance-lost");
	route_end(&b->proxy->routes, &b->instance, why, clock_ns());
}

static const struct channel_events events = { on_answer, on_ready, on_lost };

/* --- what routing says --------------------------------------------------------------------------------------- */

static void on_stop(void *ctx, struct instance *i, const char *reason)
{
	backend_hang_up(backend_of(i));
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
	backend_hang_up(b);
	free(b);
}

const struct routes_ops backend_ops = { .need = on_need, .stop = on_stop, .free = on_free };

/* --- coming and going ---------------------------------------------------------------------------------------- */

int backend_open_channel(struct backend *b, int fd, size_t answer_max, struct err *err)
{
	return channel_open(&b->channel, b->proxy->loop, fd, answer_max, &events, b, err);
}

void backend_adopt_channel(struct backend *b)
{
	struct err err = { 0 };
	int fd = b->next_fd;
	b->next_fd = -1;
	channel_close(&b->channel);
	if (backend_open_channel(b, fd, b->instance.app->response_bytes, &err) < 0) {
		log_error("instance %s: %s", b->instance.uuid, err.text);
		route_end(&b->proxy->routes, &b->instance, "its channel cannot be watched", clock_ns());
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
	struct request *r = backend_take_request(backend_of(i));
	log_debug("instance %s ended: %s", uuid, reason);
	if (r)
		forward_lost(r, ERR_BAD_GATEWAY, "instance-lost");
	routes_gone(&p->routes, i, clock_ns());
}
