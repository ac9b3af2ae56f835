/* SPDX-License-Identifier: MIT
 *
 * Bearer tokens: 256 random bits as 43 characters of unpadded base64url. auth keeps only the hash, so neither its file
 * nor a look-up by hash (a B-tree search, not constant in time) tells anything about a token.
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <ppce/session.h>

#define TOKEN_TEXT_SIZE 44 /* with the NUL */

/* A new token and its hash. The caller wipes `text` after it was handed out. */
void token_new(char text[TOKEN_TEXT_SIZE], uint8_t hash[SESSION_HASH_BYTES]);
/* Hash of a token as a client sent it; untrusted. -1 if it isn't shaped like a token. */
int token_hash(const char *text, uint8_t hash[SESSION_HASH_BYTES]);
/* The token in an Authorization field ("Bearer TOKEN"), or NULL. */
const char *token_from_bearer(const char *field);

#endif
