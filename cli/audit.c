/* SPDX-License-Identifier: MIT
 *
 * `ppce audit tail` and `ppce audit who-saw`: looking into the log. Both read DIR/log/audit and need no running daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/audit.h"
#include "lib/names.h"

#define LINES_MAX 100000

/* ---- what both do ---- */

int audit_dir(struct cli *c, char *out, size_t size, struct err *err)
{
	struct config config;
	char path[4096];
	if (cli_path(c, "log/audit/data", path, sizeof path, err) < 0)
		return -1;
	if (access(path, F_OK) < 0) {
		if (config_load(c->dir, &config, err) < 0) /* no platform here at all */
			return -1;
		return err_set(err, ERR_NOT_FOUND, "%.300s: no audit log yet; `ppce up` starts one", path);
	}
	return cli_path(c, "log/audit", out, size, err);
}

/* Hands every record to `take`. Returns 0; -1 when lines or files are damaged, after all that could be read. */
static int each_record(const char *dir, void (*take)(void *ctx, json_t *record), void *ctx, struct err *err)
{
	struct audit_line line;
	size_t bad = 0;
	int got;
	struct audit_reader *r = audit_reader_open(dir, 0, err);
	if (!r)
		return -1;
	while ((got = audit_reader_next(r, &line, err)) > 0) {
		struct err ignored;
		json_t *record = line.torn ? NULL : audit_record_read(line.text, line.len, line.seq, &ignored);
		bad += !record && !line.torn; /* a torn one is just being written, or was never acknowledged */
		if (record)
			take(ctx, record);
		json_decref(record);
	}
	audit_reader_close(r);
	if (got < 0)
		return -1;
	return bad ? err_set(err, ERR_INTERNAL, "%zu damaged records in %.300s; `ppce audit verify` says where", bad,
			     dir)
		   : 0;
}

/* ---- tail ---- */

struct tail { /* the last `size` matching records */
	const struct cli *c;
	json_t **record;
	size_t size, next, count;
};

/* Option of the command line -> member of the record. */
static const struct {
	const char *option, *field;
} filters[] = { { "user", "actor" },	     { "app", "app" },	   { "event", "event" },
		{ "request", "request_id" }, { "label", "label" }, { "instance", "instance" } };

static bool matches(const struct cli *c, const json_t *record)
{
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
		const char *want = cli_value(c, filters[i].option);
		const char *have = json_string_value(json_object_get(record, filters[i].field));
		if (want && (!have || strcmp(want, have) != 0))
			return false;
	}
	return !cli_value(c, "refused") || json_is_false(json_object_get(record, "allowed"));
}

static void tail_take(void *ctx, json_t *record)
{
	struct tail *t = ctx;
	if (!matches(t->c, record))
		return;
	json_decref(t->record[t->next]);
	t->record[t->next] = json_incref(record);
	t->next = (t->next + 1) % t->size;
	t->count += t->count < t->size;
}

static void tail_print(const struct cli *c, const struct tail *t)
{
	static const struct cli_column columns[] = {
		{ "time", "TIME", 0 },	       { "event", "EVENT", 0 },
		{ "actor", "USER", 0 },	       { "app", "APP", 0 },
		{ "label", "LABEL", 0 },       { "allowed", "ALLOWED", 0 },
		{ "rule", "RULE", 0 },	       { "reason", "REASON", 0 },
		{ "status", "STATUS", 0 },     { "object", "OBJECT", 0 },
		{ "instance", "INSTANCE", 8 }, { "request_id", "REQUEST", 0 },
		{ "seq", "SEQ", 0 },	       { NULL, NULL, 0 },
	};
	json_t *rows = json_array();
	size_t first = t->count < t->size ? 0 : t->next;
	for (size_t i = 0; i < t->count; i++)
		json_array_append(rows, t->record[(first + i) % t->size]);
	cli_print_rows(c, rows, columns);
	json_decref(rows);
}

