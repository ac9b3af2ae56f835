/* SPDX-License-Identifier: MIT
 *
 * Authenticity of tickets and releases: BLAKE2b-256 keyed with secrets/ticket.key. */
#ifndef STORE_TICKET_H
#define STORE_TICKET_H

#include <ppce/store.h>
#include "lib/err.h"

struct ticket_key {
	uint8_t bytes[TICKET_KEY_BYTES];
};

int ticket_key_load(const char *path, struct ticket_key *out, struct err *err);
/* Well-formed, and its MAC is right? Constant time as to where the MAC differs. Untrusted bytes. */
bool ticket_authentic(const struct ticket_key *key, const struct ticket *t);
/* Fills r->mac over everything else of it and the value's bytes. */
void release_sign(const struct ticket_key *key, struct release *r, const void *value);

#endif
