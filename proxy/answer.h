/* SPDX-License-Identifier: MIT
 *
 * What an answer is and which label it carries, before rule R4 is asked.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "policy/flow.h"
#include "proxy/request.h"

/* Decodes the answer into r->response and tells the label that it carries: that of the instance, or of a value which the
 * store has released (R7). Sets r->after and r->certificate. -1: it may not be used at all. */
int answer_take(struct request *r, struct label *out, struct err *err);
/* Has the instance read what the session may not see? Then not even the way in which it failed is told. Sets r->after. */
bool answer_blocked(struct request *r, struct flow_verdict *v);

/* What the client is told about a failed instance: as much as tells whether trying again helps, and no more. */
const char *answer_loss_detail(enum err_kind kind);
/* Lets go of the instance: from here on it may serve others, or it ends. */
void answer_let_go(struct request *r);

/* Our own fields, with expose_timing only: added after those of the answer, from which PPCE-* and Server-Timing were
 * dropped. How long a tainted instance ran is not among them. Fills at most 4, returns their number. */
unsigned answer_own_fields(struct request *r, struct http_field *out, char *timing, size_t size);

#endif
