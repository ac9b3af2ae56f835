// SPDX-License-Identifier: MIT
#include "auth/sessions.h"

#include <string.h>

#include "auth/clearance.h"
#include "policy/flow.h"

#define SESSION_COLUMNS                                                                                        \
	"s.token_hash, s.uuid, s.user, u.name, u.class, s.floor, s.ceiling, s.purpose, s.address, s.created, " \
	"s.expires, u.clearance"
#define SESSION_FROM " FROM sessions s JOIN users u ON u.id = s.user "

static int session_read(sqlite3_stmt *s, struct session *out, struct user *owner, struct err *err)
{
	memset(out, 0, sizeof *out);
	if (sqlite3_column_bytes(s, 0) != SESSION_HASH_BYTES)
		return err_set(err, ERR_INTERNAL, "a session in the database was changed by hand");
	memcpy(out->token_hash, sqlite3_column_blob(s, 0), SESSION_HASH_BYTES);
	out->user_id = sqlite3_column_int64(s, 2);
	out->created = sqlite3_column_int64(s, 9);
	out->expires = sqlite3_column_int64(s, 10);
	if (db_text(s, 1, out->uuid, sizeof out->uuid, err) || db_text(s, 3, out->user, sizeof out->user, err) ||
	    db_text(s, 4, out->class_name, sizeof out->class_name, err) ||
	    db_text(s, 5, out->floor, sizeof out->floor, err) ||
	    db_text(s, 6, out->ceiling, sizeof out->ceiling, err) ||
	    db_text(s, 7, out->purpose, sizeof out->purpose, err) ||
	    db_text(s, 8, out->address, sizeof out->address, err))
		return -1;
	if (!owner)
		return 0;
	memset(owner, 0, sizeof *owner);
	owner->id = out->user_id;
	memcpy(owner->name, out->user, sizeof owner->name);
	memcpy(owner->class_name, out->class_name, sizeof owner->class_name);
	return db_text(s, 11, owner->clearance, sizeof owner->clearance, err);
}

int session_insert(struct db *db, const struct session *s, struct err *err)
{
	sqlite3_stmt *q = db_prepare(db,
				     "INSERT INTO sessions (token_hash, uuid, user, floor, ceiling, purpose, address,"
				     " created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
				     err);

	if (!q)
		return -1;
	sqlite3_bind_blob(q, 1, s->token_hash, sizeof s->token_hash, SQLITE_TRANSIENT);
	db_bind_text(q, 2, s->uuid);
	sqlite3_bind_int64(q, 3, s->user_id);
	db_bind_text(q, 4, s->floor);
	db_bind_text(q, 5, s->ceiling);
	db_bind_text(q, 6, s->purpose);
	db_bind_text(q, 7, s->address);
	sqlite3_bind_int64(q, 8, s->created);
	sqlite3_bind_int64(q, 9, s->expires);
	return db_run(db, q, err) < 0 ? -1 : 0;
}

static int fetch_one(struct db *db, sqlite3_stmt *q, struct session *out, struct user *owner, struct err *err)
{
	int rc = db_fetch(db, q, err);

	if (rc != 1)
		return rc;
	if (session_read(q, out, owner, err))
		rc = -1;
	db_release(q);
	return rc;
}

int session_by_token(struct db *db, const uint8_t hash[SESSION_HASH_BYTES], int64_t now, struct session *out,
		     struct user *owner, struct err *err)
{
	sqlite3_stmt *q = db_prepare(
		db, "SELECT " SESSION_COLUMNS SESSION_FROM "WHERE s.token_hash = ?1 AND s.expires > ?2", err);

	if (!q)
		return -1;
	sqlite3_bind_blob(q, 1, hash, SESSION_HASH_BYTES, SQLITE_TRANSIENT);
	sqlite3_bind_int64(q, 2, now);
	return fetch_one(db, q, out, owner, err);
}

int session_by_uuid(struct db *db, const char *uuid, int64_t now, struct session *out, struct err *err)
{
	sqlite3_stmt *q =
		db_prepare(db, "SELECT " SESSION_COLUMNS SESSION_FROM "WHERE s.uuid = ?1 AND s.expires > ?2", err);

	if (!q)
		return -1;
	db_bind_text(q, 1, uuid);
	sqlite3_bind_int64(q, 2, now);
	return fetch_one(db, q, out, NULL, err);
}

