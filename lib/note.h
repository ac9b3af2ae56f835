/* SPDX-License-Identifier: MIT
 *
 * Checkpoints of the audit log as signed notes (C2SP signed-note and tlog-checkpoint, Ed25519), and the public key as a
 * vkey line. The log's name, which is the checkpoint's origin too, is made from its public key: two platforms never share one.
 */
#ifndef LIB_NOTE_H
#define LIB_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/merkle.h"

#define NOTE_NAME_SIZE 64
#define NOTE_VKEY_SIZE 160 /* "NAME+ID+BASE64" and NUL */
#define NOTE_SIZE 512	   /* a whole signed checkpoint and NUL */
#define NOTE_KEY_BYTES 32
#define NOTE_SIGNATURE_BYTES 64

struct note_key {
	char name[NOTE_NAME_SIZE];
	uint8_t id[4];
	uint8_t public[NOTE_KEY_BYTES];
};

struct note_checkpoint {
	uint64_t size;
	struct merkle_hash root;
};

void note_key_make(const uint8_t public[NOTE_KEY_BYTES], struct note_key *out);
/* A vkey line, with or without its line end; ERR_INVALID unless it is exactly what note_key_format() gives. */
int note_key_parse(const char *text, size_t len, struct note_key *out, struct err *err);
void note_key_format(const struct note_key *key, char out[NOTE_VKEY_SIZE]); /* without a line end */

/* What is signed: origin, size, root. Returns its length. */
size_t note_body(const struct note_key *key, const struct note_checkpoint *c, char out[NOTE_SIZE]);
int note_body_parse(const struct note_key *key, const char *text, size_t len, struct note_checkpoint *out,
		    struct err *err);
/* The body with its signature. Returns its length. */
size_t note_seal(const struct note_key *key, const struct note_checkpoint *c,
		 const uint8_t signature[NOTE_SIGNATURE_BYTES], char out[NOTE_SIZE]);
/* A signed checkpoint of exactly this key: every byte is accounted for. ERR_INVALID says what does not hold. */
int note_open(const struct note_key *key, const char *text, size_t len, struct note_checkpoint *out, struct err *err);

#endif
