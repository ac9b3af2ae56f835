/* SPDX-License-Identifier: MIT */
#include "proxy/hold.h"

#include <stdlib.h>

#include "lib/log.h"
#include "lib/names.h"
#include "proxy/proxy.h"

struct hold {
	uv_timer_t timer;
	struct request *request;
	void (*done)(struct request *r);
};

static void free_hold(uv_handle_t *h)
{
	free(h->data);
}

static void on_time(uv_timer_t *timer)
{
	struct hold *h = timer->data;
	uv_close((uv_handle_t *)timer, free_hold);
	h->done(h->request);
}

bool hold_begin(struct request *r, void (*done)(struct request *r))
{
	uint64_t grid = r->proxy->config.proxy.blocked_grid_ms;
	if (!r->secret || grid == 0)
		return false;
	struct hold *h = malloc(sizeof *h);
	if (!h) { /* fails open in time only: what leaves is decided already */
		log_warn("request %s: no memory to hold its answer back", r->x->request_id);
		return false;
	}
	uint64_t spent = (clock_ns() - r->x->started_ns) / 1000000;
	*h = (struct hold){ .request = r, .done = done };
	h->timer.data = h;
	uv_timer_init(r->proxy->loop, &h->timer);
	uv_update_time(r->proxy->loop);
	uv_timer_start(&h->timer, on_time, grid - spent % grid, 0);
	return true;
}
