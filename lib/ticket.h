/* SPDX-License-Identifier: MIT
 *
 * Sealing and checking of tickets and releases (ppce/ticket.h, ppce/store.h) with the key that proxy and store share. The
 * MAC is BLAKE2b-256 keyed with that key; it is compared in constant time.
 */
#ifndef LIB_TICKET_H
#define LIB_TICKET_H

#include <ppce/store.h>
#include <ppce/ticket.h>
#include "lib/err.h"

/* Reads DIR/secrets/ticket.key: 64 hex digits and a newline, readable by the owner alone. ERR_CONFIG says what to do. */
int ticket_key_load(const char *path, uint8_t key[TICKET_KEY_BYTES], struct err *err);

void ticket_seal(struct ticket *t, const uint8_t key[TICKET_KEY_BYTES]);
bool ticket_authentic(const struct ticket *t, const uint8_t key[TICKET_KEY_BYTES]);
/* `value`: the r->length bytes that follow the head. */
void release_seal(struct release *r, const void *value, const uint8_t key[TICKET_KEY_BYTES]);
bool release_authentic(const struct release *r, const void *value, const uint8_t key[TICKET_KEY_BYTES]);

#endif
