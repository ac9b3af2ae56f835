/* SPDX-License-Identifier: MIT
 *
 * Reading is strict by one means: what was read is written again and must give the same bytes. So there is no second
 * spelling of anything, base64's spare bits included.
 */
#include "lib/note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define ALGORITHM_ED25519 0x01
#define BASE64 sodium_base64_VARIANT_ORIGINAL

/* First four bytes of SHA-256(name || "\n" || algorithm || public key). */
static void key_id(struct note_key *key)
{
	static const unsigned char separator[2] = { '\n', ALGORITHM_ED25519 };
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const unsigned char *)key->name, strlen(key->name));
	crypto_hash_sha256_update(&state, separator, sizeof separator);
	crypto_hash_sha256_update(&state, key->public, sizeof key->public);
	crypto_hash_sha256_final(&state, hash);
	memcpy(key->id, hash, sizeof key->id);
}

void note_key_make(const uint8_t public[NOTE_KEY_BYTES], struct note_key *out)
{
	char hex[17];
	memcpy(out->public, public, NOTE_KEY_BYTES);
	sodium_bin2hex(hex, sizeof hex, public, 8);
	snprintf(out->name, sizeof out->name, "ppce-audit/%s", hex);
	key_id(out);
}

void note_key_format(const struct note_key *key, char out[NOTE_VKEY_SIZE])
{
	unsigned char raw[1 + NOTE_KEY_BYTES] = { ALGORITHM_ED25519 };
	char id[9], encoded[64];
	memcpy(raw + 1, key->public, NOTE_KEY_BYTES);
	sodium_bin2hex(id, sizeof id, key->id, sizeof key->id);
	sodium_bin2base64(encoded, sizeof encoded, raw, sizeof raw, BASE64);
	snprintf(out, NOTE_VKEY_SIZE, "%s+%s+%s", key->name, id, encoded);
}

int note_key_parse(const char *text, size_t len, struct note_key *out, struct err *err)
{
	unsigned char raw[1 + NOTE_KEY_BYTES + 1];
	char again[NOTE_VKEY_SIZE];
	size_t n = 0;
	if (len && text[len - 1] == '\n')
		len--;
	/* Base64 has '+' too: the fields are found from the front, where the name has none. */
	const char *first = len ? memchr(text, '+', len) : NULL;
	const char *plus = first ? memchr(first + 1, '+', len - (size_t)(first + 1 - text)) : NULL;
	if (!plus ||
	    sodium_base642bin(raw, sizeof raw, plus + 1, len - (size_t)(plus + 1 - text), NULL, &n, NULL, BASE64) < 0)
		return err_set(err, ERR_INVALID, "not a vkey line (NAME+ID+KEY)");
	if (n != 1 + NOTE_KEY_BYTES || raw[0] != ALGORITHM_ED25519)
		return err_set(err, ERR_INVALID, "not an Ed25519 key");
	note_key_make(raw + 1, out);
	note_key_format(out, again);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return err_set(err, ERR_INVALID, "the key's name or id does not belong to the key");
	return 0;
}

size_t note_body(const struct note_key *key, const struct note_checkpoint *c, char out[NOTE_SIZE])
{
	char root[64];
	sodium_bin2base64(root, sizeof root, c->root.byte, sizeof c->root.byte, BASE64);
	int n = snprintf(out, NOTE_SIZE, "%s\n%llu\n%s\n", key->name, (unsigned long long)c->size, root);
	return (size_t)n;
}

/* Three lines at the start of `text`; what follows is not looked at. */
static int read_lines(const char *text, size_t len, struct note_checkpoint *out)
{
	const char *size = memchr(text, '\n', len), *end = text + len;
	const char *root = size ? memchr(size + 1, '\n', (size_t)(end - size - 1)) : NULL;
	const char *stop = root ? memchr(root + 1, '\n', (size_t)(end - root - 1)) : NULL;
	char digits[24];
	size_t n = 0;
	if (!stop || root - size - 1 < 1 || (size_t)(root - size - 1) >= sizeof digits)
		return -1;
	memcpy(digits, size + 1, (size_t)(root - size - 1));
	digits[root - size - 1] = '\0';
	out->size = strtoull(digits, NULL, 10);
	if (sodium_base642bin(out->root.byte, sizeof out->root.byte, root + 1, (size_t)(stop - root - 1), NULL, &n,
			      NULL, BASE64) < 0)
		return -1;
	return n == sizeof out->root.byte ? 0 : -1;
}

int note_body_parse(const struct note_key *key, const char *text, size_t len, struct note_checkpoint *out,
		    struct err *err)
{
	char again[NOTE_SIZE];
	if (len >= NOTE_SIZE || read_lines(text, len, out) < 0)
		return err_set(err, ERR_INVALID, "not a checkpoint");
	if (note_body(key, out, again) != len || memcmp(again, text, len) != 0)
		return err_set(err, ERR_INVALID, "not a checkpoint of %s", key->name);
	return 0;
}

size_t note_seal(const struct note_key *key, const struct note_checkpoint *c,
		 const uint8_t signature[NOTE_SIGNATURE_BYTES], char out[NOTE_SIZE])
{
	unsigned char raw[sizeof key->id + NOTE_SIGNATURE_BYTES];
	char encoded[128];
	size_t len = note_body(key, c, out);
	memcpy(raw, key->id, sizeof key->id);
	memcpy(raw + sizeof key->id, signature, NOTE_SIGNATURE_BYTES);
	sodium_bin2base64(encoded, sizeof encoded, raw, sizeof raw, BASE64);
	int n = snprintf(out + len, NOTE_SIZE - len, "\n\xe2\x80\x94 %s %s\n", key->name, encoded);
	return len + (size_t)n;
}

/* The signature's bytes from the last line, which stands from `from`. */
static int read_signature(const char *from, size_t len, uint8_t out[NOTE_SIGNATURE_BYTES])
{
	unsigned char raw[4 + NOTE_SIGNATURE_BYTES + 1];
	const char *space = memrchr(from, ' ', len);
	size_t n = 0;
	if (!space || from[len - 1] != '\n' ||
	    sodium_base642bin(raw, sizeof raw, space + 1, len - (size_t)(space + 1 - from) - 1, NULL, &n, NULL,
			      BASE64) < 0 ||
	    n != 4 + NOTE_SIGNATURE_BYTES)
		return -1;
	memcpy(out, raw + 4, NOTE_SIGNATURE_BYTES);
	return 0;
}

int note_open(const struct note_key *key, const char *text, size_t len, struct note_checkpoint *out, struct err *err)
{
	uint8_t signature[NOTE_SIGNATURE_BYTES];
	char again[NOTE_SIZE];
	if (!len || len >= NOTE_SIZE || read_lines(text, len, out) < 0 || read_signature(text, len, signature) < 0)
		return err_set(err, ERR_INVALID, "not a signed checkpoint");
	if (note_seal(key, out, signature, again) != len || memcmp(again, text, len) != 0)
		return err_set(err, ERR_INVALID, "not a checkpoint signed by %s", key->name);
	size_t body = note_body(key, out, again);
	if (crypto_sign_verify_detached(signature, (const unsigned char *)again, body, key->public) != 0)
		return err_set(err, ERR_INVALID, "the checkpoint's signature is wrong");
	return 0;
}
