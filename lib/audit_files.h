/* SPDX-License-Identifier: MIT
 *
 * The files of the audit log (DIR/log/audit, docs/audit.md) for reading: by ppce-audit itself and by `ppce audit`, which
 * needs no daemon. Whatever stands in them is checked here or returned as it is; nothing is written.
 *
 *	data/SEQ.jsonl     records, one a line; SEQ is the first one's number in 20 digits
 *	tile/L/N[.p/W]     hashes (C2SP tlog-tiles): made from the records, for proofs
 *	checkpoint         size and root of the tree, signed
 *	key.pub            the key that signs, as a vkey line
 */
#ifndef LIB_AUDIT_FILES_H
#define LIB_AUDIT_FILES_H

#include <stdbool.h>

#include "lib/audit_record.h"
#include "lib/merkle.h"
#include "lib/note.h"

#define AUDIT_TILE_WIDTH 256u
#define AUDIT_TILE_LEVELS 8 /* of 8 levels of the tree each */
#define AUDIT_PATH_SIZE 512

/* ---- records ---- */

struct audit_line {
	const char *text; /* without its end; valid until the next call */
	size_t len;
	uint64_t seq;
	const char *file; /* "data/00000000000000000000.jsonl" */
	uint64_t at;	  /* offset in the file */
	bool torn;	  /* the file ends in it, without a line end */
};

struct audit_reader;
/* From record `from` on. NULL with err: no such directory (ERR_NOT_FOUND), or out of memory. No data at all is no error. */
struct audit_reader *audit_reader_open(const char *dir, uint64_t from, struct err *err);
/* 1 and a line; 0 at the end; -1 when a file cannot be read or does not continue the one before it. */
int audit_reader_next(struct audit_reader *r, struct audit_line *out, struct err *err);
void audit_reader_close(struct audit_reader *r);
/* Name below `dir` of the data file that starts with this record. */
void audit_data_name(uint64_t first, char out[64]);
/* The other way round; false for any other spelling. */
bool audit_data_parse(const char *name, uint64_t *first);

/* ---- tiles ---- */

/* Name below the log's directory; width AUDIT_TILE_WIDTH for a full one. */
void audit_tile_name(unsigned level, uint64_t index, unsigned width, char out[AUDIT_PATH_SIZE]);
/* The other way round; false for any other spelling. */
bool audit_tile_parse(const char *name, unsigned *level, uint64_t *index, unsigned *width);
/* Exactly `width` hashes. ERR_NOT_FOUND: no such file; ERR_INVALID: of another length. */
int audit_tile_read(const char *dir, unsigned level, uint64_t index, unsigned width, struct merkle_hash *out,
		    struct err *err);

/* ---- checkpoint ---- */

/* DIR/NAME; ERR_INVALID if it is too long. */
int audit_path(const char *dir, const char *name, char out[AUDIT_PATH_SIZE], struct err *err);

int audit_key_read(const char *dir, struct note_key *out, struct err *err);
/* `text` (may be NULL) gets the note itself. ERR_NOT_FOUND: there is none. */
int audit_checkpoint_read(const char *dir, const struct note_key *key, struct note_checkpoint *out,
			  char text[NOTE_SIZE], struct err *err);
/* A whole small file into out[size], NUL-terminated. Returns its length, -1 if it is missing or not smaller. */
int audit_file_read(const char *dir, const char *name, char *out, size_t size, struct err *err);

/* ---- proofs ---- */

/* A proof that stands for itself (docs/audit.md), checked before it is returned. New reference in *out.
 * ERR_NOT_FOUND: no such record, or no checkpoint covers it yet. */
int audit_proof_make(const char *dir, uint64_t seq, json_t **out, struct err *err);
/* Checks a proof, untrusted, against the key. 0 and the record as a new reference, or -1 with ERR_INVALID. */
int audit_proof_check(const json_t *proof, const struct note_key *key, json_t **record, struct err *err);

#endif
