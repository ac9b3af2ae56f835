// SPDX-License-Identifier: MIT
#include "auth/clearance.h"

#include <string.h>

struct adding {
	const struct policy *policy;
	const char *purpose; /* NULL: any */
	struct label *sum;
	int rc;
	struct err *err;
};

/* A tag that the policy no longer knows gives nothing, and takes nothing from anybody. */
static int add_grant(void *ctx, const struct grant *g)
{
	struct adding *a = ctx;
	struct label with;
	struct err why;

	if (*g->purpose && a->purpose && strcmp(g->purpose, a->purpose))
		return 0;
	if (!label_add_tag(a->policy, a->sum, g->owner, g->category, &with, &why)) {
		*a->sum = with;
		return 0;
	}
	if (why.kind == ERR_INVALID)
		return 0;
	a->rc = err_set(a->err, ERR_DENIED, "more tags are granted than fit into a label (%s); revoke some grants",
			why.text);
	return 1;
}

static int add_own(const struct policy *p, const char *owner, struct label *sum, struct err *err)
{
	struct label with;
	struct err why;

	label_drop_tags(p, sum, &with);
	*sum = with;
	if (label_add_owner(p, sum, owner, &with, &why))
		return err_set(err, ERR_DENIED, "the user's own tags do not fit into a label (%s)", why.text);
	*sum = with;
	return 0;
}

static int set_tags(struct db *db, const struct policy *p, const struct user *u, const char *purpose, int64_t now,
		    struct label *sum, struct err *err)
{
	struct adding a = { .policy = p, .purpose = purpose, .sum = sum, .err = err };

	if (add_own(p, u->name, sum, err) || grant_list_live(db, u->name, u->class_name, now, add_grant, &a, err))
		return -1;
	return a.rc;
}

int clearance_of(struct db *db, const struct policy *p, const struct user *u, const char *purpose, int64_t now,
		 struct label *out, struct err *err)
{
	if (user_clearance(p, u, out, err))
		return -1;
	return set_tags(db, p, u, purpose, now, out, err);
}

int clearance_check_tags(struct db *db, const struct policy *p, const struct user *u, int64_t now, struct err *err)
{
	struct label sum;

	label_bottom(p, &sum);
	if (!set_tags(db, p, u, NULL, now, &sum, err))
		return 0;
	if (err->kind == ERR_DENIED)
		err->kind = ERR_CONFLICT;
	return -1;
}

/* ---- Does one more fit? ---- */

struct fitting {
	struct db *db;
	const struct policy *policy;
	const struct grant *grant;
	int64_t now;
	struct err *err;
};

/* Counted over all purposes: a little less than could be granted, but no login depends on which purpose is stated. */
static int fits_user(void *ctx, const struct user *u)
{
	struct fitting *f = ctx;
	struct label now, with;
	struct err why;

	if (clearance_of(f->db, f->policy, u, NULL, f->now, &now, &why)) {
		if (why.kind != ERR_DENIED) {
			*f->err = why;
			return -1;
		}
		return 0; /* such a user cannot log in as it is: `problem` of the user says why */
	}
	if (!label_add_tag(f->policy, &now, f->grant->owner, f->grant->category, &with, &why))
		return 0;
	if (why.kind == ERR_TOO_LARGE)
		err_set(f->err, ERR_TOO_LARGE,
			"%s%s would have more owners' tags than fit into a label (%d bytes of text); other grants "
			"to them have to be revoked first",
			strncmp(f->grant->to, GRANT_CLASS, sizeof GRANT_CLASS - 1) ? "" : "somebody in ", f->grant->to,
			LABEL_TAGS_SIZE);
	else
		*f->err = why;
	return -1;
}

int clearance_fits(struct db *db, const struct policy *p, const struct grant *g, int64_t now, struct err *err)
{
	struct fitting f = { db, p, g, now, err };

	return clearance_grantees(db, g->to, fits_user, &f, err);
}

int clearance_grantees(struct db *db, const char *to, int (*each)(void *ctx, const struct user *u), void *ctx,
		       struct err *err)
{
	struct user u;
	int rc;

	if (!strncmp(to, GRANT_CERTIFICATE, sizeof GRANT_CERTIFICATE - 1))
		return 0;
	if (!strncmp(to, GRANT_CLASS, sizeof GRANT_CLASS - 1))
		return user_list_class(db, to + sizeof GRANT_CLASS - 1, each, ctx, err);
	rc = user_find(db, to, &u, err);
	if (rc == 1)
		rc = each(ctx, &u);
	sodium_memzero(u.hash, sizeof u.hash);
	return rc;
}
