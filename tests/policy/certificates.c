/* SPDX-License-Identifier: MIT */
#include "tests/policy/certificates.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/policy/labels.h"

struct policy *certificates_policy(void)
{
	return labels_policy_text("axes:\n  level: {chain: [LOW, MID, HIGH]}\n  own: {owners: [training, medical]}\n");
}

json_t *certificates_inner(void)
{
	static const char text[] =
		"{\"name\": \"team-load\", \"query\": \"team_load\", \"from\": \"level=HIGH,own=ALL\", \"to\": "
		"\"level=LOW\","
		" \"image\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
		" \"max_bytes\": 100, \"min_group\": 5,"
		" \"schema\": {\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\"}}}}";
	json_t *inner = json_loads(text, 0, NULL);
	assert_non_null(inner);
	return inner;
}

static void key_pair(unsigned char signer, unsigned char pub[crypto_sign_PUBLICKEYBYTES],
		     unsigned char secret[crypto_sign_SECRETKEYBYTES])
{
	unsigned char seed[crypto_sign_SEEDBYTES] = { 42, signer };
	crypto_sign_seed_keypair(pub, secret, seed);
}

const uint8_t *certificates_key(void)
{
	static unsigned char pub[crypto_sign_PUBLICKEYBYTES];
	unsigned char secret[crypto_sign_SECRETKEYBYTES];
	key_pair(0, pub, secret);
	return pub;
}

char *certificates_sign(json_t *inner, unsigned char signer)
{
	unsigned char pub[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES], bytes[crypto_sign_BYTES];
	char signature[sodium_base64_ENCODED_LEN(sizeof bytes, sodium_base64_VARIANT_ORIGINAL)];
	char *text = json_dumps(inner, JSON_COMPACT | JSON_SORT_KEYS);
	key_pair(signer, pub, secret);
	crypto_sign_detached(bytes, NULL, (unsigned char *)text, strlen(text), secret);
	sodium_bin2base64(signature, sizeof signature, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
	json_t *file = json_pack("{s:o, s:s, s:s}", "certificate", inner, "officer", "olga", "signature", signature);
	char *out = json_dumps(file, JSON_INDENT(2)); /* not canonical: it need not be */
	json_decref(file);
	free(text);
	return out;
}

struct certificate certificates_with_schema(const struct policy *p, const char *schema, const char *epsilon)
{
	struct certificate c;
	struct err err = { 0 };
	json_t *inner = certificates_inner(), *value = json_loads(schema, 0, NULL);
	assert_non_null(value);
	json_object_set_new(inner, "schema", value);
	json_object_set_new(inner, "max_bytes", json_integer(CERTIFICATE_BYTES_MAX));
	if (epsilon) {
		json_object_set_new(inner, "epsilon", json_string(epsilon));
		json_object_set_new(inner, "budget", json_string("1000"));
	}
	char *text = certificates_sign(inner, 0);
	if (certificate_decode(p, text, strlen(text), certificates_key(), &c, &err) < 0)
		fail_msg("%s: %s", schema, err.text);
	free(text);
	return c;
}
