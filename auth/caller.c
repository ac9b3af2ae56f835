// SPDX-License-Identifier: MIT
#include "auth/caller.h"

#include <string.h>

#include "auth/token.h"
#include "lib/log.h"
#include "lib/names.h"

static int no_session(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED,
		       "this token belongs to no session; it may have expired or been revoked: log in again");
}

int caller_find(struct auth *a, const struct rest_call *call, struct caller *out, struct err *err)
{
	const char *field = http_field_get(call->x, "Authorization"), *token = token_from_bearer(field);
	uint8_t hash[SESSION_HASH_BYTES];
	struct user owner;
	int64_t now = clock_unix();
	int rc;

	memset(out, 0, sizeof *out);
	out->name = CALLER_OPERATOR;
	out->is_operator = !field;
	out->officer = out->is_operator;
	if (!field)
		return 0;
	if (!token || token_hash(token, hash))
		return no_session(err);
	rc = session_by_token(a->db, hash, now, &out->session, &owner, err);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return no_session(err);
	if (session_check(a->db, a->policy, &out->session, &owner, now, err))
		return err->kind == ERR_DENIED ? no_session(err) : -1;
	out->name = out->session.user;
	out->officer = *out->session.class_name && policy_class_officer(a->policy, out->session.class_name);
	return 0;
}

void caller_fail(const struct caller *c, struct rest_call *call, const struct err *err)
{
	if (c->is_operator || err_http_status(err->kind) < 500) {
		rest_fail(call, err);
		return;
	}
	log_error("request %s: %s", call->x->request_id, err->text);
	rest_fail(call, &(struct err){ ERR_UNAVAILABLE, "this does not work right now; try again later" });
}

void caller_record(const struct caller *c, struct audit_record *r)
{
	r->actor = c->name;
	r->class_name = c->session.class_name;
	r->session = c->session.uuid;
	r->purpose = c->session.purpose;
}
