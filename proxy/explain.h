/* SPDX-License-Identifier: MIT
 *
 * GET /v1/explain: what would happen to a request, step by step and rule by rule. Nothing is started or counted.
 */
#ifndef PROXY_EXPLAIN_H
#define PROXY_EXPLAIN_H

#include "lib/rest.h"

/* ?user=U&app=A&clearance=L, &label=L for a request below the clearance */
void explain_handle(struct rest_call *call);

#endif
