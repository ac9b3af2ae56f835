/* SPDX-License-Identifier: MIT
 *
 * What users say about their own data at the door: grants, break-glass and its review, erasing. All of it is auth's to
 * decide and to record; it is passed on with the caller's token, and never without one.
 */
#ifndef PROXY_GRANTS_H
#define PROXY_GRANTS_H

#include <stdbool.h>

#include "lib/http.h"

struct proxy;

/* Is this path one of them? /v1/grants, /v1/grants/..., /v1/break-glass, /v1/erase */
bool grants_path(const char *path);
void grants_handle(struct proxy *p, struct http_exchange *x);

#endif
