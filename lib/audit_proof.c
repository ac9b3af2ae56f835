/* SPDX-License-Identifier: MIT
 *
 * Inclusion proofs from the files alone: the hashes come from the tiles of the signed size.
 */
#include <inttypes.h>
#include <string.h>

#include <sodium.h>

#include "lib/audit_files.h"
#include "lib/rest.h"

#define FORMAT "ppce-audit-proof/1"
#define BASE64 sodium_base64_VARIANT_ORIGINAL

struct tiles {
	const char *dir;
	uint64_t size;
};

/* The part of a tile that a tree of this size fills. */
static unsigned tile_width(uint64_t size, unsigned level, uint64_t index)
{
	uint64_t hashes = size >> (8 * level), from = index * AUDIT_TILE_WIDTH;
	return hashes - from < AUDIT_TILE_WIDTH ? (unsigned)(hashes - from) : AUDIT_TILE_WIDTH;
}

static int fetch(void *ctx, unsigned level, uint64_t index, struct merkle_hash *out, struct err *err)
{
	const struct tiles *t = ctx;
	struct merkle_hash tile[AUDIT_TILE_WIDTH];
	uint64_t first = index << (level % 8);
	uint64_t n = first / AUDIT_TILE_WIDTH;
	unsigned width = tile_width(t->size, level / 8, n);
	if (level / 8 >= AUDIT_TILE_LEVELS)
		return err_set(err, ERR_INTERNAL, "the tree is too high");
	if (audit_tile_read(t->dir, level / 8, n, width, tile, err) < 0 &&
	    (width == AUDIT_TILE_WIDTH || audit_tile_read(t->dir, level / 8, n, AUDIT_TILE_WIDTH, tile, err) < 0))
		return -1;
	merkle_fold(&tile[first % AUDIT_TILE_WIDTH], (size_t)1 << (level % 8), out);
	return 0;
}

static int read_record(const char *dir, uint64_t seq, json_t **out, struct err *err)
{
	struct audit_line line;
	struct audit_reader *r = audit_reader_open(dir, seq, err);
	if (!r)
		return -1;
	int got = audit_reader_next(r, &line, err);
	*out = got > 0 ? json_stringn(line.text, line.len) : NULL;
	audit_reader_close(r);
	if (got == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no record %" PRIu64, seq);
	return *out ? 0 : got < 0 ? -1 : err_set(err, ERR_INVALID, "record %" PRIu64 " is no text", seq);
}

static json_t *encode_hashes(const struct merkle_hash *hash, size_t n)
{
	json_t *list = json_array();
	char text[64];
	for (size_t i = 0; i < n; i++) {
		sodium_bin2base64(text, sizeof text, hash[i].byte, MERKLE_BYTES, BASE64);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

int audit_proof_make(const char *dir, uint64_t seq, json_t **out, struct err *err)
{
	struct note_key key;
	struct note_checkpoint at;
	struct merkle_hash hash[MERKLE_PROOF_MAX];
	char note[NOTE_SIZE];
	size_t n;
	json_t *record, *checked;

	*out = NULL;
	if (audit_key_read(dir, &key, err) < 0 || audit_checkpoint_read(dir, &key, &at, note, err) < 0)
		return -1;
	if (seq >= at.size)
		return err_set(err, ERR_NOT_FOUND,
			       "no checkpoint covers a record %" PRIu64 "; the last one covers %" PRIu64, seq, at.size);
	struct tiles tiles = { dir, at.size };
	struct merkle_source source = { fetch, &tiles };
	if (merkle_prove(seq, at.size, &source, hash, &n, err) < 0 || read_record(dir, seq, &record, err) < 0)
		return -1;
	*out = json_pack("{s:s, s:o, s:I, s:I, s:o, s:s}", "format", FORMAT, "record", record, "index", (json_int_t)seq,
			 "size", (json_int_t)at.size, "hashes", encode_hashes(hash, n), "checkpoint", note);
	if (!*out)
		return err_set(err, ERR_INTERNAL, "out of memory");
	if (audit_proof_check(*out, &key, &checked, err) == 0) {
		json_decref(checked);
		return 0;
	}
	json_decref(*out);
	*out = NULL;
	err->kind = ERR_INTERNAL;
	return err_prefix(err, "the log is damaged (`ppce audit verify` says where)");
}

/* ---- checking ---- */

struct proof {
	const char *record, *note;
	size_t record_len;
	uint64_t index, size;
	struct merkle_hash hash[MERKLE_PROOF_MAX];
	size_t n;
};

static int decode_hashes(const json_t *list, struct proof *out)
{
	out->n = json_array_size(list);
	if (!json_is_array(list) || out->n > MERKLE_PROOF_MAX)
		return -1;
	for (size_t i = 0; i < out->n; i++) {
		const json_t *text = json_array_get(list, i);
		size_t len = 0;
		if (!json_is_string(text) || sodium_base642bin(out->hash[i].byte, MERKLE_BYTES, json_string_value(text),
							       json_string_length(text), NULL, &len, NULL, BASE64) < 0)
			return -1;
		if (len != MERKLE_BYTES)
			return -1;
	}
	return 0;
}

static int proof_decode(const json_t *json, struct proof *out, struct err *err)
{
	const json_t *index = json_object_get(json, "index"), *size = json_object_get(json, "size");
	const json_t *record = json_object_get(json, "record"), *note = json_object_get(json, "checkpoint");
	const char *format = json_string_value(json_object_get(json, "format"));
	if (!format || strcmp(format, FORMAT) != 0)
		return err_set(err, ERR_INVALID, "not a proof (format " FORMAT ")");
	if (!json_is_integer(index) || !json_is_integer(size) || json_integer_value(index) < 0 ||
	    json_integer_value(size) < 0 || !json_is_string(record) || !json_is_string(note) ||
	    decode_hashes(json_object_get(json, "hashes"), out) < 0)
		return err_set(err, ERR_INVALID, "the proof is incomplete");
	out->record = json_string_value(record);
	out->record_len = json_string_length(record);
	out->note = json_string_value(note);
	out->index = (uint64_t)json_integer_value(index);
	out->size = (uint64_t)json_integer_value(size);
	return 0;
}

int audit_proof_check(const json_t *json, const struct note_key *key, json_t **record, struct err *err)
{
	struct proof p;
	struct note_checkpoint at;
	struct merkle_hash leaf;
	*record = NULL;
	if (proof_decode(json, &p, err) < 0 || note_open(key, p.note, strlen(p.note), &at, err) < 0)
		return -1;
	if (at.size != p.size)
		return err_set(err, ERR_INVALID, "the checkpoint is of another size than the proof");
	merkle_leaf(p.record, p.record_len, &leaf);
	if (!merkle_check(&leaf, p.index, p.size, p.hash, p.n, &at.root))
		return err_set(err, ERR_INVALID, "the record is not in the log that the checkpoint signs");
	*record = audit_record_read(p.record, p.record_len, p.index, err);
	return *record ? 0 : -1;
}
