/* SPDX-License-Identifier: MIT */
#include "policy/flow.h"

#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

const char *flow_rule_name(enum flow_rule rule)
{
	static const char *const names[] = {
		[FLOW_R0_SESSION] = "R0", [FLOW_R1_ROUTE] = "R1",  [FLOW_R2_READ] = "R2",   [FLOW_R3_WRITE] = "R3",
		[FLOW_R4_RESPOND] = "R4", [FLOW_R5_SEND] = "R5",   [FLOW_R6_EGRESS] = "R6", [FLOW_R7_DECLASSIFY] = "R7",
		[FLOW_R8_REUSE] = "R8",	  [FLOW_R9_REVOKE] = "R9",
	};
	return names[rule];
}

static struct flow_verdict allow(enum flow_rule rule, const char *why)
{
	struct flow_verdict v = { .allowed = true, .rule = rule };
	snprintf(v.why, sizeof v.why, "%s", why);
	return v;
}

static struct flow_verdict refuse(enum flow_rule rule, const char *why)
{
	struct flow_verdict v = { .allowed = false, .rule = rule };
	snprintf(v.why, sizeof v.why, "%s", why);
	return v;
}

/* If `low` is not <= `high`, fills `v` with a refusal that names both labels and the axis, and returns true. Long labels
 * are cut: the axis is what an operator needs. */
static bool violates(const struct policy *p, enum flow_rule rule, const char *low_name, const struct label *low,
		     const char *high_name, const struct label *high, struct flow_verdict *v)
{
	char low_text[PPCE_LABEL_SIZE], high_text[PPCE_LABEL_SIZE];
	const struct axis *x = label_first_above(p, low, high);
	if (!x)
		return false;
	/* A label that cannot be written leaves its text empty; the decision does not depend on it. */
	label_format(p, low, low_text, NULL);
	label_format(p, high, high_text, NULL);
	*v = (struct flow_verdict){ .allowed = false, .rule = rule };
	snprintf(v->why, sizeof v->why, "on the axis %s, %s (%.60s) is not at or below %s (%.60s)", x->name, low_name,
		 low_text, high_name, high_text);
	return true;
}

struct flow_verdict flow_session(const struct policy *p, const struct label *floor, const struct label *ceiling,
				 const struct label *clearance)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R0_SESSION, "the session's label", floor, "its ceiling", ceiling, &v) ||
	    violates(p, FLOW_R0_SESSION, "the session's ceiling", ceiling, "the user's clearance", clearance, &v))
		return v;
	return allow(FLOW_R0_SESSION, "the session lies within the user's clearance");
}

struct flow_verdict flow_request(const struct policy *p, const struct label *floor, const struct label *ceiling,
				 const struct label *r)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R1_ROUTE, "the session's label", floor, "the request", r, &v) ||
	    violates(p, FLOW_R1_ROUTE, "the request", r, "the session's ceiling", ceiling, &v))
		return v;
	return allow(FLOW_R1_ROUTE, "the request lies between the session's label and its ceiling");
}

struct flow_verdict flow_deliver(const struct policy *p, const struct label *r, const char *user,
				 const struct label *bound, const char *owner)
{
	if (!label_equal(p, r, bound))
		return refuse(FLOW_R1_ROUTE, "the instance is bound to another label than the request's");
	if (*owner && strcmp(owner, user) != 0)
		return refuse(FLOW_R8_REUSE, "the instance is bound to another user");
	return allow(FLOW_R1_ROUTE, *owner ? "the instance is bound to exactly this label and user"
					   : "the instance is bound to exactly this label");
}

struct flow_verdict flow_read(const struct policy *p, enum flow_mode mode, const struct label *instance,
			      const struct label *ceiling, const struct label *data, struct label *after)
{
	struct flow_verdict v;
	struct label raised = *instance; /* a copy: `after` may be one of the arguments */
	if (mode != FLOW_FLOAT) {
		if (!violates(p, FLOW_R2_READ, "the data", data, "the fixed instance", instance, &v))
			v = allow(FLOW_R2_READ, "the data lies at or below the label of the fixed instance");
	} else if (!violates(p, FLOW_R2_READ, "the data", data, "the instance's ceiling", ceiling, &v)) {
		v = allow(FLOW_R2_READ, "the data lies at or below the instance's ceiling");
		label_join(p, instance, data, &raised);
	}
	*after = raised;
	return v;
}

struct flow_verdict flow_write(const struct policy *p, const struct label *instance, const struct label *ceiling,
			       const struct label *data)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R3_WRITE, "the instance", instance, "what it writes", data, &v) ||
	    violates(p, FLOW_R3_WRITE, "what is written", data, "the instance's ceiling", ceiling, &v))
		return v;
	return allow(FLOW_R3_WRITE, "what is written lies between the instance's label and its ceiling");
}

struct flow_verdict flow_respond(const struct policy *p, const struct label *instance, const struct label *ceiling,
				 const struct label *clearance)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R4_RESPOND, "the instance", instance, "the session's ceiling", ceiling, &v) ||
	    violates(p, FLOW_R4_RESPOND, "the instance", instance, "the user's clearance", clearance, &v))
		return v;
	return allow(FLOW_R4_RESPOND, "the instance lies within the session's ceiling and the user's clearance");
}

struct flow_verdict flow_send(const struct policy *p, const struct label *from, const struct label *to)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R5_SEND, "the sender", from, "the receiver", to, &v))
		return v;
	return allow(FLOW_R5_SEND, "the sender lies at or below the receiver");
}

struct flow_verdict flow_egress(const struct policy *p, const struct label *instance, const struct label *sink)
{
	struct flow_verdict v;
	if (!sink)
		return refuse(FLOW_R6_EGRESS, "the policy has no such sink");
	if (violates(p, FLOW_R6_EGRESS, "the instance", instance, "the sink", sink, &v))
		return v;
	return allow(FLOW_R6_EGRESS, "the instance lies at or below the sink");
}

struct flow_verdict flow_revoked(const struct policy *p, const struct label *l, const struct label *clearance)
{
	struct flow_verdict v;
	if (violates(p, FLOW_R9_REVOKE, "the label", l, "the new clearance", clearance, &v))
		return v;
	return allow(FLOW_R9_REVOKE, "the label lies within the new clearance");
}
