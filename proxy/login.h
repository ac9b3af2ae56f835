/* SPDX-License-Identifier: MIT
 *
 * POST /login and POST /logout at the door: passed on to auth's REST interface, which decides and writes the audit
 * record; here the token becomes a cookie and auth's refusals become problem+json of our own.
 */
#ifndef PROXY_LOGIN_H
#define PROXY_LOGIN_H

#include "lib/http.h"

struct proxy;

void login_handle(struct proxy *p, struct http_exchange *x);
void logout_handle(struct proxy *p, struct http_exchange *x);

#endif
