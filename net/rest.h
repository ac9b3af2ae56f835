/* SPDX-License-Identifier: MIT
 *
 * DIR/run/net-rest.sock: /livez /readyz /metrics /openapi.json and GET /v1/taps. */
#ifndef NET_REST_H
#define NET_REST_H

#include "lib/err.h"

struct net;
int net_rest_start(struct net *n, struct err *err);
void net_rest_end(struct net *n);  /* no new connections */
void net_rest_free(struct net *n); /* after the loop */

#endif
