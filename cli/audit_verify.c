/* SPDX-License-Identifier: MIT
 *
 * `ppce audit verify`: everything in DIR/log/audit against everything else, from the files alone. The records are read
 * and hashed first; their root must be the one that was signed; then each tile must hold the hashes that were computed.
 * The daemon may be writing meanwhile: what can be explained by a checkpoint that came in between is no problem.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/audit.h"

#define PROBLEMS_MAX 50

struct hashes { /* of one level of tiles */
	struct merkle_hash *hash;
	uint64_t n, room;
};

struct verify {
	const char *dir;
	struct note_key key;
	struct note_checkpoint at; /* the checkpoint, and since when */
	struct note_checkpoint since;
	bool has_since, known; /* known: key and checkpoint are good */
	bool data_good;	       /* the records are those that were signed */
	bool moving;	       /* the daemon has written another checkpoint meanwhile */
	char note[NOTE_SIZE];
	struct hashes level[AUDIT_TILE_LEVELS];
	json_t *files; /* [first seq, name] of each data file */
	json_t *problems, *unless_moving;
	size_t count;
};

static struct verify *walking; /* nftw() passes no context */

/* ---- findings ---- */

static void add(struct verify *v, json_t *list, const char *file, json_int_t seq, const char *fmt, va_list ap)
{
	char what[600];
	vsnprintf(what, sizeof what, fmt, ap);
	if (v->count++ >= PROBLEMS_MAX)
		return;
	json_t *row = json_pack("{s:s, s:s}", "file", file, "what", what);
	if (row && seq >= 0)
		json_object_set_new(row, "seq", json_integer(seq));
	json_array_append_new(list, row);
}

