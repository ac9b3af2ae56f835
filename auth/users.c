// SPDX-License-Identifier: MIT
#include "auth/users.h"

#include <string.h>

#include "auth/grants.h"

#define USER_COLUMNS "id, name, hash, class, clearance, created, changed"

static int user_read(sqlite3_stmt *s, struct user *out, struct err *err)
{
	memset(out, 0, sizeof *out);
	out->id = sqlite3_column_int64(s, 0);
	out->created = sqlite3_column_int64(s, 5);
	out->changed = sqlite3_column_int64(s, 6);
	if (db_text(s, 1, out->name, sizeof out->name, err) || db_text(s, 2, out->hash, sizeof out->hash, err) ||
	    db_text(s, 3, out->class_name, sizeof out->class_name, err) ||
	    db_text(s, 4, out->clearance, sizeof out->clearance, err))
		return -1;
	return 0;
}

int user_find(struct db *db, const char *name, struct user *out, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT " USER_COLUMNS " FROM users WHERE name = ?1", err);
	int rc;

	if (!s)
		return -1;
	db_bind_text(s, 1, name);
	rc = db_fetch(db, s, err);
	if (rc != 1)
		return rc;
	if (user_read(s, out, err))
		rc = -1;
	db_release(s);
	return rc;
}

int user_sample_hash(struct db *db, uint64_t pick, char out[crypto_pwhash_STRBYTES], struct err *err)
{
	/* Identifiers are dense but for removed users; a gap falls on the next one. */
	sqlite3_stmt *s = db_prepare(
		db, "SELECT hash FROM users WHERE id > ?1 % (SELECT max(id) FROM users) ORDER BY id LIMIT 1", err);
	int rc;

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, (int64_t)(pick >> 1));
	rc = db_fetch(db, s, err);
	if (rc != 1)
		return rc;
	if (db_text(s, 0, out, crypto_pwhash_STRBYTES, err))
		rc = -1;
	db_release(s);
	return rc;
}

int user_insert(struct db *db, const struct user *u, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db,
				     "INSERT INTO users (name, hash, class, clearance, created, changed)"
				     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
				     err);

	if (!s)
		return -1;
	db_bind_text(s, 1, u->name);
	db_bind_text(s, 2, u->hash);
	db_bind_text_or_null(s, 3, u->class_name);
	db_bind_text_or_null(s, 4, u->clearance);
	sqlite3_bind_int64(s, 5, u->created);
	sqlite3_bind_int64(s, 6, u->changed);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

static int end_sessions(struct db *db, int64_t id, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "DELETE FROM sessions WHERE user = ?1", err);

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, id);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

static int store_changes(struct db *db, const struct user *u, struct err *err)
{
	sqlite3_stmt *s = db_prepare(
		db, "UPDATE users SET hash = ?2, class = ?3, clearance = ?4, changed = ?5 WHERE id = ?1", err);

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, u->id);
	db_bind_text(s, 2, u->hash);
	db_bind_text_or_null(s, 3, u->class_name);
	db_bind_text_or_null(s, 4, u->clearance);
	sqlite3_bind_int64(s, 5, u->changed);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

int user_update(struct db *db, const struct user *u, struct err *err)
{
	if (db_begin(db, err))
		return -1;
	if (store_changes(db, u, err) || end_sessions(db, u->id, err) || db_raise_epoch(db, err)) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

int user_rehash(struct db *db, int64_t id, const char *old, const char *fresh, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "UPDATE users SET hash = ?3 WHERE id = ?1 AND hash = ?2", err);

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, id);
	db_bind_text(s, 2, old);
	db_bind_text(s, 3, fresh);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

static int remove_record(struct db *db, int64_t id, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "DELETE FROM users WHERE id = ?1", err);
	int changed;

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, id);
	changed = db_run(db, s, err); /* the sessions go with it (ON DELETE CASCADE) */
	if (changed < 0)
		return -1;
	return changed ? 0 : err_set(err, ERR_NOT_FOUND, "there is no such user any more");
}

/* Whoever gets the name after this user must not find grants that others made to this one. */
int user_remove(struct db *db, const struct user *u, int64_t now, struct err *err)
{
	if (db_begin(db, err))
		return -1;
	if (remove_record(db, u->id, err) || grant_end_of_user(db, u->name, now, err) || db_raise_epoch(db, err)) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

static int list(struct db *db, sqlite3_stmt *s, int (*each)(void *ctx, const struct user *u), void *ctx,
		struct err *err)
{
	struct user u;
	int rc;

	while ((rc = db_fetch(db, s, err)) == 1) {
		rc = user_read(s, &u, err) ? -1 : each(ctx, &u);
		if (rc)
			break;
	}
	db_release(s);
	sodium_memzero(u.hash, sizeof u.hash);
	return rc;
}

int user_list(struct db *db, int (*each)(void *ctx, const struct user *u), void *ctx, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT " USER_COLUMNS " FROM users ORDER BY name", err);

	return s ? list(db, s, each, ctx, err) : -1;
}

int user_list_class(struct db *db, const char *class_name, int (*each)(void *ctx, const struct user *u), void *ctx,
		    struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT " USER_COLUMNS " FROM users WHERE class = ?1 ORDER BY name", err);

	if (!s)
		return -1;
	db_bind_text(s, 1, class_name);
	return list(db, s, each, ctx, err);
}

int user_clearance(const struct policy *p, const struct user *u, struct label *out, struct err *err)
{
	const struct label *of_class = NULL;
	struct err why;

	if (*u->class_name) {
		of_class = policy_class_clearance(p, u->class_name);
		if (!of_class)
			return err_set(err, ERR_DENIED,
				       "class '%s' is not in the policy any more; add it to policy.yaml or "
				       "give the user another class",
				       u->class_name);
	}
	if (!*u->clearance) {
		if (!of_class)
			return err_set(err, ERR_DENIED, "neither a class nor a clearance is set; give the user one");
		*out = *of_class;
		return 0;
	}
	if (label_parse(p, u->clearance, out, &why))
		return err_set(err, ERR_DENIED,
			       "the stored clearance does not fit the policy any more (%s); give the "
			       "user a new one",
			       why.text);
	return 0;
}