static int tail(struct cli *c, struct err *err)
{
	char dir[4096];
	long long lines;
	struct err none;
	if (cli_number(c, "lines", 1, LINES_MAX, 20, &lines, err) < 0)
		return -1;
	struct tail t = { .c = c, .record = calloc((size_t)lines, sizeof *t.record), .size = (size_t)lines };
	if (!t.record)
		return err_set(err, ERR_INTERNAL, "out of memory");
	int rc = audit_dir(c, dir, sizeof dir, &none);
	if (rc == 0)
		rc = each_record(dir, tail_take, &t, err);
	else if (none.kind == ERR_NOT_FOUND) /* a platform that never ran: no records */
		rc = 0;
	else if (err)
		*err = none;
	if (rc == 0 || t.count)
		tail_print(c, &t);
	for (size_t i = 0; i < t.size; i++)
		json_decref(t.record[i]);
	free(t.record);
	return rc;
}

/* ---- who-saw ---- */

struct who_saw {
	const char *owner, *from, *to;
	json_t *rows;
};

/* One of the tags "owner/category" of the list is this owner's, or the data was everybody's. */
static bool concerns(const char *owners, const char *owner)
{
	size_t len = strlen(owner);
	if (strcmp(owners, "ALL") == 0)
		return true;
	for (const char *p = owners; *p;) {
		if (strncmp(p, owner, len) == 0 && p[len] == '/')
			return true;
		p += strcspn(p, ",");
		p += *p == ',';
	}
	return false;
}

static void copy_member(json_t *row, const char *as, const json_t *record, const char *name)
{
	json_t *value = json_object_get(record, name);
	if (value)
		json_object_set(row, as, value);
}

static void who_saw_take(void *ctx, json_t *record)
{
	static const char *const same[] = { "time",	"event",  "purpose", "app",    "object", "category",
					    "owners",	"rows",	  "rule",    "reason", "seq",	 "request_id",
					    "instance", "status", "session", NULL };
	struct who_saw *w = ctx;
	const char *owners = json_string_value(json_object_get(record, "owners"));
	const char *time = json_string_value(json_object_get(record, "time"));
	/* Times compare as text; one that was given in part covers all that start with it. */
	if (!owners || !concerns(owners, w->owner) || (w->from && strcmp(time, w->from) < 0) ||
	    (w->to && strncmp(time, w->to, strlen(w->to)) > 0))
		return;
	json_t *row = json_object();
	copy_member(row, "who", record, "actor");
	copy_member(row, "role", record, "class");
	for (const char *const *m = same; *m; m++)
		copy_member(row, *m, record, *m);
	bool allowed = json_is_true(json_object_get(record, "allowed"));
	json_object_set_new(row, "outcome", json_string(allowed ? "allowed" : "refused"));
	json_array_append_new(w->rows, row);
}

/* "2025-01-31", optionally with "T09:00", "T09:00:00" and a Z, which is left out in `out`. */
static int read_date(const struct cli *c, const char *option, char out[24], const char **set, struct err *err)
{
	static const char form[] = "0000-00-00T00:00:00";
	const char *text = cli_value(c, option);
	*set = NULL;
	if (!text)
		return 0;
	size_t len = strlen(text);
	if (len > 10 && text[len - 1] == 'Z')
		len--;
	bool good = len == 10 || len == 16 || len == 19;
	for (size_t i = 0; good && i < len; i++)
		good = form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
	if (!good)
		return err_set(err, ERR_INVALID,
			       "--%s takes a date in UTC, 2025-01-31 or 2025-01-31T09:00:00Z, not `%.40s`", option,
			       text);
	memcpy(out, text, len);
	out[len] = '\0';
	*set = out;
	return 0;
}

