/* SPDX-License-Identifier: MIT */
#include "proxy/queue.h"

#include "lib/names.h"
#include "proxy/proxy.h"

static void on_queue_time(uv_timer_t *timer)
{
	struct proxy *p = timer->data;
	uint64_t now = clock_ns();
	routes_expire(&p->routes, now);
	const struct waiter *first = TAILQ_FIRST(&p->routes.waiting);
	if (first)
		uv_timer_start(timer, on_queue_time, (first->since_ns + p->routes.queue_ns - now) / 1000000 + 1, 0);
}

void queue_limit_wait(struct proxy *p)
{
	if (!uv_is_active((uv_handle_t *)&p->waiting))
		uv_timer_start(&p->waiting, on_queue_time, p->routes.queue_ns / 1000000, 0);
}
