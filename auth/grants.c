// SPDX-License-Identifier: MIT
#include "auth/grants.h"

#include <stdio.h>
#include <string.h>

#define GRANT_COLUMNS \
	"id, owner, category, grantee, purpose, kind, reason, actor, created, until, ended, reviewed, reviewer"

const char *grant_kind_name(enum grant_kind kind)
{
	return kind == GRANT_BREAK_GLASS ? "break-glass" : "consent";
}

bool grant_id_valid(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len = strnlen(text, GRANT_ID_SIZE);

	return len > 0 && len < GRANT_ID_SIZE && *text != '-' && strspn(text, letters) == len;
}

bool grant_for_certificate(const struct grant *g)
{
	return !strncmp(g->to, GRANT_CERTIFICATE, sizeof GRANT_CERTIFICATE - 1);
}

static int grant_read(sqlite3_stmt *s, struct grant *out, struct err *err)
{
	memset(out, 0, sizeof *out);
	out->kind = sqlite3_column_int(s, 5) == GRANT_BREAK_GLASS ? GRANT_BREAK_GLASS : GRANT_CONSENT;
	out->created = sqlite3_column_int64(s, 8);
	out->until = sqlite3_column_int64(s, 9);
	out->ended = sqlite3_column_int64(s, 10);
	out->reviewed = sqlite3_column_int64(s, 11);
	if (db_text(s, 0, out->id, sizeof out->id, err) || db_text(s, 1, out->owner, sizeof out->owner, err) ||
	    db_text(s, 2, out->category, sizeof out->category, err) || db_text(s, 3, out->to, sizeof out->to, err) ||
	    db_text(s, 4, out->purpose, sizeof out->purpose, err) ||
	    db_text(s, 6, out->reason, sizeof out->reason, err) || db_text(s, 7, out->actor, sizeof out->actor, err) ||
	    db_text(s, 12, out->reviewer, sizeof out->reviewer, err))
		return -1;
	return 0;
}

static int fetch_one(struct db *db, sqlite3_stmt *s, struct grant *out, struct err *err)
{
	int rc = db_fetch(db, s, err);

	if (rc != 1)
		return rc;
	if (grant_read(s, out, err))
		rc = -1;
	db_release(s);
	return rc;
}

static int fetch_all(struct db *db, sqlite3_stmt *s, grant_each *each, void *ctx, struct err *err)
{
	struct grant g;
	int rc;

	while ((rc = db_fetch(db, s, err)) == 1) {
		if (grant_read(s, &g, err)) {
			rc = -1;
			break;
		}
		if (each(ctx, &g)) {
			rc = 0;
			break;
		}
	}
	db_release(s);
	return rc;
}

int grant_find(struct db *db, const char *id, struct grant *out, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT " GRANT_COLUMNS " FROM grants WHERE id = ?1", err);

	if (!s)
		return -1;
	db_bind_text(s, 1, id);
	return fetch_one(db, s, out, err);
}

int grant_insert(struct db *db, const struct grant *g, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db,
				     "INSERT INTO grants (" GRANT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
				     " ?9, ?10, 0, 0, '')",
				     err);

	if (!s)
		return -1;
	db_bind_text(s, 1, g->id);
	db_bind_text(s, 2, g->owner);
	db_bind_text(s, 3, g->category);
	db_bind_text(s, 4, g->to);
	db_bind_text(s, 5, g->purpose);
	sqlite3_bind_int(s, 6, (int)g->kind);
	db_bind_text(s, 7, g->reason);
	db_bind_text(s, 8, g->actor);
	sqlite3_bind_int64(s, 9, g->created);
	sqlite3_bind_int64(s, 10, g->until);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

/* Records that nobody needs any more. */
static int purge(struct db *db, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "DELETE FROM grants WHERE ended > 0 AND (kind = ?1 OR reviewed > 0)", err);

	if (!s)
		return -1;
	sqlite3_bind_int(s, 1, GRANT_CONSENT);
	return db_run(db, s, err) < 0 ? -1 : 0;
}

