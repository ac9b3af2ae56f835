/* SPDX-License-Identifier: MIT
 *
 * FORWARD for outside services: the request as HTTP/1.1 to a registered address, with identity fields that we set.
 */
#ifndef PROXY_FORWARD_HTTP_H
#define PROXY_FORWARD_HTTP_H

struct request;

/* Sends r to r->service; request_replied() follows, later, exactly once. */
void forward_http(struct request *r);

#endif
