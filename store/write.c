// SPDX-License-Identifier: MIT
//
// A write: R3, and the automata of what its instance has read. Recorded before it happens.
#include <string.h>

#include "store/call.h"

static void on_write(struct job *job)
{
	struct call *c = call_of(job);
	if (!c->instance) {
		call_end_abandoned(c);
		return;
	}
	c->status = job->status;
	if (c->blind && c->status != STORE_UNAVAILABLE) {
		c->status = STORE_OK;
		job->changed = 0;
	}
	if (c->status == STORE_OK && rows_encode_count(job->changed, &c->answer) < 0)
		c->status = STORE_UNAVAILABLE;
	if (job->status == STORE_OK) {
		call_finish(c);
		return;
	}
	c->reason = call_failure_reason(job->status);
	call_record(c, call_finish);
}

static void run_write(struct call *c)
{
	if (c->status != STORE_OK)
		call_finish(c); /* the audit log did not take it */
	else
		call_run(c, on_write);
}

/* What comes back, a number of rows or a conflict, tells of the data there. So an instance whose label can rise rises to
 * the label of what it writes; one whose label cannot learns nothing. */
static int raise_write(struct call *c, struct err *err)
{
	struct monitor *m = &c->instance->monitor;
	c->blind = m->mode == FLOW_FIXED && !label_leq(c->store->policy, &c->label, &m->label);
	monitor_join(m, &c->label);
	call_note_label(c, c->after);
	return instance_publish(c->instance, err);
}

static int derive(struct call *c, bool *allowed, struct err *err)
{
	struct uses_actor who = call_actor(c);
	*allowed = true;
	if (!c->store->automata && !c->instance->monitor.nuses)
		return 0;
	return uses_derive(c->store->state, c->store->policy, &who, &c->instance->monitor, c->query->object, allowed,
			   err);
}

void call_write(struct call *c)
{
	struct err err;
	bool allowed;
	if (call_make_label(c, &err) < 0) {
		call_refuse(c, STORE_DENIED, NULL, "label");
		return;
	}
	owners_add_label(&c->owners, c->store->policy, &c->label);
	struct flow_verdict v = monitor_write(&c->instance->monitor, &c->label);
	if (!v.allowed) {
		call_refuse(c, STORE_DENIED, flow_rule_name(v.rule), "label");
	} else if (derive(c, &allowed, &err) < 0) {
		call_fail(c, &err, "state");
	} else if (!allowed) {
		call_refuse(c, STORE_DENIED, NULL, "automaton");
	} else if (raise_write(c, &err) < 0) {
		call_fail(c, &err, "taint");
	} else {
		c->allowed = true;
		c->rule = "R3";
		c->status = STORE_OK;
		call_record(c, run_write);
	}
}
