/* SPDX-License-Identifier: MIT
 *
 * The longest wait in the queues of apps: one timer for all, set for the request that has waited longest.
 */
#ifndef PROXY_QUEUE_H
#define PROXY_QUEUE_H

struct proxy;

/* To be called when a request has begun to wait (proxy/route.h); it fails when config.proxy.queue_ms are over. */
void queue_limit_wait(struct proxy *p);

#endif
