/* SPDX-License-Identifier: MIT
 *
 * A guest for the tests of vmmd: logs what it is told to, ends when it is told to, and with -DINIT_... fails its boot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ppce/ppce.h>

static int init(void)
{
#if defined INIT_FAILS
	fprintf(stderr, "no configuration\n");
	return 1;
#elif defined INIT_EXITS
	exit(7);
#elif defined INIT_HANGS
	for (volatile unsigned i = 0;; i++)
		;
#elif defined INIT_CRASHES
	*(volatile int *)16 = 1;
#endif
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	if (strcmp(req->path, "/log") == 0)
		ppce_log(PPCE_WARNING, "%s", (const char *)req->body);
	if (strcmp(req->path, "/crash") == 0)
		*(volatile int *)16 = 1;
	if (strcmp(req->path, "/exit") == 0)
		exit(3);
	return ppce_reply(res, 200, "text/plain", "guest %s\n", req->path);
}

PPCE_APP(.name = "guest", .init = init, .handle = handle, .memory_mib = 4)
