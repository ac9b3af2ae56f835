// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "lib/log.h"
#include "lib/names.h"
#include "store/database.h"

#define STEPS_BETWEEN_LOOKS 2000 /* of SQLite's machine: well below a millisecond */

struct connection {
	sqlite3 *db;
	const struct queries *queries;
	struct job *job; /* running */
	bool broken;
	sqlite3_stmt *statement[];
};

/* Statements of queries.yaml read and write tables, nothing else: no other files, no settings, no transactions. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *c, const char *d)
{
	(void)ctx;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	switch (action) {
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
	case SQLITE_PRAGMA:
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT:
		return SQLITE_DENY;
	default:
		return SQLITE_OK;
	}
}

static int on_progress(void *ctx)
{
	const struct connection *c = ctx;
	return c->job && job_over(c->job);
}

/* Another program has the file: wait in small steps, so that the deadline holds here too. */
static int on_busy(void *ctx, int times)
{
	const struct connection *c = ctx;
	(void)times;
	if (!c->job || job_over(c->job))
		return 0;
	sqlite3_sleep(5);
	return 1;
}

static int set_up(struct connection *c, bool writer)
{
	sqlite3_extended_result_codes(c->db, 0);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_busy_timeout(c->db, 1000);
	int rc = SQLITE_OK;
	if (writer)
		rc = sqlite3_exec(c->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=1",
				  NULL, NULL, NULL);
	sqlite3_busy_handler(c->db, on_busy, c);
	sqlite3_progress_handler(c->db, STEPS_BETWEEN_LOOKS, on_progress, c);
	sqlite3_set_authorizer(c->db, authorize, NULL);
	return rc;
}

static void close_connection(void *connection)
{
	struct connection *c = connection;
	for (size_t i = 0; i < c->queries->n; i++)
		sqlite3_finalize(c->statement[i]);
	sqlite3_close(c->db);
	free(c);
}

static void *open_connection(const struct database_config *config, bool writer, struct err *err)
{
	struct connection *c = calloc(1, sizeof *c + (config->queries->n + 1) * sizeof(sqlite3_stmt *));
	if (!c) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	c->queries = config->queries;
	/* Readers open the file for writing too, since write-ahead logs need it, and then swear it off. */
	int flags = SQLITE_OPEN_READWRITE | (writer ? SQLITE_OPEN_CREATE : 0);
	if (sqlite3_open_v2(config->path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL) ==
		    SQLITE_OK &&
	    set_up(c, writer) == SQLITE_OK)
		return c;
	err_set(err, ERR_UNAVAILABLE, "%s: %s", config->path, c->db ? sqlite3_errmsg(c->db) : "out of memory");
	close_connection(c);
	return NULL;
}

static enum store_status status_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return STORE_CONFLICT;
	case SQLITE_INTERRUPT:
	case SQLITE_BUSY:
		return STORE_DEADLINE;
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
	case SQLITE_RANGE:
		return STORE_INVALID;
	default:
		return STORE_UNAVAILABLE;
	}
}

static enum store_status fail(struct connection *c, const struct job *job, int rc)
{
	enum store_status status = status_of(rc);
	if (status == STORE_UNAVAILABLE) /* SQLite's text can quote the data */
		log_error("query %s: %s", job->query ? job->query->name : "(probe)", sqlite3_errstr(rc));
	rc &= 0xff;
	c->broken = c->broken || rc == SQLITE_IOERR || rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ||
		    rc == SQLITE_CANTOPEN || rc == SQLITE_FULL || rc == SQLITE_READONLY;
	return status;
}

/* What is not bound by us must not be left open to be NULL: ?7, :name or @name in the operator's SQL. */
static bool parameters_ours(const struct query *q, sqlite3_stmt *s)
{
	int n = sqlite3_bind_parameter_count(s);
	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(s, i);
		if (!name || *name != '?')
			return false;
	}
	return (size_t)n == q->nrefs;
}

static sqlite3_stmt *prepare(struct connection *c, const struct query *q)
{
	sqlite3_stmt **s = &c->statement[q - c->queries->query];
	const char *tail = "";
	if (*s)
		return *s;
	int rc = sqlite3_prepare_v3(c->db, q->sql, -1, SQLITE_PREPARE_PERSISTENT, s, &tail);
	if (rc != SQLITE_OK) {
		log_error("query %s: %s", q->name, sqlite3_errmsg(c->db));
		fail(c, c->job, rc);
		return NULL;
	}
	if (!*s || *tail || !parameters_ours(q, *s)) {
		log_error("query %s: not one statement whose parameters are all $user, $1 and the like", q->name);
		sqlite3_finalize(*s);
		*s = NULL;
	}
	return *s;
}

