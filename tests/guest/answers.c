/* SPDX-License-Identifier: MIT
 *
 * What a handler may do with requests and responses, right and wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/paths.h"

static int who(const struct ppce_request *req, struct ppce_response *res)
{
	ppce_reply(res, 200, "text/plain", "%s %s?%s\nuser=%s class=%s label=%s session=%s purpose=%s app=%s id=%s\n",
		   req->method, req->path, req->query, req->user, req->class_name, req->label, req->session,
		   req->purpose, req->app, req->id);
	for (size_t i = 0; i < req->nheaders; i++)
		ppce_printf(res, "%s: %s\n", req->headers[i].name, req->headers[i].value);
	return ppce_body(res, req->body, req->body_len);
}

static int query(const struct ppce_request *req, struct ppce_response *res)
{
	char text[16];
	int n = ppce_query_get(req, "v", text, sizeof text);

	return ppce_reply(res, 200, "text/plain", "%d %s", n, n < 0 ? "" : text);
}

static int header(const struct ppce_request *req, struct ppce_response *res)
{
	const char *value = ppce_header_get(req, "X-Test");

	return ppce_reply(res, 200, "text/plain", "%s", value ? value : "absent");
}

/* A body of n bytes in pieces; a response that does not fit is a 500, whether the handler looks at the result or not. */
static int big(const struct ppce_request *req, struct ppce_response *res)
{
	char text[16], piece[1000];
	size_t n = ppce_query_get(req, "n", text, sizeof text) > 0 ? strtoul(text, NULL, 10) : 0;

	memset(piece, 'b', sizeof piece);
	ppce_status(res, 200);
	while (n) {
		size_t part = n < sizeof piece ? n : sizeof piece;
		ppce_body(res, piece, part);
		n -= part;
	}
	return 0;
}

static int start_over(const struct ppce_request *req, struct ppce_response *res)
{
	static char much[1 << 19];

	(void)req;
	ppce_header_add(res, "x-first", "1");
	ppce_body(res, much, sizeof much);
	return ppce_reply(res, 507, "text/plain", "did not fit\n");
}

static int fields(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	ppce_reply(res, 201, "text/plain", "body first");
	ppce_header_add(res, "X-One", "1");
	ppce_header_add(res, "Content-Type", "text/html");
	return ppce_header_add(res, "set-cookie", "a=b; HttpOnly");
}

static int many_fields(const struct ppce_request *req, struct ppce_response *res)
{
	char name[16], text[16];
	int n = ppce_query_get(req, "n", text, sizeof text) > 0 ? atoi(text) : 0;

	ppce_reply(res, 200, NULL, "%s", "");
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "x-%d", i);
		ppce_header_add(res, name, "value");
	}
	return 0;
}

static int bad_field(const struct ppce_request *req, struct ppce_response *res)
{
	static const char *const names[] = { "",	  "a b", "a:", "x\r\ny", "Content-Length", "Transfer-Encoding",
					     "connection" };
	size_t bad = 0;

	(void)req;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		bad += ppce_reply(res, 200, "text/plain", "%s", "") == 0 && ppce_header_add(res, names[i], "v") == -1;
	bad += ppce_reply(res, 200, "text/plain", "%s", "") == 0 &&
	       ppce_header_add(res, "x", "a\r\nSet-Cookie: b") == -1;
	bad += ppce_status(res, 199) == -1 && ppce_status(res, 600) == -1 && ppce_status(res, 100) == -1;
	return ppce_reply(res, bad == 9 ? 200 : 500, "text/plain", "%zu refused\n", bad);
}

static int binary(const struct ppce_request *req, struct ppce_response *res)
{
	uint8_t all[256];

	(void)req;
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	ppce_status(res, 200);
	return ppce_body(res, all, sizeof all);
}

static int no_status(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_printf(res, "a body but no status");
}

static int failing(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	ppce_reply(res, 200, "text/plain", "secret inner detail");
	return -1;
}

static const struct test_path paths[] = { { "/who", who },
					  { "/query", query },
					  { "/header", header },
					  { "/big", big },
					  { "/start-over", start_over },
					  { "/fields", fields },
					  { "/many-fields", many_fields },
					  { "/bad-field", bad_field },
					  { "/binary", binary },
					  { "/no-status", no_status },
					  { "/failing", failing } };

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "answers", .handle = handle, .memory_mib = 4, .request_kib = 32, .response_kib = 128,
	 .warm_path = "/who")
