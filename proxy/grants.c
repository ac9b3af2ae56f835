/* SPDX-License-Identifier: MIT */
#include "proxy/grants.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/auth_call.h"

bool grants_path(const char *path)
{
	static const char grants[] = "/v1/grants";
	const char *rest = path + sizeof grants - 1;
	if (strncmp(path, grants, sizeof grants - 1) == 0 && (*rest == '\0' || *rest == '/'))
		return true;
	return strcmp(path, "/v1/break-glass") == 0 || strcmp(path, "/v1/erase") == 0;
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	static const struct http_field no_store = { "Cache-Control", "no-store" };
	struct http_exchange *x = ((struct auth_pending *)ctx)->x;
	free(ctx);
	if (!auth_succeeded(x, reply, err, "this does not work right now; try again later", true))
		return;
	struct http_answer a = { .status = reply->status,
				 .content_type = reply->body_len ? "application/json" : NULL,
				 .body = reply->body,
				 .body_len = reply->body_len,
				 .fields = &no_store,
				 .nfields = 1 };
	http_respond(x, &a);
}

static bool method_known(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0 ||
	       strcmp(method, "DELETE") == 0;
}

/* The exchange's own words, but for the token, which is put where auth looks for it. */
static void pass_on(struct proxy *p, struct http_exchange *x, const char *bearer)
{
	const char *type = http_field_get(x, "Content-Type");
	struct http_field fields[] = { { "Authorization", bearer }, { "Content-Type", type } };
	struct http_call call = { .method = x->method,
				  .target = x->target,
				  .fields = fields,
				  .nfields = type ? 2 : 1,
				  .body = x->body,
				  .body_len = x->body_len };
	auth_call(p, x, &call, on_reply);
}

void grants_handle(struct proxy *p, struct http_exchange *x)
{
	static const struct http_field allow = { "Allow", "GET, PUT, POST, DELETE" };
	char bearer[AUTH_BEARER_SIZE];
	if (!method_known(x->method)) {
		http_problem_fields(x, ERR_METHOD, 0, "this is not possible here", &allow, 1);
		return;
	}
	if (auth_cross_site(x)) {
		http_problem(x, ERR_DENIED, 0, "not from another site");
		return;
	}
	if (!auth_bearer(x, bearer, "log in first, and send the token as Authorization: Bearer or as the cookie"))
		return;
	pass_on(p, x, bearer);
	sodium_memzero(bearer, sizeof bearer);
}
