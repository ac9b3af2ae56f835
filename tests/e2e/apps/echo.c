/* SPDX-License-Identifier: MIT
 *
 * A guest for the end-to-end tests: says what it knows about the request, and misbehaves when asked to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ppce/ppce.h>

static unsigned count;		   /* requests that this memory has seen */
static char kept[256] = "nothing"; /* what an earlier request left */

static unsigned long number(const struct ppce_request *req, const char *name)
{
	char text[32];
	return ppce_query_get(req, name, text, sizeof text) < 0 ? 0 : strtoul(text, NULL, 10);
}

static int fill(struct ppce_response *res, unsigned long size)
{
	static const char line[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
	if (ppce_reply(res, 200, "text/plain", "%s", "") < 0)
		return -1;
	for (; size >= sizeof line - 1; size -= sizeof line - 1)
		if (ppce_body(res, line, sizeof line - 1) < 0)
			return -1;
	return ppce_body(res, line, size);
}

static void busy(unsigned long ms)
{
	uint64_t end = ppce_monotonic_ns() + ms * 1000000;
	while (ppce_monotonic_ns() < end)
		;
}

static int describe(const struct ppce_request *req, struct ppce_response *res)
{
	if (ppce_reply(res, 200, "text/plain", "%s", "") < 0 ||
	    ppce_printf(res, "method=%s\npath=%s\n", req->method, req->path) < 0 ||
	    ppce_printf(res, "query=%s\nuser=%s\nclass=%s\n", req->query, req->user, req->class_name) < 0 ||
	    ppce_printf(res, "label=%s\nsession=%s\npurpose=%s\n", req->label, req->session, req->purpose) < 0 ||
	    ppce_printf(res, "id=%s\ncount=%u\nkept=%s\nbody=", req->id, count, kept) < 0 ||
	    ppce_body(res, req->body, req->body_len) < 0)
		return -1;
	if (ppce_printf(res, "\n") < 0)
		return -1;
	for (size_t i = 0; i < req->nheaders; i++)
		if (ppce_printf(res, "header.%s=%s\n", req->headers[i].name, req->headers[i].value) < 0)
			return -1;
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	count++;
	if (strcmp(req->path, "/keep") == 0)
		snprintf(kept, sizeof kept, "%s:%.*s", req->user, (int)req->body_len, (const char *)req->body);
	if (strcmp(req->path, "/crash") == 0)
		*(volatile int *)16 = 1;
	if (strcmp(req->path, "/exit") == 0)
		exit(3);
	if (strcmp(req->path, "/spin") == 0)
		for (volatile unsigned i = 0;; i++)
			;
	if (strcmp(req->path, "/slow") == 0)
		busy(number(req, "ms"));
	if (strcmp(req->path, "/log") == 0)
		ppce_log(PPCE_INFO, "a line for the operator: %s", req->query);
	if (strcmp(req->path, "/big") == 0)
		return fill(res, number(req, "bytes"));
	return describe(req, res);
}

PPCE_APP(.name = "echo", .handle = handle, .memory_mib = 4)
