// SPDX-License-Identifier: MIT
#include <string.h>

#include "auth/auth.h"
#include "auth/sessions.h"
#include "lib/log.h"

static const char *const login_keys[] = { "username!", "password!", "label", "purpose", "address", NULL };
static const char *const user_keys[] = { "name!", "password!", "class", "clearance", NULL };
static const char *const change_keys[] = { "password", "class", "clearance", NULL };
static const char *const grant_keys[] = { "owner", "category!", "to!", "purpose", "until", "reason", NULL };
static const char *const glass_keys[] = { "owner!", "category!", "reason!", "minutes", NULL };
static const char *const erase_keys[] = { "owner", "category!", NULL };

static const struct rest_route routes[] = {
	{ "POST", "/v1/sessions", login_handle, "Log in: a token for a user name and password", login_keys },
	{ "GET", "/v1/sessions", sessions_list, "Live sessions, newest first, without their tokens", NULL },
	{ "DELETE", "/v1/sessions/{uuid}", sessions_delete,
	  "End a session; {uuid} 'current' with Authorization: Bearer TOKEN logs out", NULL },
	{ "GET", "/v1/users", users_list, "All users", NULL },
	{ "POST", "/v1/users", users_post, "Add a user", user_keys },
	{ "GET", "/v1/users/{name}", users_get, "One user", NULL },
	{ "PATCH", "/v1/users/{name}", users_patch, "Change password, class or clearance; ends the user's sessions",
	  change_keys },
	{ "DELETE", "/v1/users/{name}", users_delete, "Remove a user and end the user's sessions", NULL },
	{ "DELETE", "/v1/users/{name}/sessions", users_end_sessions, "End all sessions of a user", NULL },
	{ "GET", "/v1/grants", grants_list, "Grants, of ?owner= and to ?to=; users see those that concern them", NULL },
	{ "GET", "/v1/grants/{id}", grants_get, "One grant", NULL },
	{ "PUT", "/v1/grants/{id}", grants_put,
	  "Let somebody see a category of an owner's data, or authorise a certificate", grant_keys },
	{ "DELETE", "/v1/grants/{id}", grants_delete,
	  "Revoke a grant: what rested on it has ended when this is answered", NULL },
	{ "POST", "/v1/grants/{id}/review", glass_review, "An officer has looked into a break-glass", NULL },
	{ "POST", "/v1/break-glass", glass_break, "Open a category of somebody's data in an emergency", glass_keys },
	{ "POST", "/v1/erase", erase_post, "The owner wants a category of their data erased", erase_keys },
	{ "GET", "/v1/authorisations/{certificate}", authorisations_get,
	  "Whose data a certificate of declassification may release", NULL },
	{ NULL },
};

static bool ready(void *ctx, struct err *why)
{
	struct auth *a = ctx;

	return db_usable(a->db, why);
}

static void metrics(void *ctx, struct buf *out)
{
	static const char *const names[LOGIN_OUTCOMES] = {
		[LOGIN_OK] = "ok",	 [LOGIN_WRONG] = "wrong",
		[LOGIN_LABEL] = "label", [LOGIN_THROTTLED] = "throttled",
		[LOGIN_BUSY] = "busy",	 [LOGIN_FAILED] = "failed",
	};
	struct auth *a = ctx;
	int64_t sessions = session_count(a->db, NULL), events = outbox_waiting(a->outbox, NULL);
	uint64_t epoch;

	buf_puts(out, "# HELP ppce_auth_logins_total Logins by outcome.\n# TYPE ppce_auth_logins_total counter\n");
	for (int i = 0; i < LOGIN_OUTCOMES; i++)
		buf_printf(out, "ppce_auth_logins_total{outcome=\"%s\"} %llu\n", names[i],
			   (unsigned long long)a->logins[i]);
	buf_puts(out, "# TYPE ppce_auth_lookups_total counter\n");
	buf_printf(out, "ppce_auth_lookups_total %llu\n", (unsigned long long)lookup_answered(a->lookup));
	buf_puts(out, "# TYPE ppce_auth_revocations_total counter\n");
	buf_printf(out, "ppce_auth_revocations_total %llu\n", (unsigned long long)a->revocations);
	if (!db_epoch(a->db, &epoch, NULL))
		buf_printf(out, "# TYPE ppce_auth_epoch counter\nppce_auth_epoch %llu\n", (unsigned long long)epoch);
	if (events >= 0)
		buf_printf(out,
			   "# HELP ppce_auth_outbox Events that the store has not taken yet.\n"
			   "# TYPE ppce_auth_outbox gauge\nppce_auth_outbox %lld\n",
			   (long long)events);
	buf_puts(out, "# HELP ppce_auth_hashes_waiting Passwords waiting for a worker.\n"
		      "# TYPE ppce_auth_hashes_waiting gauge\n");
	buf_printf(out, "ppce_auth_hashes_waiting %u\n", hasher_waiting(a->hasher));
	buf_puts(out, "# TYPE ppce_auth_proxies gauge\n");
	buf_printf(out, "ppce_auth_proxies %u\n", lookup_peers(a->lookup));
	if (sessions >= 0)
		buf_printf(out, "# TYPE ppce_auth_sessions gauge\nppce_auth_sessions %lld\n", (long long)sessions);
}

void rest_api_config(struct auth *a, struct rest_config *out)
{
	*out = (struct rest_config){
		.title = "ppce-auth", .routes = routes, .ctx = a, .ready = ready, .metrics = metrics
	};
}

int audit_exchange(struct auth *a, const struct http_exchange *x, const struct audit_record *record)
{
	struct audit_record r = *record;
	struct err err;

	r.request_id = x->request_id;
	if (!audit_write(a->audit, &r, &err))
		return 0;
	log_error("the audit log does not take a record: %s", err.text);
	return -1;
}

void rest_finish(struct auth *a, struct rest_call *call, const struct audit_record *record)
{
	if (audit_exchange(a, call->x, record))
		rest_fail(call,
			  &(struct err){ ERR_INTERNAL, "it is done, but the audit log could not take the record" });
	else
		rest_reply(call, record->status, NULL);
}

int body_password(const struct rest_call *call, char out[PASSWORD_MAX + 1], struct err *err)
{
	const json_t *value = json_object_get(call->body, "password");
	int rc = json_get_text(call->body, "password", out, PASSWORD_MAX + 1, err);

	/* Both copies are on the heap, made for this request and not used again; const only keeps others from writing. */
	if (json_is_string(value))
		sodium_memzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	if (call->x->body_len)
		sodium_memzero((char *)(uintptr_t)call->x->body, call->x->body_len);
	return rc;
}

int body_label(const struct auth *a, const json_t *body, const char *key, struct label *out, struct err *err)
{
	char text[PPCE_LABEL_SIZE];

	if (json_get_text(body, key, text, sizeof text, err))
		return -1;
	if (!*text)
		return 0;
	if (label_parse(a->policy, text, out, err))
		return err_prefix(err, "'%s'", key);
	return 1;
}
