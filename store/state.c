// SPDX-License-Identifier: MIT
#include "store/state.h"

#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#define STATE_APPLICATION 0x50504353 /* "PPCS" in the file's header: tells our file from any other */
#define STATE_VERSION 1
#define STATE_STATEMENTS 32
#define STATE_BUSY_MS 250
#define STATE_DERIVED_MAX 4096

static const char schema[] =
	"CREATE TABLE states (automaton TEXT NOT NULL, owner TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT "
	"NULL,"
	" PRIMARY KEY (automaton, owner, category)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX states_owner ON states (owner, category);"
	"CREATE TABLE obligations (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, owner TEXT NOT NULL,"
	" category TEXT NOT NULL, automaton TEXT NOT NULL, event TEXT NOT NULL, actor TEXT NOT NULL, object TEXT NOT "
	"NULL,"
	" request_id TEXT NOT NULL, times INTEGER NOT NULL, created INTEGER NOT NULL, last INTEGER NOT NULL,"
	" due INTEGER NOT NULL, done INTEGER) STRICT;"
	"CREATE UNIQUE INDEX obligations_open ON obligations (kind, owner, category, automaton, event, actor, object)"
	" WHERE done IS NULL;"
	"CREATE INDEX obligations_owner ON obligations (owner);"
	"CREATE TABLE derived (object TEXT NOT NULL, automaton TEXT NOT NULL, owner TEXT NOT NULL,"
	" category TEXT NOT NULL, PRIMARY KEY (object, automaton, owner, category)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE ledger (certificate TEXT PRIMARY KEY, spent INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), writes INTEGER NOT NULL) STRICT;"
	"INSERT INTO probe VALUES (1, 0);";

struct state {
	sqlite3 *db;
	char path[320];
	bool write_failed;
	struct {
		const char *sql;
		sqlite3_stmt *s;
	} cache[STATE_STATEMENTS];
};

static int fail(struct state *s, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static int exec(struct state *s, const char *sql, struct err *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, err);
}

/* A statement with up to four texts bound, kept for the next call with the same `sql`, a string literal. */
static sqlite3_stmt *prepare(struct state *s, const char *sql, const char *const *texts, size_t n, struct err *err)
{
	size_t i = 0;
	while (i < STATE_STATEMENTS && s->cache[i].sql && s->cache[i].sql != sql)
		i++;
	if (i == STATE_STATEMENTS) {
		err_set(err, ERR_INTERNAL, "too many statements");
		return NULL;
	}
	if (!s->cache[i].sql) {
		if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->cache[i].s, NULL) != SQLITE_OK) {
			fail(s, err);
			return NULL;
		}
		s->cache[i].sql = sql;
	}
	sqlite3_stmt *st = s->cache[i].s;
	for (size_t k = 0; k < n; k++)
		sqlite3_bind_text(st, (int)k + 1, texts[k] ? texts[k] : "", -1, SQLITE_TRANSIENT);
	return st;
}

static void release(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

/* Runs a writing statement: rows changed, or -1. */
static int run(struct state *s, sqlite3_stmt *st, struct err *err)
{
	if (!st)
		return -1;
	int rc = sqlite3_step(st);
	int changed = rc == SQLITE_DONE ? sqlite3_changes(s->db) : fail(s, err);
	s->write_failed = rc != SQLITE_DONE;
	release(st);
	return changed;
}

static int number(struct state *s, const char *sql, int *out, struct err *err)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return fail(s, err);
	int rc = sqlite3_step(st) == SQLITE_ROW ? 0 : fail(s, err);
	*out = rc == 0 ? sqlite3_column_int(st, 0) : 0;
	sqlite3_finalize(st);
	return rc;
}

