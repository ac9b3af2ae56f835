/* SPDX-License-Identifier: MIT
 *
 * The one SQLite file of auth (DIR/state/auth.db): opening, schema, statements, and SQLite's faults as struct err. Used
 * from the loop's thread only. Write-ahead log with synchronous=FULL: what was committed survives kill -9 and power loss.
 *
 * Faults of the file (disk full, read-only, damaged, I/O) are ERR_UNAVAILABLE and never end the daemon; db_usable()
 * reports them until a write works again.
 */
#ifndef AUTH_DB_H
#define AUTH_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

#include "lib/err.h"

struct db;

/* Opens or makes the file, brings its schema up to date and checks its integrity. A file with a newer schema, or one
 * that isn't ours, is refused and not touched. */
struct db *db_open(const char *path, struct err *err);
void db_close(struct db *db);

/* A prepared statement, kept for the next call with the same `sql`, which must be a string literal. NULL on failure. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql, struct err *err);

/* Fetches a row: 1 when there is one, 0 at the end, -1 on failure. After 1 the caller reads it and calls db_release(). */
int db_fetch(struct db *db, sqlite3_stmt *s, struct err *err);
void db_release(sqlite3_stmt *s); /* resets and unbinds; also after 0 and -1 when it was called already: harmless */

/* Runs a statement that writes. Returns the number of changed rows, or -1; ERR_CONFLICT when a unique value exists. */
int db_run(struct db *db, sqlite3_stmt *s, struct err *err);

int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err); /* rolled back when it fails */
void db_rollback(struct db *db);

void db_bind_text(sqlite3_stmt *s, int at, const char *text);	      /* copied; "" stays "" */
void db_bind_text_or_null(sqlite3_stmt *s, int at, const char *text); /* "" becomes NULL */
/* Column as text into out; NULL gives "". -1 (ERR_INTERNAL) if it does not fit: never cut. */
int db_text(sqlite3_stmt *s, int column, char *out, size_t size, struct err *err);

/* The epoch of clearances: raised in the same transaction as every change that takes something from somebody. */
int db_epoch(struct db *db, uint64_t *out, struct err *err);
int db_raise_epoch(struct db *db, struct err *err);

/* Is the file readable, and writable as far as we know? Tries a write when the last one failed. */
bool db_usable(struct db *db, struct err *why);

#endif
