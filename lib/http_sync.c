/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/http_client.h"
#include "lib/rest.h"

struct result {
	struct http_client *client;
	int status;
	char *body;
	struct err err; /* kind ERR_NONE: 2xx */
};

static enum err_kind kind_of_status(int status)
{
	for (int kind = ERR_INVALID; kind < ERR_KINDS; kind++)
		if (err_http_status((enum err_kind)kind) == status)
			return (enum err_kind)kind;
	return status >= 500 ? ERR_BAD_GATEWAY : ERR_INVALID;
}

static bool is_problem(const struct http_reply *reply)
{
	static const char type[] = "application/problem+json";
	for (unsigned i = 0; i < reply->nfields; i++)
		if (strcasecmp(reply->fields[i].name, "Content-Type") == 0)
			return strncasecmp(reply->fields[i].value, type, sizeof(type) - 1) == 0;
	return false;
}

/* The peer's problem in our own terms; a peer that does not speak them gives its status alone. */
static void read_problem(const struct http_reply *reply, struct err *err)
{
	struct err ignored;
	json_t *doc = is_problem(reply) ? json_decode(reply->body, reply->body_len, &ignored) : NULL;
	const char *code = json_string_value(json_object_get(doc, "code"));
	const char *detail = json_string_value(json_object_get(doc, "detail"));

	err_set(err, kind_of_status(reply->status), "the server answered with status %d", reply->status);
	if (code && detail)
		err_set(err, err_from_code(code), "%s", detail);
	json_decref(doc);
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct result *r = ctx;
	if (!reply) {
		r->err = *err;
		return;
	}
	r->status = reply->status;
	if (reply->status < 200 || reply->status > 299) {
		read_problem(reply, &r->err);
		return;
	}
	r->body = malloc(reply->body_len + 1);
	if (!r->body) {
		err_set(&r->err, ERR_INTERNAL, "no memory for the answer");
		return;
	}
	if (reply->body_len)
		memcpy(r->body, reply->body, reply->body_len);
	r->body[reply->body_len] = '\0';
}

int http_call_sync(const struct http_call *call, int *status, char **body, struct err *err)
{
	struct result r = { 0 };
	uv_loop_t loop;

	if (body)
		*body = NULL;
	if (status)
		*status = 0;
	if (uv_loop_init(&loop))
		return err_set(err, ERR_INTERNAL, "cannot make an event loop");
	r.client = http_client_new(&loop);
	if (r.client) {
		http_client_keep_none(r.client);
		http_call_start(r.client, call, on_reply, &r);
		uv_run(&loop, UV_RUN_DEFAULT);
		http_client_free(r.client);
		uv_run(&loop, UV_RUN_DEFAULT);
	} else {
		err_set(&r.err, ERR_INTERNAL, "no memory");
	}
	uv_loop_close(&loop);
	if (status)
		*status = r.status;
	if (body)
		*body = r.body;
	else
		free(r.body);
	if (r.err.kind == ERR_NONE)
		return 0;
	if (err)
		*err = r.err;
	return -1;
}