static int set_up(struct state *s, struct err *err)
{
	int application, version, tables;
	char mark[128];
	sqlite3_busy_timeout(s->db, STATE_BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (number(s, "PRAGMA application_id", &application, err) < 0 ||
	    number(s, "PRAGMA user_version", &version, err) < 0 ||
	    number(s, "SELECT count(*) FROM sqlite_schema", &tables, err) < 0)
		return -1;
	if (tables > 0 && application != STATE_APPLICATION)
		return err_set(err, ERR_INTERNAL, "%s is not a database of ppce-store; move it away", s->path);
	if (version > STATE_VERSION)
		return err_set(err, ERR_INTERNAL, "%s was written by a newer ppce-store; install that version",
			       s->path);
	if (exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", err) < 0)
		return -1;
	if (version == STATE_VERSION)
		return 0;
	sqlite3_snprintf(sizeof mark, mark, "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT", STATE_APPLICATION,
			 STATE_VERSION);
	if (exec(s, "BEGIN IMMEDIATE", err) < 0)
		return -1;
	if (exec(s, schema, err) == 0 && exec(s, mark, err) == 0)
		return 0;
	state_rollback(s);
	return -1;
}

struct state *state_open(const char *path, struct err *err)
{
	struct state *s = calloc(1, sizeof *s);
	if (!s) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	strncpy(s->path, path, sizeof s->path - 1);
	if (sqlite3_open_v2(path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL) == SQLITE_OK &&
	    set_up(s, err) == 0)
		return s;
	if (!s->db || sqlite3_errcode(s->db) != SQLITE_OK)
		err_set(err, ERR_UNAVAILABLE, "%s: %s", path, s->db ? sqlite3_errmsg(s->db) : "out of memory");
	state_close(s);
	return NULL;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < STATE_STATEMENTS; i++)
		sqlite3_finalize(s->cache[i].s);
	sqlite3_close(s->db);
	free(s);
}

bool state_usable(struct state *s, struct err *why)
{
	return !s->write_failed || run(s, prepare(s, "UPDATE probe SET writes = writes + 1", NULL, 0, why), why) >= 0;
}

int state_begin(struct state *s, struct err *err)
{
	return exec(s, "BEGIN IMMEDIATE", err);
}

int state_commit(struct state *s, struct err *err)
{
	if (exec(s, "COMMIT", err) == 0)
		return 0;
	s->write_failed = true;
	state_rollback(s);
	return -1;
}

void state_rollback(struct state *s)
{
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- Automata ---- */

int state_get(struct state *s, const struct automaton *a, const char *owner, const char *category, unsigned *out,
	      struct err *err)
{
	const char *key[] = { automaton_name(a), owner, category };
	sqlite3_stmt *st = prepare(s, "SELECT state FROM states WHERE automaton = ?1 AND owner = ?2 AND category = ?3",
				   key, 3, err);
	if (!st)
		return -1;
	int rc = sqlite3_step(st);
	*out = automaton_start(a);
	if (rc == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		rc = name && automaton_state_find(a, name, out)
			     ? 0
			     : err_set(err, ERR_CONFIG, "automaton %s has no state %.40s any more", automaton_name(a),
				       name ? name : "");
	} else {
		rc = rc == SQLITE_DONE ? 0 : fail(s, err);
	}
	release(st);
	return rc;
}

int state_set(struct state *s, const struct automaton *a, const char *owner, const char *category, unsigned state,
	      struct err *err)
{
	const char *row[] = { automaton_name(a), owner, category, automaton_state_name(a, state) };
	return run(s, prepare(s, "INSERT OR REPLACE INTO states VALUES (?1, ?2, ?3, ?4)", row, 4, err), err) < 0 ? -1
														 : 0;
}

int state_each_automaton(struct state *s, const char *owner, const char *category,
			 void (*each)(void *ctx, const char *automaton), void *ctx, struct err *err)
{
	const char *key[] = { owner, category };
	sqlite3_stmt *st =
		prepare(s, "SELECT DISTINCT automaton FROM states WHERE owner = ?1 AND category = ?2", key, 2, err);
	int rc = SQLITE_DONE;
	while (st && (rc = sqlite3_step(st)) == SQLITE_ROW)
		each(ctx, (const char *)sqlite3_column_text(st, 0));
	if (!st)
		return -1;
	rc = rc == SQLITE_DONE ? 0 : fail(s, err);
	release(st);
	return rc;
}

/* ---- Obligations ---- */

int state_oblige(struct state *s, const struct obligation *o, struct err *err)
{
	const char *texts[] = { o->kind,  o->owner, o->category, o->automaton,
				o->event, o->actor, o->object,	 o->request_id };
	sqlite3_stmt *st = prepare(
		s,
		"INSERT INTO obligations (kind, owner, category, automaton, event, actor, object, request_id, times,"
		" created, last, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?9, ?10)"
		" ON CONFLICT (kind, owner, category, automaton, event, actor, object) WHERE done IS NULL"
		" DO UPDATE SET times = times + 1, last = excluded.last",
		texts, 8, err);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 9, o->now);
	sqlite3_bind_int64(st, 10, o->due);
	return run(s, st, err) < 0 ? -1 : 0;
}

static const char *column(sqlite3_stmt *st, int i)
{
	const char *text = (const char *)sqlite3_column_text(st, i);
	return text ? text : "";
}

static json_t *obligation_json(sqlite3_stmt *st, int64_t now)
{
	json_t *o = json_pack(
		"{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id",
		(json_int_t)sqlite3_column_int64(st, 0), "kind", column(st, 1), "owner", column(st, 2), "category",
		column(st, 3), "automaton", column(st, 4), "event", column(st, 5), "actor", column(st, 6), "object",
		column(st, 7), "request_id", column(st, 8), "times", (json_int_t)sqlite3_column_int64(st, 9), "created",
		(json_int_t)sqlite3_column_int64(st, 10), "last", (json_int_t)sqlite3_column_int64(st, 11), "due",
		(json_int_t)sqlite3_column_int64(st, 12));
	bool done = sqlite3_column_type(st, 13) != SQLITE_NULL;
	if (o && done)
		json_object_set_new(o, "done", json_integer(sqlite3_column_int64(st, 13)));
	if (o)
		json_object_set_new(o, "overdue", json_boolean(!done && sqlite3_column_int64(st, 12) < now));
	return o;
}

json_t *state_obligations(struct state *s, const char *owner, bool overdue, int64_t now, struct err *err)
{
	sqlite3_stmt *st =
		prepare(s,
			"SELECT id, kind, owner, category, automaton, event, actor, object, request_id, times,"
			" created, last, due, done FROM obligations WHERE (?1 = '' OR owner = ?1)"
			" AND (?2 = 0 OR (done IS NULL AND due < ?3)) ORDER BY id DESC LIMIT 1000",
			&owner, 1, err);
	json_t *list = st ? json_array() : NULL;
	int rc = SQLITE_DONE;
	if (!st)
		return NULL;
	sqlite3_bind_int(st, 2, overdue);
	sqlite3_bind_int64(st, 3, now);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		json_array_append_new(list, obligation_json(st, now));
	if (rc != SQLITE_DONE) {
		fail(s, err);
		json_decref(list);
		list = NULL;
	}
	release(st);
	return list;
}

int state_oblige_done(struct state *s, int64_t id, int64_t now, struct err *err)
{
	sqlite3_stmt *st = prepare(s, "UPDATE obligations SET done = ?2 WHERE id = ?1 AND done IS NULL", NULL, 0, err);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, id);
	sqlite3_bind_int64(st, 2, now);
	int changed = run(s, st, err);
	if (changed != 0)
		return changed < 0 ? -1 : 0;
	st = prepare(s, "SELECT 1 FROM obligations WHERE id = ?1", NULL, 0, err);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, id);
	bool there = sqlite3_step(st) == SQLITE_ROW;
	release(st);
	return there ? err_set(err, ERR_CONFLICT, "obligation %lld was done before", (long long)id)
		     : err_set(err, ERR_NOT_FOUND, "there is no obligation %lld", (long long)id);
}

