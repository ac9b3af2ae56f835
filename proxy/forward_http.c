/* SPDX-License-Identifier: MIT */
#include "proxy/forward_http.h"

#include <stdio.h>

#include "proxy/forward.h"
#include "proxy/proxy.h"

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	forward_service_replied(ctx, reply, err);
}

static unsigned add(struct http_field *out, unsigned n, const char *name, const char *value)
{
	if (*value)
		out[n++] = (struct http_field){ name, value };
	return n;
}

unsigned forward_fields(const struct request *r, struct http_field out[FORWARD_FIELDS_MAX])
{
	unsigned n = 0;
	for (size_t i = 0; i < r->nfields; i++)
		out[n++] = (struct http_field){ r->fields[i].name, r->fields[i].value };
	n = add(out, n, "PPCE-App", r->app_name);
	n = add(out, n, "PPCE-User", r->session->user);
	n = add(out, n, "PPCE-Class", r->session->class_name);
	n = add(out, n, "PPCE-Label", r->label);
	n = add(out, n, "PPCE-Session", r->session->uuid);
	n = add(out, n, "PPCE-Purpose", r->session->purpose);
	return add(out, n, "PPCE-Request-Id", r->x->request_id);
}

void forward_target(const struct request *r, char out[FORWARD_TARGET_SIZE])
{
	snprintf(out, FORWARD_TARGET_SIZE, "%s%s%s", r->path, *r->x->query ? "?" : "", r->x->query);
}

void forward_http(struct request *r)
{
	struct http_field fields[FORWARD_FIELDS_MAX];
	char target[FORWARD_TARGET_SIZE];
	forward_target(r, target);
	struct http_call call = { .address = r->service->address,
				  .host = r->service->address,
				  .method = r->x->method,
				  .target = target,
				  .fields = fields,
				  .nfields = forward_fields(r, fields),
				  .body = r->x->body,
				  .body_len = r->x->body_len,
				  .timeout_ms = r->proxy->config.proxy.request_ms,
				  .answer_bytes = PPCE_RESPONSE_BYTES_MAX };
	http_call_start(r->proxy->client, &call, on_reply, r);
}
