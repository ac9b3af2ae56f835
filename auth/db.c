// SPDX-License-Identifier: MIT
#include "auth/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"

#define DB_APPLICATION 0x50504341 /* "PPCA" in the file's header: tells our file from any other */
#define DB_VERSION 2
#define DB_STATEMENTS 96
#define DB_BUSY_MS 250 /* somebody makes a backup; the loop's thread must not stand still for longer */

static const char schema_1[] =
	"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, class TEXT,"
	" clearance TEXT, created INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;"
	"CREATE TABLE sessions (token_hash BLOB PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,"
	" user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE, floor TEXT NOT NULL, ceiling TEXT NOT NULL,"
	" purpose TEXT NOT NULL, address TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE INDEX sessions_user ON sessions (user);"
	"CREATE INDEX sessions_expires ON sessions (expires);"
	"CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), writes INTEGER NOT NULL) STRICT;"
	"INSERT INTO probe VALUES (1, 0);";

/* `ended` 0: the grant lives. A break-glass that has ended stays until it was reviewed. */
static const char schema_2[] =
	"CREATE TABLE grants (id TEXT PRIMARY KEY, owner TEXT NOT NULL, category TEXT NOT NULL, grantee TEXT NOT NULL,"
	" purpose TEXT NOT NULL, kind INTEGER NOT NULL, reason TEXT NOT NULL, actor TEXT NOT NULL,"
	" created INTEGER NOT NULL, until INTEGER NOT NULL, ended INTEGER NOT NULL, reviewed INTEGER NOT NULL,"
	" reviewer TEXT NOT NULL) STRICT;"
	"CREATE INDEX grants_grantee ON grants (grantee);"
	"CREATE INDEX grants_owner ON grants (owner);"
	"CREATE INDEX grants_until ON grants (until) WHERE ended = 0 AND until > 0;"
	"CREATE INDEX users_class ON users (class);"
	"CREATE TABLE epoch (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL) STRICT;"
	"INSERT INTO epoch VALUES (1, 1);"
	"CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL) STRICT;";

static const char *const schemas[DB_VERSION] = { schema_1, schema_2 };

struct db {
	sqlite3 *handle;
	char path[320];
	bool write_failed;
	struct {
		const char *sql;
		sqlite3_stmt *s;
	} cache[DB_STATEMENTS];
};

static int db_fail(struct db *db, struct err *err)
{
	const char *what = sqlite3_errmsg(db->handle);

	switch (sqlite3_errcode(db->handle) & 0xff) {
	case SQLITE_FULL:
		return err_set(err, ERR_UNAVAILABLE, "%s: the disk is full; free some space", db->path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return err_set(err, ERR_UNAVAILABLE, "%s: %s; check its owner, its mode and the file system", db->path,
			       what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(err, ERR_UNAVAILABLE, "%s is damaged (%s); restore it from a backup", db->path, what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_UNAVAILABLE, "%s is locked by another program; try again", db->path);
	case SQLITE_IOERR:
		return err_set(err, ERR_UNAVAILABLE, "%s: %s; check the disk", db->path, what);
	case SQLITE_CONSTRAINT:
		return err_set(err, ERR_CONFLICT, "it exists already");
	default:
		return err_set(err, ERR_INTERNAL, "%s: %s", db->path, what);
	}
}

static int db_exec(struct db *db, const char *sql, struct err *err)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, err);
	return 0;
}

/* A PRAGMA's single integer. */
static int db_number(struct db *db, const char *sql, int *out, struct err *err)
{
	sqlite3_stmt *s;
	int rc = -1;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL) != SQLITE_OK)
		return db_fail(db, err);
	if (sqlite3_step(s) == SQLITE_ROW) {
		*out = sqlite3_column_int(s, 0);
		rc = 0;
	} else {
		db_fail(db, err);
	}
	sqlite3_finalize(s);
	return rc;
}

/* Is the file empty or ours, and of a version that we know? Reads only: another program's file stays as it is. */
static int db_check_ours(struct db *db, int *version, struct err *err)
{
	int application, tables;

	if (db_number(db, "PRAGMA application_id", &application, err) ||
	    db_number(db, "PRAGMA user_version", version, err) ||
	    db_number(db, "SELECT count(*) FROM sqlite_schema", &tables, err))
		return -1;
	if (tables > 0 && application != DB_APPLICATION)
		return err_set(err, ERR_INTERNAL, "%s is not a database of ppce-auth; move it away", db->path);
	if (*version > DB_VERSION)
		return err_set(err, ERR_INTERNAL,
			       "%s was written by a newer ppce-auth (schema %d, this one knows %d); "
			       "install that version",
			       db->path, *version, DB_VERSION);
	return 0;
}

static int db_migrate(struct db *db, int version, struct err *err)
{
	char mark[128];

	if (version == DB_VERSION)
		return 0;
	sqlite3_snprintf(sizeof mark, mark, "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT", DB_APPLICATION,
			 DB_VERSION);
	if (db_exec(db, "BEGIN IMMEDIATE", err))
		return -1;
	while (version < DB_VERSION && !db_exec(db, schemas[version], err))
		version++;
	if (version < DB_VERSION || db_exec(db, mark, err)) {
		db_rollback(db);
		return -1;
	}
	return 0;
}