/* ---- Derived data ---- */

int state_add_derived(struct state *s, const char *object, const char *automaton, const char *owner,
		      const char *category, struct err *err)
{
	const char *row[] = { object, automaton, owner, category };
	return run(s, prepare(s, "INSERT OR IGNORE INTO derived VALUES (?1, ?2, ?3, ?4)", row, 4, err), err) < 0 ? -1
														 : 0;
}

static int copy_text(sqlite3_stmt *st, int i, char *out, size_t size)
{
	const char *text = column(st, i);
	if (strlen(text) >= size)
		return -1;
	strcpy(out, text);
	return 0;
}

int state_derived(struct state *s, const char *object, struct state_derived **out, size_t *n, struct err *err)
{
	sqlite3_stmt *st =
		prepare(s, "SELECT automaton, owner, category FROM derived WHERE object = ?1", &object, 1, err);
	int rc = SQLITE_DONE;
	*n = 0;
	*out = st ? calloc(STATE_DERIVED_MAX, sizeof **out) : NULL;
	if (!st)
		return -1;
	while (*out && *n < STATE_DERIVED_MAX && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct state_derived *d = &(*out)[*n];
		if (copy_text(st, 0, d->automaton, sizeof d->automaton) < 0 ||
		    copy_text(st, 1, d->owner, sizeof d->owner) < 0 ||
		    copy_text(st, 2, d->category, sizeof d->category) < 0)
			break;
		++*n;
	}
	release(st);
	if (*out && rc == SQLITE_DONE)
		return 0;
	free(*out);
	*out = NULL;
	return err_set(err, ERR_UNAVAILABLE, "%s: what %.40s was derived from cannot be read", s->path, object);
}

/* ---- Budgets ---- */

int state_spent(struct state *s, const char *certificate, uint64_t *out, struct err *err)
{
	sqlite3_stmt *st = prepare(s, "SELECT spent FROM ledger WHERE certificate = ?1", &certificate, 1, err);
	if (!st)
		return -1;
	int rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : fail(s, err);
	release(st);
	return rc;
}

int state_debit(struct state *s, const char *certificate, uint64_t amount, uint64_t budget, struct err *err)
{
	uint64_t spent;
	if (state_spent(s, certificate, &spent, err) < 0)
		return -1;
	if (spent > budget || amount > budget - spent)
		return err_set(err, ERR_FULL, "the budget is spent");
	sqlite3_stmt *st = prepare(s,
				   "INSERT INTO ledger VALUES (?1, ?2) ON CONFLICT (certificate)"
				   " DO UPDATE SET spent = spent + excluded.spent",
				   &certificate, 1, err);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 2, (sqlite3_int64)amount);
	return run(s, st, err) < 0 ? -1 : 0;
}
