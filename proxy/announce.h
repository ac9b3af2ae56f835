/* SPDX-License-Identifier: MIT
 *
 * Instances as vmmd announces them.
 */
#ifndef PROXY_ANNOUNCE_H
#define PROXY_ANNOUNCE_H

#include <ppce/routing.h>

struct proxy;

/* ROUTING_INSTANCE: a new instance, or a new channel for one that is known. Takes over `fd`; -1 for one without. */
void announce_instance(struct proxy *p, const struct routing_message *m, int fd);

#endif