static int db_check_integrity(struct db *db, struct err *err)
{
	sqlite3_stmt *s;
	int rc = 0;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK)
		return db_fail(db, err);
	if (sqlite3_step(s) != SQLITE_ROW) {
		rc = db_fail(db, err);
	} else {
		const char *text = (const char *)sqlite3_column_text(s, 0);

		if (!text || strcmp(text, "ok"))
			rc = err_set(err, ERR_UNAVAILABLE, "%s is damaged (%s); restore it from a backup", db->path,
				     text ? text : "no answer");
	}
	sqlite3_finalize(s);
	return rc;
}

static int db_set_up(struct db *db, struct err *err)
{
	int version;

	sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	sqlite3_extended_result_codes(db->handle, 0);
	/* The file is ours, but a damaged or swapped one must not reach SQLite's riskier features. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (db_check_ours(db, &version, err))
		return -1;
	if (db_exec(db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
		    "PRAGMA secure_delete=ON; PRAGMA cell_size_check=ON",
		    err))
		return -1;
	if (sqlite3_db_readonly(db->handle, "main"))
		return err_set(err, ERR_UNAVAILABLE,
			       "%s cannot be written; check its owner, its mode and the file system", db->path);
	if (db_check_integrity(db, err))
		return -1;
	return db_migrate(db, version, err);
}

struct db *db_open(const char *path, struct err *err)
{
	struct db *db = calloc(1, sizeof *db);
	mode_t mask = umask(077);
	int rc;

	if (!db) {
		umask(mask);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	sqlite3_snprintf(sizeof db->path, db->path, "%s", path);
	rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (!db->handle)
		err_set(err, ERR_INTERNAL, "out of memory");
	else if (rc != SQLITE_OK)
		db_fail(db, err);
	else if (!db_set_up(db, err)) {
		umask(mask);
		return db;
	}
	umask(mask);
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (size_t i = 0; i < DB_STATEMENTS; i++)
		sqlite3_finalize(db->cache[i].s);
	sqlite3_close(db->handle);
	free(db);
}

sqlite3_stmt *db_prepare(struct db *db, const char *sql, struct err *err)
{
	size_t i = 0;

	while (i < DB_STATEMENTS && db->cache[i].sql && db->cache[i].sql != sql)
		i++;
	if (i == DB_STATEMENTS) {
		err_set(err, ERR_INTERNAL, "too many statements");
		return NULL;
	}
	if (db->cache[i].s)
		return db->cache[i].s;
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->cache[i].s, NULL) != SQLITE_OK) {
		db_fail(db, err);
		return NULL;
	}
	db->cache[i].sql = sql;
	return db->cache[i].s;
}

int db_fetch(struct db *db, sqlite3_stmt *s, struct err *err)
{
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		db_fail(db, err);
	db_release(s);
	return rc == SQLITE_DONE ? 0 : -1;
}

void db_release(sqlite3_stmt *s)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

int db_run(struct db *db, sqlite3_stmt *s, struct err *err)
{
	int rc = sqlite3_step(s);

	if (rc == SQLITE_DONE) {
		db->write_failed = false;
	} else {
		db_fail(db, err);
		if ((rc & 0xff) != SQLITE_CONSTRAINT)
			db->write_failed = true;
	}
	db_release(s);
	return rc == SQLITE_DONE ? sqlite3_changes(db->handle) : -1;
}

int db_begin(struct db *db, struct err *err)
{
	return db_exec(db, "BEGIN IMMEDIATE", err);
}

int db_commit(struct db *db, struct err *err)
{
	if (!db_exec(db, "COMMIT", err))
		return 0;
	db->write_failed = true;
	db_rollback(db);
	return -1;
}

void db_rollback(struct db *db)
{
	/* SQLite ends the transaction itself after some faults; a second ROLLBACK would only report that. */
	if (!sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

void db_bind_text(sqlite3_stmt *s, int at, const char *text)
{
	sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
}

void db_bind_text_or_null(sqlite3_stmt *s, int at, const char *text)
{
	if (*text)
		db_bind_text(s, at, text);
	else
		sqlite3_bind_null(s, at);
}

int db_text(sqlite3_stmt *s, int column, char *out, size_t size, struct err *err)
{
	const char *text = (const char *)sqlite3_column_text(s, column);
	size_t len = text ? (size_t)sqlite3_column_bytes(s, column) : 0;

	if (len >= size || (text && memchr(text, 0, len)))
		return err_set(err, ERR_INTERNAL,
			       "a text in the database is too long or has a NUL: it was changed by hand");
	if (len)
		memcpy(out, text, len);
	out[len] = 0;
	return 0;
}

int db_epoch(struct db *db, uint64_t *out, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT value FROM epoch", err);
	int rc = s ? db_fetch(db, s, err) : -1;

	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(err, ERR_INTERNAL, "the epoch is missing in the database: it was changed by hand");
	*out = (uint64_t)sqlite3_column_int64(s, 0);
	db_release(s);
	return 0;
}

int db_raise_epoch(struct db *db, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "UPDATE epoch SET value = value + 1", err);

	return s && db_run(db, s, err) >= 0 ? 0 : -1;
}

bool db_usable(struct db *db, struct err *why)
{
	sqlite3_stmt *s =
		db_prepare(db, "SELECT (SELECT count(*) FROM probe) + (SELECT max(id) FROM users LIMIT 1)", why);
	int rc;

	if (!s)
		return false;
	rc = db_fetch(db, s, why);
	if (rc < 0)
		return false;
	db_release(s);
	if (!db->write_failed)
		return true;
	s = db_prepare(db, "UPDATE probe SET writes = writes + 1", why);
	return s && db_run(db, s, why) >= 0;
}
