/* SPDX-License-Identifier: MIT */
#include "proxy/refuse.h"

#include <stdio.h>

#include "lib/log.h"

enum request_step refuse(struct request *r, enum err_kind kind, const char *reason, const char *detail)
{
	r->refusal.kind = kind;
	r->refusal.reason = reason;
	r->refusal.rule = "";
	r->refusal.retry_after = kind == ERR_UNAVAILABLE || kind == ERR_FULL ? 1 : 0;
	snprintf(r->refusal.detail, sizeof r->refusal.detail, "%s", detail);
	return STEP_REFUSE;
}

enum request_step refuse_flow(struct request *r, const struct flow_verdict *v, const char *reason)
{
	log_debug("request %s: %s: %s", r->x->request_id, flow_rule_name(v->rule), v->why);
	refuse(r, ERR_DENIED, reason, "this session may not do that");
	r->refusal.rule = flow_rule_name(v->rule);
	return STEP_REFUSE;
}
