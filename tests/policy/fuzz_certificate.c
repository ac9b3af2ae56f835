/* SPDX-License-Identifier: MIT
 *
 * Any file as it is; and, if it is JSON, its certificate signed anew, so that what lies behind the signature is reached.
 * What is accepted holds what its fields promise. The rest of the input, after a NUL, is a value. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/certificate.h"
#include "policy/policy.h"
#include "policy/schema.h"

static void fixed_random(void *out, size_t len)
{
	memset(out, 0x35, len);
}

static void try_value(const struct certificate *c, const char *json, size_t len)
{
	struct err err;
	json_t *value;
	if (certificate_check_value(c, json, len, &value, &err) < 0)
		return;
	if (schema_match(c->schema, value, &err) < 0 || certificate_add_noise(c, value, fixed_random, &err) < 0)
		abort();
	json_decref(value);
}

static void try_certificate(const struct policy *p, const char *text, size_t len, const char *value, size_t value_len)
{
	unsigned char seed[crypto_sign_SEEDBYTES] = { 1 }, pub[crypto_sign_PUBLICKEYBYTES];
	unsigned char secret[crypto_sign_SECRETKEYBYTES];
	struct certificate c;
	struct err err;
	char officer[PPCE_USER_SIZE];
	crypto_sign_seed_keypair(pub, secret, seed);
	certificate_officer(text, len, officer, &err);
	if (certificate_decode(p, text, len, pub, &c, &err) < 0)
		return;
	if (!label_leq(p, &c.to, &c.from) || !c.min_group || !c.max_bytes || !c.schema || c.budget < c.epsilon)
		abort();
	try_value(&c, value, value_len);
	certificate_free(&c);
}

/* NULL: not JSON, or no object. */
static char *sign(const char *json, size_t len)
{
	unsigned char seed[crypto_sign_SEEDBYTES] = { 1 }, pub[crypto_sign_PUBLICKEYBYTES];
	unsigned char secret[crypto_sign_SECRETKEYBYTES], bytes[crypto_sign_BYTES];
	char signature[sodium_base64_ENCODED_LEN(sizeof bytes, sodium_base64_VARIANT_ORIGINAL)];
	json_t *inner = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	char *text = inner ? json_dumps(inner, JSON_COMPACT | JSON_SORT_KEYS) : NULL, *out = NULL;
	if (text && json_is_object(inner)) {
		crypto_sign_seed_keypair(pub, secret, seed);
		crypto_sign_detached(bytes, NULL, (unsigned char *)text, strlen(text), secret);
		sodium_bin2base64(signature, sizeof signature, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
		json_t *file =
			json_pack("{s:O, s:s, s:s}", "certificate", inner, "officer", "o", "signature", signature);
		out = json_dumps(file, 0);
		json_decref(file);
	}
	free(text);
	json_decref(inner);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy *p;
	struct err err;
	const char *text = (const char *)data;
	size_t len = size ? strnlen(text, size) : 0;
	const char *value = text + len;
	size_t value_len = size - len;
	if (!p)
		p = policy_parse("example", policy_example(), strlen(policy_example()), &err);
	if (!p)
		abort();
	if (value_len) {
		value++;
		value_len--;
	}
	try_certificate(p, text, len, value, value_len);
	char *signed_text = sign(text, len);
	if (signed_text)
		try_certificate(p, signed_text, strlen(signed_text), value, value_len);
	free(signed_text);
	return 0;
}
