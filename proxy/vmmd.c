/* SPDX-License-Identifier: MIT */
#include "proxy/vmmd.h"

#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/announce.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"

static void on_app(struct proxy *p, const struct routing_message *m)
{
	if (!name_valid(m->app) || m->lifetime < LIFETIME_CLASS || m->max_instances < 1 || m->deadline_ms < 1 ||
	    m->deadline_ms > 3600000 || m->request_bytes > PPCE_REQUEST_BYTES_MAX ||
	    m->response_bytes > PPCE_RESPONSE_BYTES_MAX) {
		log_error("vmmd announced an app with values out of range");
		return;
	}
	if (routes_app_update(&p->routes, m) < 0)
		log_error("app %s: out of memory", m->app);
}

/* Ours have a channel; others have an address instead, and nothing that only the store could tell. */
static bool reachable(const struct routing_message *m, int fd)
{
	if (m->ipv4 && !m->port)
		return false;
	return m->foreign ? fd < 0 && m->ipv4 && !m->has_store : fd >= 0;
}

static void on_instance(struct proxy *p, const struct routing_message *m, int fd)
{
	if (!reachable(m, fd) || !uuid_valid(m->uuid) || m->response_bytes > PPCE_RESPONSE_BYTES_MAX) {
		log_error("vmmd announced an instance without a channel, or with values out of range");
		sock_close(&fd);
		return;
	}
	announce_instance(p, m, fd);
}

static void on_refused(struct proxy *p, const struct routing_message *m)
{
	enum err_kind kind = m->kind > ERR_NONE && m->kind < ERR_KINDS ? (enum err_kind)m->kind : ERR_INTERNAL;
	log_warn("vmmd cannot start an instance (%s): %s", err_code(kind), m->reason);
	routes_refused(&p->routes, m->id, kind, clock_ns());
}

static void on_taint(struct proxy *p, int fd)
{
	struct err err;
	if (fd < 0 || taint_adopt(&p->taint, fd, &err) < 0)
		log_error("vmmd sent no usable table of labels; apps with a store cannot answer");
}

static int on_packet(void *ctx, const void *data, size_t size, int fd)
{
	struct proxy *p = ctx;
	const struct routing_message *m = data;
	bool valid = routing_valid(m, size);
	if (!valid || (fd >= 0 && m->type != ROUTING_INSTANCE && m->type != ROUTING_TAINT)) {
		log_error("vmmd sent a malformed message");
		sock_close(&fd);
		return -1;
	}
	switch (m->type) {
	case ROUTING_APP:
		on_app(p, m);
		break;
	case ROUTING_APP_GONE:
		routes_app_gone(&p->routes, m->app);
		break;
	case ROUTING_INSTANCE:
		on_instance(p, m, fd);
		break;
	case ROUTING_REFUSED:
		on_refused(p, m);
		break;
	case ROUTING_GONE:
		backend_gone(p, m->uuid, m->reason);
		revoke_gone(p, m->uuid);
		break;
	case ROUTING_TAINT:
		on_taint(p, fd);
		break;
	case ROUTING_SYNCED:
		log_info("vmmd has announced %zu apps", p->routes.by_app.count);
		routes_synced(&p->routes, clock_ns());
		break;
	default:
		break;
	}
	return 0;
}

static void on_up(void *ctx)
{
	struct proxy *p = ctx;
	routes_resync(&p->routes);
}

static void on_down(void *ctx)
{
	struct proxy *p = ctx;
	routes_lost(&p->routes);
	revoke_lost(p);
}

int vmmd_start(struct proxy *p, struct err *err)
{
	static const struct link_events events = { on_up, on_down, on_packet };
	char path[512];
	config_path(&p->config, "run/vmmd-route.sock", path, sizeof path);
	return link_start(&p->vmmd, p->loop, "vmmd", path, sizeof(struct routing_message), &events, p, err);
}

int vmmd_need(struct proxy *p, const struct route *route, uint64_t id)
{
	struct routing_message m = { .type = ROUTING_NEED, .id = id };
	memcpy(m.app, route->app->name, sizeof m.app);
	memcpy(m.label, route->label, sizeof m.label);
	memcpy(m.owner, route->owner, sizeof m.owner);
	return link_send(&p->vmmd, &m);
}

void vmmd_stop(struct proxy *p, const char *uuid, const char *reason)
{
	struct routing_message m = { .type = ROUTING_STOP };
	snprintf(m.uuid, sizeof m.uuid, "%s", uuid);
	snprintf(m.reason, sizeof m.reason, "%s", reason);
	link_send(&p->vmmd, &m);
}
