/* SPDX-License-Identifier: MIT
 *
 * OpenSSL's libcrypto, unchanged, in a guest: known answers, and a random generator that was seeded before the snapshot
 * and must still not repeat itself in two clones. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "tests/guest/paths.h"

static EVP_PKEY *key;

static int init(void)
{
	unsigned char seed[16];

	if (RAND_bytes(seed, sizeof seed) != 1) /* seeds the generator here, before the snapshot, on purpose */
		return -1;
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return key ? 0 : -1;
}

static int hex(struct ppce_response *res, const unsigned char *data, size_t len)
{
	ppce_reply(res, 200, "text/plain", "%s", "");
	for (size_t i = 0; i < len; i++)
		ppce_printf(res, "%02x", data[i]);
	return ppce_printf(res, "\n");
}

static int failed(struct ppce_response *res)
{
	char text[200];

	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	return ppce_reply(res, 500, "text/plain", "%s\n", text);
}

static int sha256(const struct ppce_request *req, struct ppce_response *res)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len;

	if (!EVP_Q_digest(NULL, "SHA256", NULL, req->body, req->body_len, digest, &len))
		return failed(res);
	return hex(res, digest, len);
}

/* Test case 13 of the GCM specification, with a 256-bit key of zeros, a zero nonce and an empty text: only the tag. */
static int gcm(const struct ppce_request *req, struct ppce_response *res)
{
	static const unsigned char zero[32];
	unsigned char tag[16], none[16];
	int len;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, zero, zero) == 1 &&
		  EVP_EncryptFinal_ex(c, none, &len) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag) == 1;

	(void)req;
	EVP_CIPHER_CTX_free(c);
	return ok ? hex(res, tag, sizeof tag) : failed(res);
}

static int sign(const struct ppce_request *req, struct ppce_response *res)
{
	unsigned char signature[64];
	size_t len = sizeof signature;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestSign(c, signature, &len, req->body, req->body_len) == 1;

	EVP_MD_CTX_free(c);
	if (!ok)
		return failed(res);
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1 &&
	     EVP_DigestVerify(c, signature, len, req->body, req->body_len) == 1;
	signature[0] ^= 1;
	ok = ok && EVP_DigestVerify(c, signature, len, req->body, req->body_len) != 1;
	EVP_MD_CTX_free(c);
	return ppce_reply(res, ok ? 200 : 500, "text/plain", ok ? "verified\n" : "wrong\n");
}

static int random_bytes(const struct ppce_request *req, struct ppce_response *res)
{
	unsigned char out[32];

	(void)req;
	return RAND_bytes(out, sizeof out) == 1 ? hex(res, out, sizeof out) : failed(res);
}

static const struct test_path paths[] = {
	{ "/sha256", sha256 }, { "/gcm", gcm }, { "/sign", sign }, { "/random", random_bytes }
};

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "crypto", .init = init, .handle = handle, .memory_mib = 16, .warm_path = "/sha256")
