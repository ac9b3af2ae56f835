/* SPDX-License-Identifier: MIT */
#include "proxy/login.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "proxy/auth_call.h"
#include "proxy/headers.h"
#include "proxy/proxy.h"

#define SORRY "logging in does not work right now"

/* POST from our own pages or from no browser at all; otherwise the exchange has been answered. */
static bool acceptable(struct http_exchange *x)
{
	static const struct http_field allow = { "Allow", "POST" };
	if (strcmp(x->method, "POST") != 0)
		http_problem_fields(x, ERR_METHOD, 0, "only POST is possible here", &allow, 1);
	else if (auth_cross_site(x))
		http_problem(x, ERR_DENIED, 0, "not from another site");
	else
		return true;
	return false;
}

static void answer(struct proxy *p, struct http_exchange *x, int status, const char *token, long long age_s,
		   const char *body, size_t body_len)
{
	char cookie[256];
	snprintf(cookie, sizeof cookie, HEADERS_COOKIE "=%s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%lld%s", token,
		 age_s, p->config.secure_cookie ? "; Secure" : "");
	struct http_field fields[] = { { "Set-Cookie", cookie }, { "Cache-Control", "no-store" } };
	struct http_answer a = { .status = status,
				 .content_type = body_len ? "application/json" : NULL,
				 .body = body,
				 .body_len = body_len,
				 .fields = fields,
				 .nfields = 2 };
	http_respond(x, &a);
	sodium_memzero(cookie, sizeof cookie);
}

/* --- logging in ---------------------------------------------------------------------------------------------- */

static void on_login(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct auth_pending pending = *(struct auth_pending *)ctx;
	struct err bad = { 0 };
	free(ctx);
	if (!auth_succeeded(pending.x, reply, err, SORRY, false))
		return;
	json_t *body = json_decode(reply->body, reply->body_len, &bad);
	const char *token = json_string_value(json_object_get(body, "token"));
	long long expires = json_integer_value(json_object_get(body, "expires"));
	if (token && strlen(token) < 128)
		answer(pending.proxy, pending.x, 200, token, expires - clock_unix(), reply->body, reply->body_len);
	else
		http_problem(pending.x, ERR_UNAVAILABLE, 1, SORRY);
	json_decref(body);
}

/* The client's object with its keys checked and its address, as we see it, added. NULL with err. */
static char *login_body(const struct http_exchange *x, struct err *err)
{
	static const char *const keys[] = { "username", "password", "label", "purpose", NULL };
	const char *key;
	json_t *value, *body = json_decode(x->body, x->body_len, err);
	if (!body)
		return NULL;
	if (!json_is_object(body)) {
		json_decref(body);
		err_set(err, ERR_INVALID, "a JSON object with username and password is needed");
		return NULL;
	}
	err->kind = ERR_NONE;
	json_object_foreach (body, key, value) {
		const char *near = text_nearest(key, keys);
		if (near && strcmp(near, key) == 0)
			continue;
		err_set(err, ERR_INVALID,
			near ? "unknown key; did you mean '%s'?"
			     : "unknown key; known are username, "
			       "password, label and purpose",
			near);
	}
	json_object_set_new(body, "address", json_string(x->peer));
	char *text = err->kind ? NULL : json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return text;
}

void login_handle(struct proxy *p, struct http_exchange *x)
{
	static const struct http_field json = { "Content-Type", "application/json" };
	struct err err = { 0 };
	if (!acceptable(x))
		return;
	char *body = login_body(x, &err);
	if (!body) {
		http_problem(x, ERR_INVALID, 0, err.text);
		return;
	}
	struct http_call call = { .method = "POST",
				  .target = "/v1/sessions",
				  .fields = &json,
				  .nfields = 1,
				  .body = body,
				  .body_len = strlen(body) };
	auth_call(p, x, &call, on_login);
	sodium_memzero(body, strlen(body));
	free(body);
}

/* --- logging out --------------------------------------------------------------------------------------------- */

static void on_logout(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct auth_pending pending = *(struct auth_pending *)ctx;
	free(ctx);
	if (auth_succeeded(pending.x, reply, err, SORRY, false))
		answer(pending.proxy, pending.x, 204, "", 0, NULL, 0);
}

void logout_handle(struct proxy *p, struct http_exchange *x)
{
	char bearer[AUTH_BEARER_SIZE];
	if (!acceptable(x) || !auth_bearer(x, bearer, "there is no session to end"))
		return;
	struct http_field field = { "Authorization", bearer };
	struct http_call call = {
		.method = "DELETE", .target = "/v1/sessions/current", .fields = &field, .nfields = 1
	};
	auth_call(p, x, &call, on_logout);
}