int session_remove(struct db *db, const uint8_t hash[SESSION_HASH_BYTES], struct err *err)
{
	sqlite3_stmt *q = db_prepare(db, "DELETE FROM sessions WHERE token_hash = ?1", err);

	if (!q)
		return -1;
	sqlite3_bind_blob(q, 1, hash, SESSION_HASH_BYTES, SQLITE_TRANSIENT);
	return db_run(db, q, err);
}

int session_remove_all(struct db *db, int64_t user_id, struct err *err)
{
	sqlite3_stmt *q = db_prepare(db, "DELETE FROM sessions WHERE user = ?1", err);

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, user_id);
	return db_run(db, q, err);
}

int session_sweep(struct db *db, int64_t now, struct err *err)
{
	sqlite3_stmt *q = db_prepare(db, "DELETE FROM sessions WHERE expires <= ?1", err);

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, now);
	return db_run(db, q, err);
}

int session_surplus(struct db *db, int64_t user_id, uint8_t hash[SESSION_HASH_BYTES], struct err *err)
{
	sqlite3_stmt *q = db_prepare(db,
				     "SELECT token_hash FROM sessions WHERE user = ?1"
				     " ORDER BY created DESC, token_hash LIMIT 1 OFFSET ?2",
				     err);
	int rc;

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, user_id);
	sqlite3_bind_int64(q, 2, SESSIONS_PER_USER - 1);
	rc = db_fetch(db, q, err);
	if (rc != 1)
		return rc;
	if (sqlite3_column_bytes(q, 0) == SESSION_HASH_BYTES)
		memcpy(hash, sqlite3_column_blob(q, 0), SESSION_HASH_BYTES);
	else
		rc = err_set(err, ERR_INTERNAL, "a session in the database was changed by hand");
	db_release(q);
	return rc;
}

int64_t session_count(struct db *db, struct err *err)
{
	sqlite3_stmt *q = db_prepare(db, "SELECT count(*) FROM sessions", err);
	int64_t n;

	if (!q || db_fetch(db, q, err) != 1)
		return -1;
	n = sqlite3_column_int64(q, 0);
	db_release(q);
	return n;
}

int session_list(struct db *db, int64_t now, int (*each)(void *ctx, const struct session *s), void *ctx,
		 struct err *err)
{
	sqlite3_stmt *q = db_prepare(db,
				     "SELECT " SESSION_COLUMNS SESSION_FROM
				     "WHERE s.expires > ?1 ORDER BY s.created DESC, s.uuid LIMIT ?2",
				     err);
	struct session s;
	int rc;

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, now);
	sqlite3_bind_int64(q, 2, SESSIONS_LISTED);
	while ((rc = db_fetch(db, q, err)) == 1) {
		if (session_read(q, &s, NULL, err)) {
			rc = -1;
			break;
		}
		if (each(ctx, &s)) {
			rc = 0;
			break;
		}
	}
	db_release(q);
	return rc;
}

int session_list_user(struct db *db, int64_t user_id, int (*each)(void *ctx, const struct session *s), void *ctx,
		      struct err *err)
{
	sqlite3_stmt *q = db_prepare(db, "SELECT " SESSION_COLUMNS SESSION_FROM "WHERE s.user = ?1", err);
	struct session s;
	int rc;

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, user_id);
	while ((rc = db_fetch(db, q, err)) == 1) {
		rc = session_read(q, &s, NULL, err) ? -1 : each(ctx, &s);
		if (rc)
			break;
	}
	db_release(q);
	return rc;
}

int session_check(struct db *db, const struct policy *p, const struct session *s, const struct user *owner, int64_t now,
		  struct err *err)
{
	struct label floor, ceiling, clearance;
	struct flow_verdict v;

	struct err why;

	if (clearance_of(db, p, owner, s->purpose, now, &clearance, err))
		return -1;
	if (label_parse(p, s->floor, &floor, &why) || label_parse(p, s->ceiling, &ceiling, &why))
		return err_set(err, ERR_DENIED, "session %s does not fit the policy any more: %s", s->uuid, why.text);
	v = flow_session(p, &floor, &ceiling, &clearance);
	if (!v.allowed)
		return err_set(err, ERR_DENIED, "session %s: %s", s->uuid, v.why);
	return 0;
}
