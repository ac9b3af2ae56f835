/* SPDX-License-Identifier: MIT
 *
 * A table of paths for the test guests: one property each, "GET /" lists them. */
#ifndef TESTS_GUEST_PATHS_H
#define TESTS_GUEST_PATHS_H

#include <string.h>

#include <ppce/ppce.h>

struct test_path {
	const char *path;
	int (*handle)(const struct ppce_request *req, struct ppce_response *res);
};

static inline int test_index(const struct ppce_request *req, struct ppce_response *res, const struct test_path *paths,
			     size_t n)
{
	(void)req;
	int r = ppce_reply(res, 200, "text/plain", "%s", "");
	for (size_t i = 0; r == 0 && i < n; i++)
		r = ppce_printf(res, "%s\n", paths[i].path);
	return r;
}

static inline int test_route(const struct ppce_request *req, struct ppce_response *res, const struct test_path *paths,
			     size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(req->path, paths[i].path) == 0)
			return paths[i].handle(req, res);
	return ppce_reply(res, 404, "text/plain", "no such test\n");
}

#endif
