/* SPDX-License-Identifier: MIT */
#include "vmmd/state.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"

#define STATE_VERSION 3

struct state {
	sqlite3 *db;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS images (name TEXT PRIMARY KEY, digest TEXT NOT NULL, label TEXT NOT NULL,"
	" added INTEGER NOT NULL, bytes INTEGER NOT NULL, manifest_name TEXT NOT NULL, memory_mib INTEGER NOT NULL,"
	" request_kib INTEGER NOT NULL, response_kib INTEGER NOT NULL, queries TEXT NOT NULL DEFAULT '',"
	" network INTEGER NOT NULL DEFAULT 0, kind INTEGER NOT NULL DEFAULT 0, device TEXT NOT NULL DEFAULT '')"
	" STRICT;"
	"CREATE TABLE IF NOT EXISTS apps (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (name),"
	" lifetime INTEGER NOT NULL, discard INTEGER NOT NULL, max_instances INTEGER NOT NULL, idle_s INTEGER NOT NULL,"
	" max_age_s INTEGER NOT NULL, max_requests INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,"
	" transport INTEGER NOT NULL DEFAULT 0, port INTEGER NOT NULL DEFAULT 0, sinks TEXT NOT NULL DEFAULT '',"
	" boot INTEGER NOT NULL DEFAULT 0, no_shells INTEGER NOT NULL DEFAULT 0, no_taps INTEGER NOT NULL DEFAULT 0,"
	" args TEXT NOT NULL DEFAULT '') STRICT;"
	"CREATE TABLE IF NOT EXISTS pools (app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,"
	" label TEXT NOT NULL, owner TEXT NOT NULL, warm INTEGER NOT NULL, PRIMARY KEY (app, label, owner)) STRICT;"
	"PRAGMA user_version = 3;";

/* Version 1 knew no queries. Its images were built for an older ABI and have to be added again anyway. */
static const char upgrade_1[] = "ALTER TABLE images ADD COLUMN queries TEXT NOT NULL DEFAULT ''";

/* Version 2 knew no networks and no pools: its apps go on over channels, and whether an image can use a network is seen
 * when it is booted after the start. */
static const char upgrade_2[] = "ALTER TABLE images ADD COLUMN network INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE images ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE images ADD COLUMN device TEXT NOT NULL DEFAULT '';"
				"ALTER TABLE apps ADD COLUMN args TEXT NOT NULL DEFAULT '';"
				"ALTER TABLE apps ADD COLUMN transport INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE apps ADD COLUMN port INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE apps ADD COLUMN sinks TEXT NOT NULL DEFAULT '';"
				"ALTER TABLE apps ADD COLUMN boot INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE apps ADD COLUMN no_shells INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE apps ADD COLUMN no_taps INTEGER NOT NULL DEFAULT 0;";

static int fault(struct state *s, struct err *err, const char *what)
{
	return err_set(err, ERR_INTERNAL, "the database: %s: %s", what, sqlite3_errmsg(s->db));
}

static int read_version(struct state *s, int *version, struct err *err)
{
	sqlite3_stmt *q = NULL;
	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_finalize(q);
		return fault(s, err, "cannot be read");
	}
	*version = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return 0;
}

/* From each version to the next; 0 is a new file. */
static int upgrade(struct state *s, int version, struct err *err)
{
	static const char *const steps[STATE_VERSION] = { [1] = upgrade_1, [2] = upgrade_2 };
	for (; version > 0 && version < STATE_VERSION; version++)
		if (sqlite3_exec(s->db, steps[version], NULL, NULL, NULL) != SQLITE_OK)
			return fault(s, err, "its tables cannot be brought up to date");
	return 0;
}

static int prepare_schema(struct state *s, struct err *err)
{
	int version = 0;
	if (read_version(s, &version, err) < 0)
		return -1;
	if (version > STATE_VERSION)
		return err_set(err, ERR_CONFIG,
			       "the database was made by a newer version of PPCE (format %d, known: %d)", version,
			       STATE_VERSION);
	if (sqlite3_exec(s->db,
			 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			 "BEGIN IMMEDIATE",
			 NULL, NULL, NULL) != SQLITE_OK)
		return fault(s, err, "cannot be written");
	if (upgrade(s, version, err) < 0)
		return -1;
	if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return fault(s, err, "its tables cannot be made");
	return 0;
}

struct state *state_open(const char *path, struct err *err)
{
	struct state *s = calloc(1, sizeof *s);
	if (!s) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int rc = sqlite3_open_v2(path, &s->db, flags, NULL);
	if (rc != SQLITE_OK)
		err_set(err, ERR_INTERNAL, "cannot be opened: %s", s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	else
		sqlite3_busy_timeout(s->db, 2000);
	if (rc == SQLITE_OK && prepare_schema(s, err) == 0)
		return s;
	err_prefix(err, "%s", path);
	state_close(s);
	return NULL;
}

void state_close(struct state *s)
{
	if (s)
		sqlite3_close(s->db);
	free(s);
}

/* --- reading: rows come from a file that somebody may have edited, so every value is checked ------------------- */

static bool get_text(sqlite3_stmt *q, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(q, column);
	size_t len = text ? strlen(text) : size;
	if (len >= size)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

static bool get_number(sqlite3_stmt *q, int column, uint32_t min, uint32_t max, uint32_t *out)
{
	sqlite3_int64 n = sqlite3_column_int64(q, column);
	*out = (uint32_t)n;
	return n >= min && n <= max;
}

static bool digest_valid(const char *digest)
{
	return strspn(digest, "0123456789abcdef") == PPCE_DIGEST_SIZE - 1;
}

static bool read_image(sqlite3_stmt *q, struct image_record *r)
{
	sqlite3_int64 bytes = sqlite3_column_int64(q, 4);
	*r = (struct image_record){ .added = sqlite3_column_int64(q, 3), .bytes = (uint64_t)bytes };
	return get_text(q, 0, r->name, sizeof r->name) && name_valid(r->name) &&
	       get_text(q, 1, r->digest, sizeof r->digest) && digest_valid(r->digest) &&
	       get_text(q, 2, r->label, sizeof r->label) && bytes >= 0 &&
	       get_text(q, 5, r->manifest_name, sizeof r->manifest_name) &&
	       get_number(q, 6, PPCE_MEMORY_MIB_MIN, PPCE_MEMORY_MIB_MAX, &r->memory_mib) &&
	       get_number(q, 7, 1, PPCE_REQUEST_BYTES_MAX / 1024, &r->request_kib) &&
	       get_number(q, 8, 1, PPCE_RESPONSE_BYTES_MAX / 1024, &r->response_kib) &&
	       get_text(q, 9, r->queries, sizeof r->queries) && queries_valid(r->queries) &&
	       get_number(q, 10, 0, 1, &r->network) && get_number(q, 11, IMAGE_PPCE, IMAGE_SOLO5_HVT, &r->kind) &&
	       get_text(q, 12, r->device, sizeof r->device) &&
	       (r->kind == IMAGE_PPCE ? !r->device[0] : solo5_device_valid(r->device));
}

static bool read_app(sqlite3_stmt *q, struct app_record *r)
{
	*r = (struct app_record){ 0 };
	return get_text(q, 0, r->name, sizeof r->name) && name_valid(r->name) &&
	       get_text(q, 1, r->image, sizeof r->image) && name_valid(r->image) &&
	       get_number(q, 2, LIFETIME_CLASS, LIFETIME_REQUEST, &r->lifetime) &&
	       get_number(q, 3, 0, 1, &r->discard) && get_number(q, 4, 1, APP_INSTANCES_MAX, &r->max_instances) &&
	       get_number(q, 5, 0, UINT32_MAX, &r->idle_s) && get_number(q, 6, 0, UINT32_MAX, &r->max_age_s) &&
	       get_number(q, 7, 0, UINT32_MAX, &r->max_requests) && get_number(q, 8, 0, 3600000, &r->deadline_ms) &&
	       get_number(q, 9, TRANSPORT_CHANNEL, TRANSPORT_TAP, &r->transport) &&
	       get_number(q, 10, 0, 65535, &r->port) && (r->port != 0) == (r->transport == TRANSPORT_TAP) &&
	       get_text(q, 11, r->sinks, sizeof r->sinks) && get_number(q, 12, 0, 1, &r->boot) &&
	       get_number(q, 13, 0, 1, &r->no_shells) && get_number(q, 14, 0, 1, &r->no_taps) &&
	       get_text(q, 15, r->args, sizeof r->args) && foreign_args_check(r->args, NULL) == 0;
}

static bool read_pool(sqlite3_stmt *q, struct pool_record *r)
{
	*r = (struct pool_record){ 0 };
	return get_text(q, 0, r->app, sizeof r->app) && name_valid(r->app) &&
	       get_text(q, 1, r->label, sizeof r->label) && *r->label && get_text(q, 2, r->owner, sizeof r->owner) &&
	       (!*r->owner || user_valid(r->owner)) && get_number(q, 3, 1, APP_INSTANCES_MAX, &r->warm);
}

/* Calls `row` for every row of the query. */
static int each(struct state *s, const char *sql, int (*row)(sqlite3_stmt *q, void *ctx, struct err *err), void *ctx,
		struct err *err)
{
	sqlite3_stmt *q;
	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		return fault(s, err, "cannot be read");
	int rc, result = 0;
	while (result == 0 && (rc = sqlite3_step(q)) != SQLITE_DONE)
		result = rc == SQLITE_ROW ? row(q, ctx, err) : fault(s, err, "cannot be read");
	sqlite3_finalize(q);
	return result;
}

struct image_call {
	state_image_fn *fn;
	void *ctx;
};

static int image_row(sqlite3_stmt *q, void *ctx, struct err *err)
{
	const struct image_call *call = ctx;
	struct image_record r;
	if (!read_image(q, &r))
		return err_set(err, ERR_INTERNAL, "the database: the row of image `%.40s` is damaged",
			       (const char *)sqlite3_column_text(q, 0));
	return call->fn(call->ctx, &r, err);
}

int state_images(struct state *s, state_image_fn *fn, void *ctx, struct err *err)
{
	struct image_call call = { fn, ctx };
	return each(s,
		    "SELECT name, digest, label, added, bytes, manifest_name, memory_mib, request_kib, response_kib, "
		    "queries, network, kind, device FROM images ORDER BY name",
		    image_row, &call, err);
}

struct app_call {
	state_app_fn *fn;
	void *ctx;
};

static int app_row(sqlite3_stmt *q, void *ctx, struct err *err)
{
	const struct app_call *call = ctx;
	struct app_record r;
	if (!read_app(q, &r))
		return err_set(err, ERR_INTERNAL, "the database: the row of app `%.40s` is damaged",
			       (const char *)sqlite3_column_text(q, 0));
	return call->fn(call->ctx, &r, err);
}

int state_apps(struct state *s, state_app_fn *fn, void *ctx, struct err *err)
{
	struct app_call call = { fn, ctx };
	return each(
		s,
		"SELECT name, image, lifetime, discard, max_instances, idle_s, max_age_s, max_requests, deadline_ms, "
		"transport, port, sinks, boot, no_shells, no_taps, args FROM apps ORDER BY name",
		app_row, &call, err);
}

struct pool_call {
	state_pool_fn *fn;
	void *ctx;
};

static int pool_row(sqlite3_stmt *q, void *ctx, struct err *err)
{
	const struct pool_call *call = ctx;
	struct pool_record r;
	if (!read_pool(q, &r))
		return err_set(err, ERR_INTERNAL, "the database: a row of the pools of app `%.40s` is damaged",
			       (const char *)sqlite3_column_text(q, 0));
	return call->fn(call->ctx, &r, err);
}

int state_pools(struct state *s, state_pool_fn *fn, void *ctx, struct err *err)
{
	struct pool_call call = { fn, ctx };
	return each(s, "SELECT app, label, owner, warm FROM pools ORDER BY rowid", pool_row, &call, err);
}

/* --- writing -------------------------------------------------------------------------------------------------- */

static int finish(struct state *s, sqlite3_stmt *q, struct err *err)
{
	int rc = sqlite3_step(q) == SQLITE_DONE ? 0 : fault(s, err, "cannot be written");
	sqlite3_finalize(q);
	return rc;
}

static sqlite3_stmt *prepare(struct state *s, const char *sql, struct err *err)
{
	sqlite3_stmt *q = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		fault(s, err, "cannot be written");
	return q;
}

int state_put_image(struct state *s, const struct image_record *r, struct err *err)
{
	sqlite3_stmt *q = prepare(
		s,
		"INSERT INTO images (name, digest, label, added, bytes, manifest_name, memory_mib, request_kib, "
		"response_kib, queries, network, kind, device) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (name) DO UPDATE SET "
		"digest = excluded.digest, label = excluded.label, added = excluded.added, "
		"bytes = excluded.bytes, manifest_name = excluded.manifest_name, memory_mib = "
		"excluded.memory_mib, request_kib = excluded.request_kib, response_kib = "
		"excluded.response_kib, queries = excluded.queries, network = excluded.network, kind = excluded.kind, "
		"device = excluded.device",
		err);
	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, r->digest, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 3, r->label, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 4, r->added);
	sqlite3_bind_int64(q, 5, (sqlite3_int64)r->bytes);
	sqlite3_bind_text(q, 6, r->manifest_name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 7, r->memory_mib);
	sqlite3_bind_int64(q, 8, r->request_kib);
	sqlite3_bind_int64(q, 9, r->response_kib);
	sqlite3_bind_text(q, 10, r->queries, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 11, r->network);
	sqlite3_bind_int64(q, 12, r->kind);
	sqlite3_bind_text(q, 13, r->device, -1, SQLITE_STATIC);
	return finish(s, q, err);
}

int state_put_app(struct state *s, const struct app_record *r, struct err *err)
{
	sqlite3_stmt *q = prepare(s,
				  "INSERT INTO apps (name, image, lifetime, discard, max_instances, idle_s, max_age_s, "
				  "max_requests, deadline_ms, transport, port, boot, no_shells, no_taps, sinks, args) "
				  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				  err);
	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, r->image, -1, SQLITE_STATIC);
	const uint32_t numbers[] = { r->lifetime,  r->discard,	    r->max_instances, r->idle_s,
				     r->max_age_s, r->max_requests, r->deadline_ms,   r->transport,
				     r->port,	   r->boot,	    r->no_shells,     r->no_taps };
	for (int i = 0; i < 12; i++)
		sqlite3_bind_int64(q, 3 + i, numbers[i]);
	sqlite3_bind_text(q, 15, r->sinks, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 16, r->args, -1, SQLITE_STATIC);
	return finish(s, q, err);
}

static int delete_row(struct state *s, const char *sql, const char *name, struct err *err)
{
	sqlite3_stmt *q = prepare(s, sql, err);
	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	return finish(s, q, err);
}

int state_delete_image(struct state *s, const char *name, struct err *err)
{
	return delete_row(s, "DELETE FROM images WHERE name = ?", name, err);
}

int state_delete_app(struct state *s, const char *name, struct err *err)
{
	return delete_row(s, "DELETE FROM apps WHERE name = ?", name, err);
}

static void bind_key(sqlite3_stmt *q, const struct pool_record *r)
{
	sqlite3_bind_text(q, 1, r->app, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, r->label, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 3, r->owner, -1, SQLITE_STATIC);
}

int state_put_pool(struct state *s, const struct pool_record *r, struct err *err)
{
	sqlite3_stmt *q = prepare(s,
				  "INSERT INTO pools VALUES (?, ?, ?, ?) ON CONFLICT (app, label, owner) DO UPDATE SET "
				  "warm = excluded.warm",
				  err);
	if (!q)
		return -1;
	bind_key(q, r);
	sqlite3_bind_int64(q, 4, r->warm);
	return finish(s, q, err);
}

int state_delete_pool(struct state *s, const struct pool_record *r, struct err *err)
{
	sqlite3_stmt *q = prepare(s, "DELETE FROM pools WHERE app = ? AND label = ? AND owner = ?", err);
	if (!q)
		return -1;
	bind_key(q, r);
	return finish(s, q, err);
}