/* seq < 0: none. */
static void problem(struct verify *v, const char *file, json_int_t seq, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void problem(struct verify *v, const char *file, json_int_t seq, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(v, v->problems, file, seq, fmt, ap);
	va_end(ap);
}

/* One that a checkpoint written meanwhile would explain. */
static void doubt(struct verify *v, const char *file, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void doubt(struct verify *v, const char *file, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(v, v->unless_moving, file, -1, fmt, ap);
	va_end(ap);
}

static const char *file_of(const struct verify *v, uint64_t seq)
{
	size_t i = json_array_size(v->files);
	while (i-- > 0) {
		const json_t *pair = json_array_get(v->files, i);
		if ((uint64_t)json_integer_value(json_array_get(pair, 0)) <= seq)
			return json_string_value(json_array_get(pair, 1));
	}
	return "data";
}

/* ---- records ---- */

static int push(struct hashes *h, const struct merkle_hash *hash)
{
	if (h->n == h->room) {
		uint64_t room = h->room ? 2 * h->room : 4096;
		struct merkle_hash *more = realloc(h->hash, room * sizeof *more);
		if (!more)
			return -1;
		h->hash = more;
		h->room = room;
	}
	h->hash[h->n++] = *hash;
	return 0;
}

static int take_line(struct verify *v, const struct audit_line *line, struct err *err)
{
	struct merkle_hash leaf;
	struct err why;
	if (line->at == 0)
		json_array_append_new(v->files, json_pack("[I, s]", (json_int_t)line->seq, line->file));
	if (line->torn && line->seq >= v->at.size)
		return 0; /* being written, or a crash's: never acknowledged */
	json_t *record = audit_record_read(line->text, line->len, line->seq, &why);
	if (!record)
		problem(v, line->file, (json_int_t)line->seq, "byte %" PRIu64 ": %s", line->at, why.text);
	else if (line->torn)
		problem(v, line->file, (json_int_t)line->seq, "byte %" PRIu64 ": the line end is missing", line->at);
	json_decref(record);
	merkle_leaf(line->text, line->len, &leaf);
	return push(&v->level[0], &leaf) < 0 ? err_set(err, ERR_INTERNAL, "out of memory") : 0;
}

static int read_records(struct verify *v, struct err *err)
{
	struct audit_line line;
	struct err why;
	int got = 1, rc = 0;
	struct audit_reader *r = audit_reader_open(v->dir, 0, err);
	if (!r)
		return -1;
	while (rc == 0 && (got = audit_reader_next(r, &line, &why)) > 0)
		rc = take_line(v, &line, err);
	if (got < 0)
		problem(v, "data", (json_int_t)v->level[0].n, "%s", why.text);
	audit_reader_close(r);
	return rc;
}

/* The hashes of the levels of tiles above the records. */
static int build_levels(struct verify *v, struct err *err)
{
	for (size_t l = 0; l + 1 < AUDIT_TILE_LEVELS; l++)
		for (uint64_t i = 0; (i + 1) * AUDIT_TILE_WIDTH <= v->level[l].n; i++) {
			struct merkle_hash up;
			merkle_fold(&v->level[l].hash[i * AUDIT_TILE_WIDTH], AUDIT_TILE_WIDTH, &up);
			if (push(&v->level[l + 1], &up) < 0)
				return err_set(err, ERR_INTERNAL, "out of memory");
		}
	return 0;
}

static bool root_is(const struct verify *v, const struct note_checkpoint *c)
{
	struct merkle_hash root;
	struct err err;
	if (c->size == 0)
		return merkle_root(0, &(struct merkle_source){ 0 }, &root, &err) == 0 && merkle_equal(&root, &c->root);
	merkle_fold(v->level[0].hash, c->size, &root);
	return merkle_equal(&root, &c->root);
}

/* ---- checkpoint ---- */

static void read_checkpoint(struct verify *v, const char *wanted, const struct note_key *key)
{
	struct err why;
	v->known = false;
	if (audit_key_read(v->dir, &v->key, &why) < 0) {
		problem(v, "key.pub", -1, "%s", why.text);
		if (!wanted)
			return;
	} else if (wanted && memcmp(v->key.public, key->public, sizeof key->public) != 0) {
		problem(v, "key.pub", -1, "it is not the key that was given");
	}
	if (wanted)
		v->key = *key;
	if (audit_checkpoint_read(v->dir, &v->key, &v->at, v->note, &why) < 0) {
		problem(v, "checkpoint", -1, "%s", why.text);
		memset(&v->at, 0, sizeof v->at);
		return;
	}
	v->known = true;
}

static void check_root(struct verify *v)
{
	if (!v->known)
		return;
	if (v->level[0].n < v->at.size)
		problem(v, "data", (json_int_t)v->level[0].n,
			"%" PRIu64 " records are there, but the checkpoint signs %" PRIu64, v->level[0].n, v->at.size);
	else if (root_is(v, &v->at))
		v->data_good = true;
	else
		problem(v, "data", -1, "the records are not those that the checkpoint signs");
	if (v->has_since && (v->level[0].n < v->since.size || !root_is(v, &v->since)))
		problem(v, "data", -1, "the log does not continue the older checkpoint (of %" PRIu64 " records)",
			v->since.size);
}

/* Has the daemon gone on since we began? */
static void look_again(struct verify *v)
{
	char note[NOTE_SIZE];
	struct note_checkpoint at;
	struct err why;
	v->moving = v->known && audit_checkpoint_read(v->dir, &v->key, &at, note, &why) == 0 && at.size > v->at.size &&
		    strcmp(note, v->note) != 0;
}

/* ---- tiles ---- */

static void compare_tile(struct verify *v, const char *name, unsigned level, uint64_t index, unsigned width)
{
	struct merkle_hash tile[AUDIT_TILE_WIDTH];
	const struct hashes *known = &v->level[level];
	uint64_t first = index * AUDIT_TILE_WIDTH;
	struct err why;
	if (audit_tile_read(v->dir, level, index, width, tile, &why) < 0) {
		if (why.kind !=
		    ERR_NOT_FOUND) /* a partial one may be replaced meanwhile; missing ones are looked for below */
			problem(v, name, -1, "%s", why.text);
		return;
	}
	if (first + width > known->n)
		doubt(v, name, "there are no records for its hashes");
	for (unsigned i = 0; i < width && first + i < known->n; i++) {
		uint64_t seq = first + i;
		if (merkle_equal(&tile[i], &known->hash[first + i]))
			continue;
		if (v->data_good || level > 0 || !v->known)
			problem(v, name, -1, "hash %u is not that of the records", i);
		else
			problem(v, file_of(v, seq), (json_int_t)seq, "the record is not the one in %s", name);
		return;
	}
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *where)
{
	struct verify *v = walking;
	const char *name = path + strlen(v->dir) + 1;
	unsigned level, width;
	uint64_t index;
	size_t len = strlen(path);
	(void)st;
	(void)where;
	if (type == FTW_D || type == FTW_NS || (type == FTW_F && len > 4 && strcmp(path + len - 4, ".new") == 0))
		return 0; /* .new: being written, or left by a crash; removed at the next start */
	if (type == FTW_F && audit_tile_parse(name, &level, &index, &width))
		compare_tile(v, name, level, index, width);
	else if (type != FTW_F ||
		 (strcmp(name, "checkpoint") != 0 && strcmp(name, "key.pub") != 0 && !audit_data_parse(name, &index)))
		problem(v, name, -1, "not a file of the log");
	return 0;
}

static bool exists(const struct verify *v, const char *name)
{
	char path[AUDIT_PATH_SIZE];
	struct err err;
	return audit_path(v->dir, name, path, &err) == 0 && access(path, F_OK) == 0;
}

/* All tiles that the signed size calls for. */
static void look_for_tiles(struct verify *v)
{
	char name[AUDIT_PATH_SIZE];
	for (unsigned l = 0; l < AUDIT_TILE_LEVELS; l++) {
		uint64_t hashes = v->at.size >> (8 * l), full = hashes / AUDIT_TILE_WIDTH;
		unsigned rest = (unsigned)(hashes % AUDIT_TILE_WIDTH);
		for (uint64_t i = 0; i < full; i++) {
			audit_tile_name(l, i, AUDIT_TILE_WIDTH, name);
			if (!exists(v, name))
				problem(v, name, -1, "missing");
		}
		audit_tile_name(l, full, rest, name);
		if (rest && !exists(v, name))
			doubt(v, name, "missing");
	}
}

static int check_files(struct verify *v, struct err *err)
{
	walking = v;
	if (nftw(v->dir, visit, 16, FTW_PHYS) < 0)
		return err_errno(err, ERR_INTERNAL, "%.300s", v->dir);
	if (v->known)
		look_for_tiles(v);
	return 0;
}

/* ---- the verb ---- */

static int read_since(struct verify *v, const char *file, struct err *err)
{
	char text[NOTE_SIZE];
	FILE *f = fopen(file, "re");
	if (!f)
		return err_errno(err, ERR_NOT_FOUND, "%.300s", file);
	size_t n = fread(text, 1, sizeof text, f);
	fclose(f);
	v->has_since = true;
	return note_open(&v->key, text, n, &v->since, err) < 0 ? err_prefix(err, "%.300s", file) : 0;
}

static int check_all(struct cli *c, struct verify *v, struct err *err)
{
	const char *wanted = cli_value(c, "key"), *since = cli_value(c, "since");
	struct note_key key = { 0 };
	if (wanted && audit_key_option(wanted, &key, err) < 0)
		return -1;
	read_checkpoint(v, wanted, &key);
	if (since && read_since(v, since, err) < 0)
		return -1;
	if (read_records(v, err) < 0 || build_levels(v, err) < 0)
		return -1;
	check_root(v);
	if (check_files(v, err) < 0)
		return -1;
	look_again(v);
	if (!v->moving)
		json_array_extend(v->problems, v->unless_moving);
	return 0;
}

static void report(const struct cli *c, const struct verify *v)
{
	static const struct cli_column columns[] = {
		{ "file", "FILE", 0 }, { "seq", "SEQ", 0 }, { "what", "PROBLEM", 0 }, { NULL, NULL, 0 }
	};
	bool ok = json_array_size(v->problems) == 0;
	if (!c->json) {
		if (ok)
			printf("ok: %" PRIu64 " records, %" PRIu64 " of them signed by %s\n", v->level[0].n, v->at.size,
			       v->key.name);
		else
			cli_print_rows(c, v->problems, columns);
		return;
	}
	json_t *whole = json_pack("{s:b, s:I, s:I, s:s, s:O}", "ok", ok, "records", (json_int_t)v->level[0].n, "signed",
				  (json_int_t)v->at.size, "log", v->known ? v->key.name : "", "problems", v->problems);
	cli_print_json(whole);
	json_decref(whole);
}

int audit_verify(struct cli *c, struct err *err)
{
	char dir[AUDIT_PATH_SIZE];
	struct verify v = {
		.dir = dir, .files = json_array(), .problems = json_array(), .unless_moving = json_array()
	};
	int rc = audit_dir(c, dir, sizeof dir, err);
	if (rc == 0)
		rc = check_all(c, &v, err);
	if (rc == 0) {
		report(c, &v);
		size_t n = json_array_size(v.problems);
		if (n)
			rc = err_set(err, ERR_INTERNAL, "the audit log does not hold: %zu problem%s", n,
				     n == 1 ? "" : "s");
	}
	for (size_t l = 0; l < AUDIT_TILE_LEVELS; l++)
		free(v.level[l].hash);
	json_decref(v.files);
	json_decref(v.problems);
	json_decref(v.unless_moving);
	return rc;
}
