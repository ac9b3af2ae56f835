/* SPDX-License-Identifier: MIT
 *
 * The operator's interface on DIR/run/proxy.sock: registrations, routes, explain, and what every daemon has (lib/rest.h).
 * The registrations are reachable through the door as well, with the registration key.
 */
#ifndef PROXY_REST_API_H
#define PROXY_REST_API_H

#include "lib/http.h"

struct proxy;

/* Fills p->rest. The registration key is read from DIR/secrets/registration.key, which is made if it is missing. */
int rest_api_start(struct proxy *p, struct err *err);
/* An exchange of the door under /v1/: answered here, by the registration routes only and only with the key. */
void rest_api_door(struct proxy *p, struct http_exchange *x);

#endif
