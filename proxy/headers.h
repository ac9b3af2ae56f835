/* SPDX-License-Identifier: MIT
 *
 * What of a client's header goes on to an app, and where its token stands. Pure functions over a decoded request
 * (lib/http.h: names are tokens, values have no control characters); both are still the client's own words.
 */
#ifndef PROXY_HEADERS_H
#define PROXY_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/http.h"

#define HEADERS_COOKIE "ppce_session" /* the cookie that holds the token */

struct headers_field {
	const char *name, *value; /* name: as the client wrote it, to be lower-cased; value: NUL-terminated */
	size_t name_len, value_len;
};

/* Framing and hop-by-hop fields (RFC 9110, 7.6.1): they speak of one connection and go no further. */
bool headers_hop(const char *name);
/* Fields by which servers behind a proxy are told who asks. From a client they would be forgeries: PPCE-*, Forwarded,
 * X-Forwarded-*, X-Real-IP, X-User*, Remote-User and their like, with '_' and '-' taken as the same. */
bool headers_identity(const char *name);

/* Is this a method that apps may be asked with? */
bool headers_method(const char *method);
#define HEADERS_METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
/* The PPCE-Label field, NULL if there is none; -1 if there are several, of which another reader could take either. */
int headers_label(const struct http_exchange *x, const char **label);

/* The session token: `Authorization: Bearer` or the cookie. 0 with *token NULL if there is none; -1 (ERR_INVALID) if
 * there are two that differ. *token points into the exchange and is not NUL-terminated. */
int headers_token(const struct http_exchange *x, const char **token, size_t *len, struct err *err);
bool headers_token_form(const char *token, size_t len); /* can it be a token at all? */

/* The fields that an app gets to see, in order, into out[max]; returns their number. Authorization, the token's cookie,
 * hop-by-hop and identity fields are left out. `cookie` is scratch for a Cookie field that had to be rewritten and must
 * live as long as the result. */
size_t headers_forward(const struct http_exchange *x, struct headers_field *out, size_t max, struct buf *cookie);

#endif
