/* SPDX-License-Identifier: MIT
 *
 * The proxy's end of ppce/routing.h: keeps the tables of proxy/route.h as vmmd announces them, and asks for instances.
 */
#ifndef PROXY_VMMD_H
#define PROXY_VMMD_H

#include <stdint.h>

#include "lib/err.h"

struct proxy;
struct route;

int vmmd_start(struct proxy *p, struct err *err);
int vmmd_need(struct proxy *p, const struct route *route, uint64_t id); /* -1: not connected */
void vmmd_stop(struct proxy *p, const char *uuid, const char *reason);	/* does nothing while not connected */

#endif
