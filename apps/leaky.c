/* SPDX-License-Identifier: MIT
 *
 * An app with two classic bugs, kept on purpose: it shows what isolation is worth when the app itself is wrong. Both leak
 * one user's data to the next one as long as users share an instance (lifetime `class`). Neither can when each user has
 * an instance (lifetime `user`), nor when each request gets a pristine one (lifetime `request`): the other user's bytes
 * are simply not in that memory. Do not copy from this file.
 *
 *   POST /echo?len=N   answers N bytes of the body sent. Bug 1 (Heartbleed, 2014): N is believed
 *   GET  /return       the caller's tax return. Bug 2 (Altinn, 2012): the cache does not ask whose it is */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ppce/ppce.h>

static int echo(const struct ppce_request *req, struct ppce_response *res)
{
	static char buffer[16384]; /* reused for every request and never cleared */
	char text[12];
	size_t len = req->body_len;

	if (req->body_len > sizeof buffer)
		return ppce_reply(res, 413, "text/plain", "at most %zu bytes\n", sizeof buffer);
	memcpy(buffer, req->body, req->body_len);
	if (ppce_query_get(req, "len", text, sizeof text) > 0)
		len = strtoul(text, NULL, 10);
	/* BUG: the length is checked against the buffer, not against the body that came in. What lies behind the body
	 * is what earlier, longer bodies left there. */
	if (len > sizeof buffer)
		len = sizeof buffer;
	if (ppce_status(res, 200) < 0 || ppce_header_add(res, "content-type", "application/octet-stream") < 0)
		return -1;
	return ppce_body(res, buffer, len);
}

/* Stands for the slow work that makes people add a cache. */
static void render_return(const struct ppce_request *req, char *out, size_t size)
{
	unsigned income = 300000;

	for (const char *c = req->user; *c; c++)
		income = (income * 31 + (unsigned char)*c) % 900000 + 100000;
	snprintf(out, size, "Tax return of %s\nlabel: %s\ntaxable income: %u\n", req->user, req->label, income);
}

static int tax_return(const struct ppce_request *req, struct ppce_response *res)
{
	static struct {
		char key[64];
		char page[1024];
	} cache[8];
	static unsigned next;

	/* BUG: the key is the path. Who asks is part of what the page depends on, so it belongs into the key. */
	for (unsigned i = 0; i < sizeof cache / sizeof *cache; i++)
		if (strcmp(cache[i].key, req->path) == 0)
			return ppce_reply(res, 200, "text/plain; charset=utf-8", "%s", cache[i].page);
	unsigned i = next++ % (sizeof cache / sizeof *cache);
	snprintf(cache[i].key, sizeof cache[i].key, "%s", req->path);
	render_return(req, cache[i].page, sizeof cache[i].page);
	return ppce_reply(res, 200, "text/plain; charset=utf-8", "%s", cache[i].page);
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	if (strcmp(req->path, "/return") == 0)
		return tax_return(req, res);
	if (strcmp(req->path, "/echo") == 0)
		return echo(req, res);
	return ppce_reply(res, 404, "text/plain", "try POST /echo?len=N or GET /return\n");
}

PPCE_APP(.name = "leaky", .handle = handle, .memory_mib = 4)
