/* SPDX-License-Identifier: MIT
 *
 * Answers what its start drew at random: the same for all instances of one snapshot. */
#include <ppce/ppce.h>

static uint64_t drawn;

static int init(void)
{
	ppce_random(&drawn, sizeof drawn);
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_reply(res, 200, "text/plain", "%016lx\n", (unsigned long)drawn);
}

PPCE_APP(.name = "draw", .init = init, .handle = handle)
