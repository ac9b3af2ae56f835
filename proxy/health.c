/* SPDX-License-Identifier: MIT */
#include "proxy/health.h"

#include <stdlib.h>
#include <string.h>

#include "lib/http_parse.h"
#include "lib/log.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"

#define MISSES_MAX 3
#define ANSWER_MS 2000u /* from SYN to its answer */

struct probe {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connect;
	struct proxy *proxy;
	char uuid[PPCE_UUID_SIZE]; /* the instance may be gone before the answer is there */
	unsigned open;		   /* handles */
};

static void on_close(uv_handle_t *handle)
{
	struct probe *probe = handle->data;
	if (--probe->open == 0)
		free(probe);
}

static void end(struct probe *probe)
{
	if (uv_is_closing((uv_handle_t *)&probe->tcp))
		return;
	if (uv_tcp_close_reset(&probe->tcp, on_close) != 0)
		uv_close((uv_handle_t *)&probe->tcp, on_close);
	uv_close((uv_handle_t *)&probe->timer, on_close);
}

/* What an instance does that serves a request meanwhile, the request will tell. */
static void judge(struct probe *probe, bool reached)
{
	struct instance *i = routes_instance(&probe->proxy->routes, probe->uuid);
	if (!i || i->state != INSTANCE_IDLE)
		return;
	struct backend *b = backend_of(i);
	b->missed = reached ? 0 : b->missed + 1;
	if (b->missed >= MISSES_MAX)
		backend_stop(b, "did not accept a connection three times in a row");
}

static void on_connect(uv_connect_t *connect, int status)
{
	struct probe *probe = connect->data;
	if (uv_is_closing((uv_handle_t *)&probe->tcp))
		return;
	judge(probe, status == 0);
	end(probe);
}

static void on_time(uv_timer_t *timer)
{
	struct probe *probe = timer->data;
	judge(probe, false);
	end(probe);
}

static void probe_begin(struct proxy *p, struct backend *b)
{
	struct sockaddr_storage address;
	struct err err;
	struct probe *probe = calloc(1, sizeof *probe);
	if (!probe || http_address_parse(b->address, &address, &err) < 0) {
		free(probe);
		return;
	}
	probe->proxy = p;
	memcpy(probe->uuid, b->instance.uuid, sizeof probe->uuid);
	uv_tcp_init(p->loop, &probe->tcp);
	uv_timer_init(p->loop, &probe->timer);
	probe->open = 2;
	probe->tcp.data = probe->timer.data = probe->connect.data = probe;
	if (uv_tcp_connect(&probe->connect, &probe->tcp, (struct sockaddr *)&address, on_connect) < 0)
		uv_timer_start(&probe->timer, on_time, 0, 0); /* a failure too, and told the same way */
	else
		uv_timer_start(&probe->timer, on_time, ANSWER_MS, 0);
}

static void on_round(uv_timer_t *timer)
{
	struct proxy *p = timer->data;
	struct instance *i;
	TAILQ_FOREACH (i, &p->routes.instances, all)
		if (i->state == INSTANCE_IDLE && backend_of(i)->foreign)
			probe_begin(p, backend_of(i));
}

void health_start(struct proxy *p)
{
	uint64_t ms = p->config.proxy.health_s * 1000ull;
	uv_timer_init(p->loop, &p->health);
	p->health.data = p;
	if (ms)
		uv_timer_start(&p->health, on_round, ms, ms);
}

void health_stop(struct proxy *p)
{
	uv_close((uv_handle_t *)&p->health, NULL);
}
