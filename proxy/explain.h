/* SPDX-License-Identifier: MIT
 *
 * GET /v1/explain: what would happen to a request, step by step and rule by rule. Nothing is started or counted.
 */
#ifndef PROXY_EXPLAIN_H
#define PROXY_EXPLAIN_H

#include <ppce/routing.h>

#include "lib/rest.h"

const char *explain_transport(enum app_transport transport);
/* ?user=U&app=A&clearance=L, &label=L for a request below the clearance */
void explain_handle(struct rest_call *call);

#endif