int grant_end(struct db *db, const struct grant *g, int64_t now, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "UPDATE grants SET ended = ?2 WHERE id = ?1 AND ended = 0", err);

	if (!s)
		return -1;
	db_bind_text(s, 1, g->id);
	sqlite3_bind_int64(s, 2, now);
	return db_run(db, s, err) < 0 ? -1 : purge(db, err);
}

int grant_end_of_user(struct db *db, const char *user, int64_t now, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "UPDATE grants SET ended = ?2 WHERE grantee = ?1 AND ended = 0", err);

	if (!s)
		return -1;
	db_bind_text(s, 1, user);
	sqlite3_bind_int64(s, 2, now);
	return db_run(db, s, err) < 0 ? -1 : purge(db, err);
}

int grant_review(struct db *db, const struct grant *g, const char *reviewer, int64_t now, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "UPDATE grants SET reviewed = ?2, reviewer = ?3 WHERE id = ?1", err);

	if (!s)
		return -1;
	db_bind_text(s, 1, g->id);
	sqlite3_bind_int64(s, 2, now);
	db_bind_text(s, 3, reviewer);
	return db_run(db, s, err) < 0 ? -1 : purge(db, err);
}

int grant_count(struct db *db, const char *owner, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT count(*) FROM grants WHERE owner = ?1 AND ended = 0", err);
	int n;

	if (!s)
		return -1;
	db_bind_text(s, 1, owner);
	if (db_fetch(db, s, err) != 1)
		return -1;
	n = sqlite3_column_int(s, 0);
	db_release(s);
	return n;
}

int grant_list(struct db *db, const char *owner, const char *to, grant_each *each, void *ctx, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db,
				     "SELECT " GRANT_COLUMNS " FROM grants WHERE (?1 = '' OR owner = ?1)"
				     " AND (?2 = '' OR grantee = ?2) ORDER BY owner, category, created, id LIMIT ?3",
				     err);

	if (!s)
		return -1;
	db_bind_text(s, 1, owner);
	db_bind_text(s, 2, to);
	sqlite3_bind_int64(s, 3, GRANTS_LISTED);
	return fetch_all(db, s, each, ctx, err);
}

int grant_list_live(struct db *db, const char *user, const char *class_name, int64_t now, grant_each *each, void *ctx,
		    struct err *err)
{
	char of_class[sizeof GRANT_CLASS + PPCE_CLASS_SIZE] = "";
	sqlite3_stmt *s = db_prepare(db,
				     "SELECT " GRANT_COLUMNS " FROM grants WHERE grantee IN (?1, ?2) AND ended = 0"
				     " AND (until = 0 OR until > ?3) ORDER BY owner, category, created, id",
				     err);

	if (!s)
		return -1;
	if (*class_name)
		snprintf(of_class, sizeof of_class, GRANT_CLASS "%s", class_name);
	db_bind_text(s, 1, user); /* no grantee is "" */
	db_bind_text(s, 2, of_class);
	sqlite3_bind_int64(s, 3, now);
	return fetch_all(db, s, each, ctx, err);
}

int grant_expired(struct db *db, int64_t now, struct grant *out, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db,
				     "SELECT " GRANT_COLUMNS " FROM grants WHERE ended = 0 AND until > 0"
				     " AND until <= ?1 ORDER BY until, id LIMIT 1",
				     err);

	if (!s)
		return -1;
	sqlite3_bind_int64(s, 1, now);
	return fetch_one(db, s, out, err);
}

int grant_next_until(struct db *db, int64_t *out, struct err *err)
{
	sqlite3_stmt *s = db_prepare(db, "SELECT ifnull(min(until), 0) FROM grants WHERE ended = 0 AND until > 0", err);

	if (!s || db_fetch(db, s, err) != 1)
		return -1;
	*out = sqlite3_column_int64(s, 0);
	db_release(s);
	return 0;
}
