/* SPDX-License-Identifier: MIT
 *
 * The smallest useful app: a static answer that depends on the label that this instance was started at. A user who may
 * see more is answered by another instance, which never holds anything of this one's. */
#include <ppce/ppce.h>

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return ppce_reply(res, 200, "text/plain; charset=utf-8", "Hello from the instance at %s\n",
			  *req->label ? req->label : "no label");
}

PPCE_APP(.name = "hello", .handle = handle, .memory_mib = 4)
