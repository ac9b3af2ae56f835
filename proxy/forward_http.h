/* SPDX-License-Identifier: MIT
 *
 * FORWARD for outside services: the request as HTTP/1.1 to a registered address, with identity fields that we set.
 */
#ifndef PROXY_FORWARD_HTTP_H
#define PROXY_FORWARD_HTTP_H

#include "lib/http.h"
#include "proxy/request.h"

#define FORWARD_FIELDS_MAX (PPCE_HEADERS_MAX + 7)
#define FORWARD_TARGET_SIZE (65536 + 2) /* target_bytes is at most 65536, see lib/config.h */

/* Sends r to r->service; forward_service_replied() follows, later, exactly once. */
void forward_http(struct request *r);

/* What a request by HTTP says: the client's fields that are let through, then who asks; returns their number. */
unsigned forward_fields(const struct request *r, struct http_field out[FORWARD_FIELDS_MAX]);
void forward_target(const struct request *r, char out[FORWARD_TARGET_SIZE]);

#endif
