/* SPDX-License-Identifier: MIT */
#include "proxy/record.h"

#include "policy/flow.h"
#include "proxy/proxy.h"

static void add_session(const struct session *s, struct audit_record *out)
{
	out->actor = s->user;
	out->class_name = s->class_name;
	out->session = s->uuid;
	out->purpose = s->purpose;
	out->epoch = s->epoch;
}

static void add_outcome(const struct request *r, bool allowed, struct audit_record *out)
{
	enum flow_rule rule = r->certificate[0] ? FLOW_R7_DECLASSIFY : FLOW_R4_RESPOND;
	out->allowed = allowed;
	out->rule = allowed ? flow_rule_name(rule) : r->refusal.rule;
	out->reason = allowed ? (r->gone ? "client-gone" : "") : r->refusal.reason;
}

void record_request(struct request *r, bool allowed, int status)
{
	char after[PPCE_LABEL_SIZE] = "";
	struct audit_record record = { .event = "request",
				       .request_id = r->x->request_id,
				       .app = r->app_name,
				       .image = r->image,
				       .path = r->path ? r->path : r->x->path,
				       .label = r->label,
				       .object = r->certificate,
				       .instance = r->instance,
				       .address = r->x->peer,
				       .status = status };
	if (r->session)
		add_session(r->session, &record);
	/* Where the instance has come to by reading; left out where it has not moved. */
	if (r->instance[0] && !label_equal(r->proxy->policy, &r->after, &r->bound) &&
	    label_format(r->proxy->policy, &r->after, after, NULL) == 0)
		record.after = after;
	add_outcome(r, allowed, &record);
	audit_submit(r->proxy->audit, &record, &r->wait);
}
