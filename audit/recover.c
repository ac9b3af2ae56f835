// SPDX-License-Identifier: MIT
//
// From the files to the state in memory. What the last checkpoint signed must be there, unchanged; behind it may stand
// whole records that were not signed yet, and after a crash part of one, which nobody was told of and which is cut off.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/auditd.h"
#include "lib/log.h"

struct recovery {
	struct note_checkpoint last;
	bool any;      /* is there one? */
	char file[64]; /* the last data file, "" if there is none */
	uint64_t end;  /* of its last whole record */
	bool torn;
};

static int make_dir(const struct auditd *d, const char *tail, struct err *err)
{
	char path[AUDIT_PATH_SIZE];
	config_path(&d->config, tail, path, sizeof path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, ERR_CONFIG, "cannot make %s", path);
	return 0;
}

/* The root of what was read so far, against the one signed at this size. */
static int compare_root(struct auditd *d, const struct recovery *r, struct err *err)
{
	struct merkle_hash root;
	if (!r->any || d->tree.size != r->last.size)
		return 0;
	tree_root(&d->tree, &root);
	if (merkle_equal(&root, &r->last.root))
		return 0;
	return err_set(err, ERR_INTERNAL,
		       "the records are not those that the last checkpoint signed (its size is %" PRIu64 ")",
		       r->last.size);
}

static int take_line(struct auditd *d, struct recovery *r, const struct audit_line *line, struct err *err)
{
	struct merkle_hash leaf;
	if (r->torn)
		return err_set(err, ERR_INTERNAL, "%s: record %" PRIu64 " has no line end, and more records follow",
			       r->file, line->seq - 1);
	memcpy(r->file, line->file, strlen(line->file) + 1);
	r->end = line->at;
	r->torn = line->torn;
	if (line->torn)
		return 0;
	r->end += line->len + 1;
	/* What a signature covers is judged by it; the rest has only its form to be judged by. */
	if (line->seq >= r->last.size) {
		json_t *record = audit_record_read(line->text, line->len, line->seq, err);
		if (!record)
			return err_prefix(err, "%s, record %" PRIu64, line->file, line->seq);
		json_decref(record);
	}
	merkle_leaf(line->text, line->len, &leaf);
	if (!tree_room(&d->tree, 1) && tree_save_full(&d->tree, err) < 0)
		return -1;
	tree_append(&d->tree, &leaf);
	return compare_root(d, r, err);
}

static int read_data(struct auditd *d, struct recovery *r, struct err *err)
{
	struct audit_line line;
	struct audit_reader *reader = audit_reader_open(d->dir, 0, err);
	if (!reader)
		return -1;
	int rc = compare_root(d, r, err), got = 0;
	while (rc == 0 && (got = audit_reader_next(reader, &line, err)) > 0)
		rc = take_line(d, r, &line, err);
	audit_reader_close(reader);
	if (rc < 0 || got < 0)
		return -1;
	if (r->any && d->tree.size < r->last.size)
		return err_set(err, ERR_INTERNAL,
			       "%" PRIu64 " records are there, but the last checkpoint signed %" PRIu64, d->tree.size,
			       r->last.size);
	return r->any || d->tree.size == 0 ? 0 : err_set(err, ERR_INTERNAL, "there are records, but no checkpoint");
}

/* Everything that can be found inconsistent, before a byte is changed. */
static int inspect(struct auditd *d, struct recovery *r, struct err *err)
{
	struct err why;
	int rc = audit_checkpoint_read(d->dir, &d->key, &r->last, NULL, &why);
	r->any = rc == 0;
	if (rc < 0 && why.kind != ERR_NOT_FOUND)
		return err_set(err, ERR_INTERNAL, "%s", why.text);
	return read_data(d, r, err);
}

static int go_on(struct auditd *d, const struct recovery *r, struct err *err)
{
	if (r->torn)
		log_warn("%s: part of a record was cut off at byte %" PRIu64 "; it was never acknowledged", r->file,
			 r->end);
	if (*r->file && data_continue(&d->data, r->file, r->end, err) < 0) {
		auditd_stop(d, STOP_HARD, err);
		return -1;
	}
	tree_clean(d->dir);
	if (checkpoint_write(d, err) < 0)
		return -1;
	if (d->tree.renewed)
		log_warn("%" PRIu64 " tiles did not fit the records and were made again", d->tree.renewed);
	return 0;
}

int recover(struct auditd *d, struct err *err)
{
	static struct recovery r;
	struct err why;
	if (make_dir(d, "log", err) < 0 || make_dir(d, "log/audit", err) < 0 || make_dir(d, "log/audit/data", err) < 0)
		return -1;
	if (checkpoint_publish_key(d, &why) < 0 || inspect(d, &r, &why) < 0) {
		log_error("the log is inconsistent, nothing is written to it: %s", why.text);
		auditd_stop(d, STOP_HARD, &why);
		return 0;
	}
	if (go_on(d, &r, &why) < 0)
		log_error("%s", why.text);
	log_info("%" PRIu64 " records", d->tree.size);
	return d->failed ? err_set(err, ERR_INTERNAL, "%s", why.text) : 0;
}
