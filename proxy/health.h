/* SPDX-License-Identifier: MIT
 *
 * Is a unikernel that is not ours still there? Ours are watched by their tenders; of the others the proxy alone would notice,
 * by failed requests. So an idle one is connected to every proxy.health_s seconds, and ended after three failures in a row.
 */
#ifndef PROXY_HEALTH_H
#define PROXY_HEALTH_H

struct proxy;

void health_start(struct proxy *p); /* does nothing where proxy.health_s is 0 */
void health_stop(struct proxy *p);

#endif
