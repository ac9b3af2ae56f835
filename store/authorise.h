/* SPDX-License-Identifier: MIT
 *
 * Whose owners have authorised a certificate? Asked from auth each time: what was revoked a moment ago must not hold. */
#ifndef STORE_AUTHORISE_H
#define STORE_AUTHORISE_H

#include "lib/http_client.h"
#include "policy/label.h"

#define AUTHORISE_MS 2000u
#define AUTHORISED_MAX 65536u

struct authorised { /* sorted */
	struct label_tag *tag;
	size_t n;
};

bool authorised_has(const struct authorised *a, const struct label_tag *tag);
void authorised_free(struct authorised *a);
/* Untrusted: {"tags": ["p7/training", ...]} */
int authorised_decode(const char *bytes, size_t len, struct authorised *out, struct err *err);
/* Calls done() once, never from within; `a` is the callee's to keep or free, empty on an error: then nobody has. */
void authorise_ask(struct http_client *http, const char *address, const char *certificate_id,
		   void (*done)(void *ctx, struct authorised *a), void *ctx);

#endif
