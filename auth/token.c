// SPDX-License-Identifier: MIT
#include "auth/token.h"

#include <sodium.h>
#include <strings.h>

#include "lib/names.h"

void token_new(char text[TOKEN_TEXT_SIZE], uint8_t hash[SESSION_HASH_BYTES])
{
	uint8_t raw[SESSION_TOKEN_BYTES];

	random_bytes(raw, sizeof raw);
	sodium_bin2base64(text, TOKEN_TEXT_SIZE, raw, sizeof raw, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	crypto_generichash(hash, SESSION_HASH_BYTES, (const uint8_t *)text, TOKEN_TEXT_SIZE - 1, NULL, 0);
	sodium_memzero(raw, sizeof raw);
}

int token_hash(const char *text, uint8_t hash[SESSION_HASH_BYTES])
{
	uint8_t raw[SESSION_TOKEN_BYTES];
	size_t len;
	int bad;

	/* Decoding refuses other characters and non-zero padding bits: a token has exactly one spelling. */
	bad = strnlen(text, TOKEN_TEXT_SIZE) != TOKEN_TEXT_SIZE - 1 ||
	      sodium_base642bin(raw, sizeof raw, text, TOKEN_TEXT_SIZE - 1, NULL, &len, NULL,
				sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
	      len != sizeof raw;
	sodium_memzero(raw, sizeof raw);
	if (bad)
		return -1;
	crypto_generichash(hash, SESSION_HASH_BYTES, (const uint8_t *)text, TOKEN_TEXT_SIZE - 1, NULL, 0);
	return 0;
}

const char *token_from_bearer(const char *field)
{
	if (!field || strncasecmp(field, "Bearer ", 7))
		return NULL;
	field += 7;
	return field + strspn(field, " ");
}