static int who_saw(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "time", "WHEN", 19 },	 { "who", "WHO", 0 },
		{ "role", "ROLE", 0 },	 { "purpose", "PURPOSE", 0 },
		{ "app", "APP", 0 },	 { "event", "EVENT", 0 },
		{ "object", "WHAT", 0 }, { "category", "CATEGORY", 0 },
		{ "rows", "ROWS", 0 },	 { "outcome", "OUTCOME", 0 },
		{ "rule", "RULE", 0 },	 { "reason", "REASON", 0 },
		{ "seq", "SEQ", 0 },	 { NULL, NULL, 0 },
	};
	struct who_saw w = { .owner = c->args[0] };
	char dir[4096], from[24], to[24];
	if (!user_valid(w.owner))
		return err_set(err, ERR_INVALID, "`%.80s` is no name of a user", w.owner);
	if (read_date(c, "from", from, &w.from, err) < 0 || read_date(c, "to", to, &w.to, err) < 0 ||
	    audit_dir(c, dir, sizeof dir, err) < 0)
		return -1;
	w.rows = json_array();
	int rc = each_record(dir, who_saw_take, &w, err);
	cli_print_rows(c, w.rows, columns);
	if (rc == 0)
		cli_note(c, "%zu records. A proof of each: ppce audit prove SEQ", json_array_size(w.rows));
	json_decref(w.rows);
	return rc;
}

const struct cli_verb cli_audit_verbs[] = {
	{ .name = "audit tail",
	  .args = "",
	  .summary = "Show the last decisions, allowed and refused",
	  .detail = "  ppce audit tail --user ann --refused\n"
		    "  ppce audit tail --request 01HZX...      by the PPCE-Request-Id of an answer\n",
	  .options = { { "lines", "N", "so many of the last matching ones; default 20", false },
		       { "user", "NAME", "who asked", false },
		       { "app", "NAME", "which app", false },
		       { "event", "EVENT", "request, read, write, declassify, login, logout, revoke, register, ...",
			 false },
		       { "request", "ID", "one request", false },
		       { "label", "L", "exactly this label", false },
		       { "instance", "UUID", "one instance", false },
		       { "refused", NULL, "refusals only", false } },
	  .run = tail },
	{ .name = "audit who-saw",
	  .args = "OWNER",
	  .summary = "Show who got, or tried to get, what belongs to OWNER",
	  .detail = "  ppce audit who-saw p7\n"
		    "  ppce audit who-saw p7 --from 2025-01-01 --to 2025-01-31 -o json\n\n"
		    "Times are UTC; both ends are included. Refused tries are listed too.\n",
	  .options = { { "from", "DATE", "not before this day or time", false },
		       { "to", "DATE", "not after this day or time", false } },
	  .run = who_saw },
	{ .name = "audit verify",
	  .args = "",
	  .summary = "Check the whole log: every record, hash, tile and the checkpoint's signature",
	  .detail = "  ppce audit verify -C /srv/ppce\n"
		    "  ppce audit verify --key ppce-audit/0123...+89ab...+AW...     a key noted elsewhere\n"
		    "  ppce audit verify --since checkpoint.old                  is that the start of this log?\n\n"
		    "Needs no running daemon and trusts none. Exit code 1 if anything does not hold; says what and "
		    "where.\n",
	  .options = { { "key", "VKEY", "the log must be signed by this key (text, or a file with it)", false },
		       { "since", "FILE", "an older checkpoint: the log must continue it", false } },
	  .run = audit_verify },
	{ .name = "audit prove",
	  .args = "SEQ",
	  .summary = "Print a proof that record SEQ is in the log, which stands for itself",
	  .detail = "  ppce audit prove 1234 > proof.json\n",
	  .run = audit_prove },
	{ .name = "audit check-proof",
	  .args = "FILE",
	  .summary = "Check a proof; needs no platform, only the log's public key",
	  .detail = "  ppce audit check-proof proof.json --key \"$(cat key.pub)\"\n",
	  .options = { { "key", "VKEY", "the log's public key, as in log/audit/key.pub (text, or a file with it)",
			 true } },
	  .run = audit_check_proof },
	{ 0 },
};
