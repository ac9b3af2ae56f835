/* SPDX-License-Identifier: MIT
 *
 * The flow rules, by the names used in code, tests, `ppce explain` and the audit log. Pure. Every function answers with
 * a verdict that says which rule decided and why, in words for an operator.
 */
#ifndef POLICY_FLOW_H
#define POLICY_FLOW_H

#include "policy/label.h"

enum flow_rule {
	FLOW_R0_SESSION = 0, /* min <= L(session) <= C(session) <= clearance */
	FLOW_R1_ROUTE, /* a request at r with L(session) <= r <= C(session) goes to an instance bound to exactly r */
	FLOW_R2_READ,  /* fixed: d <= L(instance). Floating: d <= C, then L := L join d, recorded before the bytes go */
	FLOW_R3_WRITE, /* L(instance) <= d <= C. No write-down */
	FLOW_R4_RESPOND,    /* an answer leaves only if L(instance) <= C(session) meet clearance */
	FLOW_R5_SEND,	    /* from instance i to instance j only if L(i) <= L(j) */
	FLOW_R6_EGRESS,	    /* to a sink only if L(instance) <= label of the sink */
	FLOW_R7_DECLASSIFY, /* only under a certificate (policy/certificate.h); only the value is relabelled */
	FLOW_R8_REUSE,	/* class instances are shared by label, user instances by (label, user); the rest bound once */
	FLOW_R9_REVOKE, /* what violates the new clearance ends before the revocation is acknowledged */
};
const char *flow_rule_name(enum flow_rule rule); /* "R0", "R1", ... */

enum flow_mode { FLOW_FIXED, FLOW_FLOAT };

struct flow_verdict {
	bool allowed;
	enum flow_rule rule;
	char why[256];
};

/* R0: may a session have floor L and ceiling C, given the user's clearance? */
struct flow_verdict flow_session(const struct policy *p, const struct label *floor, const struct label *ceiling,
				 const struct label *clearance);
/* R1: may a request of this session run at level r? */
struct flow_verdict flow_request(const struct policy *p, const struct label *floor, const struct label *ceiling,
				 const struct label *r);
/* R1 and R8: may a request at level r by `user` be given to an instance bound to (bound, owner)? `owner` is empty for
 * instances that are not bound to one user. */
struct flow_verdict flow_deliver(const struct policy *p, const struct label *r, const char *user,
				 const struct label *bound, const char *owner);
/* R2: may an instance at L with ceiling C read data labelled d? If so, *after is the label it must have, and be recorded
 * with, before it gets the bytes; else *after is L. */
struct flow_verdict flow_read(const struct policy *p, enum flow_mode mode, const struct label *instance,
			      const struct label *ceiling, const struct label *data, struct label *after);
/* R3: may it write data labelled d? */
struct flow_verdict flow_write(const struct policy *p, const struct label *instance, const struct label *ceiling,
			       const struct label *data);
/* R4: may an answer of an instance at label `instance` go to a session with this ceiling? */
struct flow_verdict flow_respond(const struct policy *p, const struct label *instance, const struct label *ceiling,
				 const struct label *clearance);
/* R5 */
struct flow_verdict flow_send(const struct policy *p, const struct label *from, const struct label *to);
/* R6. sink NULL: no such sink in the policy */
struct flow_verdict flow_egress(const struct policy *p, const struct label *instance, const struct label *sink);
/* R9: may an instance at L, or a session with ceiling L, live on under the new clearance? */
struct flow_verdict flow_revoked(const struct policy *p, const struct label *l, const struct label *clearance);

#endif
