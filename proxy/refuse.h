/* SPDX-License-Identifier: MIT
 *
 * Why a request fails: noted here, said by the step REFUSE.
 */
#ifndef PROXY_REFUSE_H
#define PROXY_REFUSE_H

#include "policy/flow.h"
#include "proxy/request.h"

/* Both return STEP_REFUSE. `reason` is a stable code for the audit log, `detail` is shown to the client. */
enum request_step refuse(struct request *r, enum err_kind kind, const char *reason, const char *detail);
/* A flow rule's verdict, in one wording for all of them: what exactly was blocked is not the client's. */
enum request_step refuse_flow(struct request *r, const struct flow_verdict *v, const char *reason);

#endif