/* Nothing is copied: the values outlive the statement's run. */
static int bind_value(sqlite3_stmt *s, int at, const struct call_value *v)
{
	switch (v->type) {
	case DATA_INT:
		return sqlite3_bind_int64(s, at, v->integer);
	case DATA_REAL:
		return sqlite3_bind_double(s, at, v->real);
	case DATA_TEXT:
		return sqlite3_bind_text64(s, at, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8);
	case DATA_BLOB:
		return sqlite3_bind_blob64(s, at, v->len ? v->bytes : "", v->len, SQLITE_STATIC);
	case DATA_NULL:
		break;
	}
	return sqlite3_bind_null(s, at);
}

static struct call_value column_value(sqlite3_stmt *s, int i)
{
	struct call_value v = { .type = DATA_NULL };
	switch (sqlite3_column_type(s, i)) {
	case SQLITE_INTEGER:
		v.type = DATA_INT;
		v.integer = sqlite3_column_int64(s, i);
		break;
	case SQLITE_FLOAT:
		v.type = DATA_REAL;
		v.real = sqlite3_column_double(s, i);
		break;
	case SQLITE_TEXT:
		v.bytes = (const char *)sqlite3_column_text(s, i);
		v.len = (size_t)sqlite3_column_bytes(s, i);
		v.type = v.bytes && !memchr(v.bytes, 0, v.len) ? DATA_TEXT : DATA_BLOB;
		break;
	case SQLITE_BLOB:
		v.type = DATA_BLOB;
		v.bytes = sqlite3_column_blob(s, i);
		v.len = (size_t)sqlite3_column_bytes(s, i);
		break;
	default:
		break;
	}
	return v;
}

static int begin_rows(sqlite3_stmt *s, struct rows *rows)
{
	const char *names[PPCE_VALUES_MAX];
	int n = sqlite3_column_count(s);
	for (int i = 0; i < n && i < PPCE_VALUES_MAX; i++) {
		names[i] = sqlite3_column_name(s, i);
		if (!names[i])
			return -1;
	}
	return rows_begin(rows, (size_t)n, names);
}

static enum store_status read_rows(struct connection *c, struct job *job, sqlite3_stmt *s)
{
	struct call_value values[PPCE_VALUES_MAX];
	int rc, n = sqlite3_column_count(s);
	if (begin_rows(s, job->rows) < 0)
		return STORE_TOO_LARGE;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			values[i] = column_value(s, i);
		if (rows_add(job->rows, values) < 0)
			return STORE_TOO_LARGE;
	}
	return rc == SQLITE_DONE ? STORE_OK : fail(c, job, rc);
}

static enum store_status write_rows(struct connection *c, struct job *job, sqlite3_stmt *s)
{
	int rc;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) /* RETURNING: a write hands no rows out */
		;
	if (rc != SQLITE_DONE)
		return fail(c, job, rc);
	int64_t n = sqlite3_stmt_readonly(s) ? 0 : sqlite3_changes64(c->db);
	job->changed = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	return STORE_OK;
}

static enum store_status probe(struct connection *c, struct job *job)
{
	int rc = sqlite3_exec(c->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	return rc == SQLITE_OK ? STORE_OK : fail(c, job, rc);
}

static bool run(void *connection, struct job *job)
{
	struct connection *c = connection;
	c->job = job;
	if (!job->query) {
		job->status = probe(c, job);
	} else {
		sqlite3_stmt *s = prepare(c, job->query);
		int rc = SQLITE_OK;
		for (size_t i = 0; s && rc == SQLITE_OK && i < job->query->nrefs; i++)
			rc = bind_value(s, (int)i + 1, &job->values[i]);
		if (!s)
			job->status = STORE_UNAVAILABLE;
		else if (rc != SQLITE_OK)
			job->status = fail(c, job, rc);
		else
			job->status = job->query->write ? write_rows(c, job, s) : read_rows(c, job, s);
		if (s) {
			sqlite3_reset(s);
			sqlite3_clear_bindings(s);
		}
	}
	c->job = NULL;
	return !c->broken;
}

const struct database_ops database_sqlite = {
	.name = "sqlite", .writers = 1, .open = open_connection, .close = close_connection, .run = run
};
