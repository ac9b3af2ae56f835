/* SPDX-License-Identifier: MIT
 *
 * The ticket of a request (ppce/ticket.h): who asks, and what the store may read for them.
 */
#ifndef PROXY_TICKET_H
#define PROXY_TICKET_H

#include <ppce/ticket.h>
#include "proxy/request.h"

/* Fills and seals *t for the request's instance; returns it, or NULL where the instance has no store. */
const struct ticket *ticket_issue(struct request *r, struct ticket *t);

#endif
