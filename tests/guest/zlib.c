/* SPDX-License-Identifier: MIT
 *
 * zlib, unchanged, in a guest. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/guest/paths.h"

static int crc(const struct ppce_request *req, struct ppce_response *res)
{
	return ppce_reply(res, 200, "text/plain", "%08lx\n", crc32(0, req->body, (uInt)req->body_len));
}

/* Answers the body compressed, for the test to unpack. */
static int deflate_body(const struct ppce_request *req, struct ppce_response *res)
{
	uLongf len = compressBound(req->body_len);
	Bytef *out = malloc(len);

	if (!out || compress(out, &len, req->body, req->body_len) != Z_OK || ppce_status(res, 200) < 0) {
		free(out);
		return -1;
	}
	int r = ppce_body(res, out, len);
	free(out);
	return r;
}

static int inflate_body(const struct ppce_request *req, struct ppce_response *res)
{
	static Bytef out[65536];
	uLongf len = sizeof out;

	if (uncompress(out, &len, req->body, req->body_len) != Z_OK)
		return ppce_reply(res, 400, "text/plain", "not a zlib stream, or too long\n");
	return ppce_status(res, 200) < 0 ? -1 : ppce_body(res, out, len);
}

static const struct test_path paths[] = { { "/crc32", crc },
					  { "/deflate", deflate_body },
					  { "/inflate", inflate_body } };

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

PPCE_APP(.name = "zlib", .handle = handle, .memory_mib = 4, .warm_path = "/crc32")
