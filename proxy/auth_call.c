/* SPDX-License-Identifier: MIT */
#include "proxy/auth_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "proxy/headers.h"
#include "proxy/proxy.h"

#define AUTH_TIMEOUT_MS 30000u /* a full queue of password hashes */
#define AUTH_ANSWER (4u << 20) /* a listing of grants */

bool auth_cross_site(const struct http_exchange *x)
{
	const char *site = http_field_get(x, "Sec-Fetch-Site");
	return site && strcmp(site, "cross-site") == 0;
}

void auth_unauthenticated(struct http_exchange *x, const char *detail)
{
	static const struct http_field bearer = { "WWW-Authenticate", "Bearer realm=\"ppce\"" };
	http_problem_fields(x, ERR_UNAUTHENTICATED, 0, detail, &bearer, 1);
}

bool auth_bearer(struct http_exchange *x, char out[AUTH_BEARER_SIZE], const char *none)
{
	const char *token;
	size_t len;
	struct err err = { 0 };
	if (headers_token(x, &token, &len, &err) < 0) {
		http_problem(x, ERR_INVALID, 0, err.text);
		return false;
	}
	if (!token || len > 128) {
		auth_unauthenticated(x, none);
		return false;
	}
	snprintf(out, AUTH_BEARER_SIZE, "Bearer %.*s", (int)len, token);
	return true;
}

void auth_call(struct proxy *p, struct http_exchange *x, struct http_call *call, http_reply_fn *done)
{
	char address[512], path[500];
	struct auth_pending *pending = malloc(sizeof *pending);
	if (!pending) {
		http_problem(x, ERR_UNAVAILABLE, 1, "out of memory");
		return;
	}
	*pending = (struct auth_pending){ p, x };
	snprintf(address, sizeof address, "unix:%s", config_path(&p->config, "run/auth.sock", path, sizeof path));
	call->address = address;
	call->timeout_ms = AUTH_TIMEOUT_MS;
	call->answer_bytes = AUTH_ANSWER;
	http_call_start(p->client, call, done, pending);
}

static const char *reply_field(const struct http_reply *reply, const char *name)
{
	for (unsigned i = 0; i < reply->nfields; i++)
		if (strcasecmp(reply->fields[i].name, name) == 0)
			return reply->fields[i].value;
	return NULL;
}

/* auth's problem+json in our name. Whatever is not for the client gets a general text. */
static void pass_refusal(struct http_exchange *x, const struct http_reply *reply, const char *sorry, bool all)
{
	struct err err = { 0 };
	json_t *problem = json_decode(reply->body, reply->body_len, &err);
	const char *code = json_string_value(json_object_get(problem, "code"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *retry_text = reply_field(reply, "Retry-After");
	struct http_field allow = { "Allow", reply_field(reply, "Allow") };
	unsigned retry = retry_text ? (unsigned)strtoul(retry_text, NULL, 10) : 0;
	enum err_kind kind = err_from_code(code ? code : "");
	if (kind == ERR_UNAUTHENTICATED)
		auth_unauthenticated(x, detail ? detail : "");
	else if (detail && (err_http_status(kind) < 500 || (all && kind == ERR_UNAVAILABLE)))
		http_problem_fields(x, kind, retry, detail, &allow, allow.value ? 1 : 0);
	else
		http_problem(x, ERR_UNAVAILABLE, retry ? retry : 1, sorry);
	json_decref(problem);
}

bool auth_succeeded(struct http_exchange *x, const struct http_reply *reply, const struct err *err, const char *sorry,
		    bool all)
{
	if (err) {
		log_warn("request %s: %s", x->request_id, err->text);
		http_problem(x, ERR_UNAVAILABLE, 1, sorry);
		return false;
	}
	if (reply->status / 100 == 2)
		return true;
	pass_refusal(x, reply, sorry, all);
	return false;
}
