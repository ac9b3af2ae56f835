/* SPDX-License-Identifier: MIT
 *
 * What the door passes on to auth's REST interface, and how auth's refusals become problem+json of our own.
 */
#ifndef PROXY_AUTH_CALL_H
#define PROXY_AUTH_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/http.h"
#include "lib/http_client.h"

struct proxy;

struct auth_pending { /* ctx of the reply function, which frees it */
	struct proxy *proxy;
	struct http_exchange *x;
};

/* `call` without its address and limits. `done` gets a struct auth_pending; if there is no memory for one, the
 * exchange has been answered. */
void auth_call(struct proxy *p, struct http_exchange *x, struct http_call *call, http_reply_fn *done);
/* The caller's token as "Bearer TOKEN", from the Authorization field or the cookie. False: there is none, or there
 * are two, and the exchange has been answered. Without it nothing may be passed on: auth takes who sends none for an
 * operator. */
#define AUTH_BEARER_SIZE 160
bool auth_bearer(struct http_exchange *x, char out[AUTH_BEARER_SIZE], const char *none);
/* Does a browser say that the request comes from another site? A form or script there must change nothing here. */
bool auth_cross_site(const struct http_exchange *x);
void auth_unauthenticated(struct http_exchange *x, const char *detail);
/* False if the reply is a refusal or an error, which has been passed on. `sorry`: what a client is told where the
 * reason is not for clients. `all`: a 503 of auth is meant for the client as it is. */
bool auth_succeeded(struct http_exchange *x, const struct http_reply *reply, const struct err *err, const char *sorry,
		    bool all);

#endif
