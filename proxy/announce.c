/* SPDX-License-Identifier: MIT */
#include "proxy/announce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"
#include "proxy/vmmd.h"

static void announced_again(struct backend *b, int fd)
{
	b->instance.generation = b->proxy->routes.generation;
	sock_close(&b->next_fd);
	b->next_fd = fd;
	if (fd >= 0 && b->instance.state == INSTANCE_IDLE)
		backend_adopt_channel(b);
}

/* The label of an instance in canonical form, or it is not a label of our policy and nothing may be sent there. */
static int take_label(const struct proxy *p, const char *text, struct instance *i, struct err *err)
{
	if (label_parse(p->policy, text, &i->level, err) < 0)
		return -1;
	return label_format(p->policy, &i->level, i->label, err);
}

/* Whoever had this address before is gone, and so is what was kept open to them. */
static void take_address(struct backend *b, const struct routing_message *m)
{
	if (!m->ipv4)
		return;
	snprintf(b->address, sizeof b->address, "%u.%u.%u.%u:%u", m->ipv4 >> 24, m->ipv4 >> 16 & 255,
		 m->ipv4 >> 8 & 255, m->ipv4 & 255, m->port);
	b->foreign = m->foreign;
	b->keepalive_s = m->flow_s > 1 ? m->flow_s / 2 : m->flow_s;
	backend_forget_connections(b);
}

static void take_figures(struct instance *i, const struct routing_message *m)
{
	memcpy(i->uuid, m->uuid, sizeof i->uuid);
	memcpy(i->owner, m->owner, sizeof i->owner);
	i->born_ns = clock_ns() - m->age_s * 1000000000ull;
	i->served = m->requests;
	i->spawn_us = m->spawn_us;
	i->from_shell = m->from_shell;
	i->keep = m->keep;
	i->slot = m->has_store ? m->slot : TAINT_NONE;
	i->seq = clock_ns(); /* higher than any that a proxy before us gave out */
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
	take_figures(&b->instance, m);
	take_address(b, m);
	if ((!b->foreign && backend_open_channel(b, fd, m->response_bytes, err) < 0) ||
	    take_label(p, m->label, &b->instance, err) < 0) {
		channel_close(&b->channel);
		free(b);
		return NULL;
	}
	return b;
}

void announce_instance(struct proxy *p, const struct routing_message *m, int fd)
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
	if (b) {
		backend_prepare(b);
		return;
	}
	log_error("instance %s: %s", m->uuid, err.text);
	routes_refused(&p->routes, m->id, ERR_UNAVAILABLE, clock_ns());
	vmmd_stop(p, m->uuid, "the proxy cannot use it");
}
