// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/sessions.h"
#include "auth/token.h"
#include "lib/names.h"

static int add_session(void *ctx, const struct session *s)
{
	return json_array_append_new(ctx, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "session", s->uuid,
						    "user", s->user, "class", s->class_name, "label", s->ceiling,
						    "purpose", s->purpose, "address", s->address, "created",
						    (json_int_t)s->created, "expires", (json_int_t)s->expires));
}

void sessions_list(struct rest_call *call)
{
	struct auth *a = call->ctx;
	json_t *list = json_array();
	struct err err;

	if (session_list(a->db, clock_unix(), add_session, list, &err)) {
		json_decref(list);
		rest_fail(call, &err);
		return;
	}
	rest_reply(call, 200, json_pack("{s:o}", "sessions", list));
}

/* A session that is gone from the database, while the proxies are being told. */
struct ending {
	struct auth *auth;
	struct rest_call *call;
	bool logout;
	struct session session;
};

static void on_ended(void *ctx)
{
	struct ending *e = ctx;

	e->auth->revocations++;
	rest_finish(e->auth, e->call,
		    &(struct audit_record){ .event = e->logout ? "logout" : "revoke",
					    .allowed = true,
					    .actor = e->logout ? e->session.user : "operator",
					    .session = e->session.uuid,
					    .status = 204 });
	free(e);
}

/* Who is to be ended: the bearer's own session, or any by its UUID. */
static int find_session(struct auth *a, const struct rest_call *call, bool own, struct session *out, struct err *err)
{
	uint8_t hash[SESSION_HASH_BYTES];
	int rc;

	if (!own) {
		rc = session_by_uuid(a->db, call->param[0], clock_unix(), out, err);
		return rc ? rc : err_set(err, ERR_NOT_FOUND, "there is no such session");
	}
	const char *token = token_from_bearer(http_field_get(call->x, "Authorization"));

	if (!token)
		return err_set(err, ERR_UNAUTHENTICATED, "send the session's token as 'Authorization: Bearer TOKEN'");
	rc = token_hash(token, hash) ? 0 : session_by_token(a->db, hash, clock_unix(), out, NULL, err);
	return rc ? rc : err_set(err, ERR_UNAUTHENTICATED, "this token belongs to no session; it may have expired");
}

void sessions_delete(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct ending *e = calloc(1, sizeof *e);
	struct err err = { ERR_INTERNAL, "out of memory" };

	if (e) {
		e->auth = a;
		e->logout = !strcmp(call->param[0], "current");
	}
	if (!e || find_session(a, call, e->logout, &e->session, &err) < 0 ||
	    session_remove(a->db, e->session.token_hash, &err) < 0) {
		rest_fail(call, &err);
		free(e);
		return;
	}
	e->call = rest_defer(call);
	lookup_revoke(a->lookup, &(struct lookup_target){ .hash = e->session.token_hash }, on_ended, e);
}
