/* SPDX-License-Identifier: MIT
 *
 * The step FORWARD: the request goes to the instance or outside service that ACQUIRE has found, and its answer comes back.
 */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "proxy/request.h"

enum request_step forward_step(struct request *r);

/* The instance's channel: FRAME_RESPONSE for the request in flight (payload valid during the call) ... */
void forward_answered(struct request *r, const struct frame_header *h, const void *payload);
/* ... or its answer by HTTP (valid during the call) ... */
void forward_replied(struct request *r, const struct http_reply *reply);
/* ... or there will be none. reason: a stable code. */
void forward_lost(struct request *r, enum err_kind kind, const char *reason);

/* The outside service's answer (valid during the call), or an error. */
void forward_service_replied(struct request *r, const struct http_reply *reply, const struct err *err);

#endif
