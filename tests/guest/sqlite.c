/* SPDX-License-Identifier: MIT
 *
 * SQLite in memory, unchanged, in a guest: built before the snapshot, queried after it. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/paths.h"

static sqlite3 *db;

static int init(void)
{
	char *error = NULL;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		return -1;
	int r = sqlite3_exec(db,
			     "CREATE TABLE patient(id INTEGER PRIMARY KEY, name TEXT, weight REAL);"
			     "CREATE INDEX by_name ON patient(name);"
			     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000)"
			     "INSERT INTO patient SELECT i, 'p' || i, i * 0.5 FROM n",
			     NULL, NULL, &error);
	if (r != SQLITE_OK)
		ppce_log(PPCE_ERROR, "sqlite: %s", error);
	return r == SQLITE_OK ? 0 : -1;
}

static int one_value(struct ppce_response *res, const char *sql, const char *parameter)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		return ppce_reply(res, 500, "text/plain", "%s\n", sqlite3_errmsg(db));
	if (parameter)
		sqlite3_bind_text(q, 1, parameter, -1, SQLITE_STATIC);
	int r = sqlite3_step(q);
	r = r == SQLITE_ROW ? ppce_reply(res, 200, "text/plain", "%s\n", sqlite3_column_text(q, 0))
			    : ppce_reply(res, r == SQLITE_DONE ? 404 : 500, "text/plain", "%s\n", sqlite3_errmsg(db));
	sqlite3_finalize(q);
	return r;
}

static int query(const struct ppce_request *req, struct ppce_response *res)
{
	char name[32];

	if (ppce_query_get(req, "name", name, sizeof name) < 0)
		return ppce_reply(res, 400, "text/plain", "name?\n");
	return one_value(res, "SELECT weight FROM patient WHERE name = ?", name);
}

static int sum(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return one_value(res, "SELECT printf('%.2f', sum(weight)) || ' ' || count(*) FROM patient", NULL);
}

static int delete (const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	if (sqlite3_exec(db, "BEGIN; DELETE FROM patient WHERE id > 10; COMMIT; VACUUM", NULL, NULL, NULL) != SQLITE_OK)
		return ppce_reply(res, 500, "text/plain", "%s\n", sqlite3_errmsg(db));
	return ppce_reply(res, 200, "text/plain", "deleted\n");
}

static int now(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return one_value(res, "SELECT strftime('%s', 'now')", NULL);
}

static const struct test_path paths[] = {
	{ "/query", query }, { "/sum", sum }, { "/delete", delete }, { "/now", now }
};

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "sqlite", .init = init, .handle = handle, .memory_mib = 8, .warm_path = "/sum")
