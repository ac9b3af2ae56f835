/* SPDX-License-Identifier: MIT */
#include "proxy/forward_http.h"

#include <stdio.h>
#include <string.h>

#include "proxy/proxy.h"
#include "proxy/request.h"

#define OWN_FIELDS 6

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	request_replied(ctx, reply, err);
}

static unsigned add(struct http_field *out, unsigned n, const char *name, const char *value)
{
	if (*value)
		out[n++] = (struct http_field){ name, value };
	return n;
}

void forward_http(struct request *r)
{
	struct http_field fields[PPCE_HEADERS_MAX + OWN_FIELDS];
	char target[65536 + 2]; /* target_bytes is at most 65536, see lib/config.h */
	unsigned n = 0;
	for (size_t i = 0; i < r->nfields; i++)
		fields[n++] = (struct http_field){ r->fields[i].name, r->fields[i].value };
	n = add(fields, n, "PPCE-User", r->session->user);
	n = add(fields, n, "PPCE-Class", r->session->class_name);
	n = add(fields, n, "PPCE-Label", r->label);
	n = add(fields, n, "PPCE-Session", r->session->uuid);
	n = add(fields, n, "PPCE-Purpose", r->session->purpose);
	n = add(fields, n, "PPCE-Request-Id", r->x->request_id);
	snprintf(target, sizeof target, "%s%s%s", r->path, *r->x->query ? "?" : "", r->x->query);
	struct http_call call = { .address = r->service->address,
				  .host = r->service->address,
				  .method = r->x->method,
				  .target = target,
				  .fields = fields,
				  .nfields = n,
				  .body = r->x->body,
				  .body_len = r->x->body_len,
				  .timeout_ms = r->proxy->config.proxy.request_ms,
				  .answer_bytes = PPCE_RESPONSE_BYTES_MAX };
	http_call_start(r->proxy->client, &call, on_reply, r);
}
