/* SPDX-License-Identifier: MIT
 *
 * Checkpoints and keys: their form, and every change of every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <sodium.h>

#include "lib/note.h"
#include "tests/lib/guard.h"

static struct note_key key;
static unsigned char secret[crypto_sign_SECRETKEYBYTES];
static char note[NOTE_SIZE], vkey[NOTE_VKEY_SIZE];
static size_t note_len;
static struct note_checkpoint checkpoint;

static int set_up(void **state)
{
	(void)state;
	static const unsigned char seed[crypto_sign_SEEDBYTES] = { 1, 2, 3 };
	unsigned char public[NOTE_KEY_BYTES];
	uint8_t signature[NOTE_SIGNATURE_BYTES];
	char body[NOTE_SIZE];
	crypto_sign_seed_keypair(public, secret, seed);
	note_key_make(public, &key);
	note_key_format(&key, vkey);
	checkpoint.size = 1234567890123;
	memset(&checkpoint.root, 0xfb, sizeof checkpoint.root); /* '+' and '/' in base64 */
	size_t len = note_body(&key, &checkpoint, body);
	crypto_sign_detached(signature, NULL, (unsigned char *)body, len, secret);
	note_len = note_seal(&key, &checkpoint, signature, note);
	return 0;
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct note_checkpoint got;
	struct note_key again;
	struct err err;
	assert_int_equal(note_open(&key, note, note_len, &got, &err), 0);
	assert_int_equal(got.size, checkpoint.size);
	assert_true(merkle_equal(&got.root, &checkpoint.root));
	assert_int_equal(note_key_parse(vkey, strlen(vkey), &again, &err), 0);
	assert_memory_equal(again.public, key.public, sizeof key.public);
	assert_memory_equal(again.id, key.id, sizeof key.id);
	assert_string_equal(again.name, key.name);
	assert_int_equal(strncmp(note, key.name, strlen(key.name)), 0);
	assert_int_equal(strncmp(note + strlen(key.name), "\n1234567890123\n", 15), 0);
}

/* The form is the published one: body, empty line, em dash, name, base64 of id and signature. */
static void test_form(void **state)
{
	(void)state;
	char start[NOTE_SIZE];
	const char *line = strstr(note, "\n\n");
	assert_non_null(line);
	snprintf(start, sizeof start, "\n\n\xe2\x80\x94 %s ", key.name);
	assert_int_equal(strncmp(line, start, strlen(start)), 0);
	assert_int_equal(strlen(line) - strlen(start), 92 + 1); /* 4 + 64 bytes, and the line end */
	/* SHA-256(name, '\n', 1, key), first four bytes */
	unsigned char bytes[256], hash[32];
	size_t n = strlen(key.name);
	memcpy(bytes, key.name, n);
	bytes[n] = '\n';
	bytes[n + 1] = 1;
	memcpy(bytes + n + 2, key.public, 32);
	crypto_hash_sha256(hash, bytes, n + 34);
	assert_memory_equal(hash, key.id, 4);
}

static void test_every_change_is_found(void **state)
{
	(void)state;
	struct note_checkpoint got;
	struct note_key other;
	struct err err;
	struct guard g;
	guard_init(&g);
	for (size_t i = 0; i < note_len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			char copy[NOTE_SIZE];
			memcpy(copy, note, note_len);
			copy[i] = (char)(copy[i] ^ (1 << bit));
			if (note_open(&key, guard_place(&g, copy, note_len), note_len, &got, &err) == 0)
				fail_msg("byte %zu, bit %u", i, bit);
		}
	for (size_t len = 0; len < note_len; len++)
		assert_int_equal(note_open(&key, guard_place(&g, note, len), len, &got, &err), -1);
	for (size_t i = 0; i < strlen(vkey); i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			char copy[NOTE_VKEY_SIZE];
			strcpy(copy, vkey);
			copy[i] = (char)(copy[i] ^ (1 << bit));
			assert_int_equal(
				note_key_parse(guard_place(&g, copy, strlen(vkey)), strlen(vkey), &other, &err), -1);
		}
	for (size_t len = 0; len < strlen(vkey); len++)
		assert_int_equal(note_key_parse(guard_place(&g, vkey, len), len, &other, &err), -1);
	guard_free(&g);
}

static void test_another_key(void **state)
{
	(void)state;
	struct note_checkpoint got;
	struct note_key other = key;
	struct err err;
	other.public[0] ^= 1;
	assert_int_equal(note_open(&other, note, note_len, &got, &err), -1);
	assert_non_null(strstr(err.text, "signature is wrong"));
	note_key_make(other.public, &other);
	assert_int_equal(note_open(&other, note, note_len, &got, &err), -1);
}

static void test_body(void **state)
{
	(void)state;
	struct note_checkpoint got;
	struct err err;
	char body[NOTE_SIZE];
	size_t len = note_body(&key, &checkpoint, body);
	assert_int_equal(note_body_parse(&key, body, len, &got, &err), 0);
	assert_int_equal(note_body_parse(&key, body, len - 1, &got, &err), -1);
	assert_int_equal(note_body_parse(&key, note, note_len, &got, &err), -1);
	char *size = strchr(body, '\n') + 1;
	*size = '0'; /* a leading zero, a second spelling */
	assert_int_equal(note_body_parse(&key, body, len, &got, &err), -1);
	assert_int_equal(note_body_parse(&key, "", 0, &got, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_form),
					    cmocka_unit_test(test_every_change_is_found),
					    cmocka_unit_test(test_another_key), cmocka_unit_test(test_body) };
	return cmocka_run_group_tests_name("note", tests, set_up, NULL);
}
