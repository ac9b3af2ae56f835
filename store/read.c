// SPDX-License-Identifier: MIT
//
// A read: R2, or R7 where a certificate permits more than the session's ceiling; the automata of the rows; then the label
// is raised, whatever came of it.
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "store/call.h"

static void collect_owners(struct call *c)
{
	const struct query *q = c->query;
	struct label join;
	c->nrows = rows_left(&c->rows, &join);
	for (size_t i = 0; i < c->rows.ngroups; i++) {
		const struct row_group *g = &c->rows.group[i];
		if (g->denied)
			continue;
		if (q->label.per_row)
			owners_add_label(&c->owners, c->store->policy, &g->label);
		if (q->use.set)
			owners_add(&c->owners, g->owner, q->use.category);
	}
}

/* RAISE. Whatever came of the query, its outcome depends on the data, so it is data: also an answer that is none. */
static int raise_read(struct call *c, struct err *err)
{
	uint8_t cohort[OWNERS_COHORT_BYTES];
	struct label data;
	rows_label(&c->rows, &data);
	uint64_t group = owners_count(&c->owners, cohort);
	monitor_raise(&c->instance->monitor, c->query->name, &data, c->status == STORE_OK ? group : 0, cohort);
	call_note_label(c, c->after);
	return instance_publish(c->instance, err);
}

/* Was something read that only a certificate permits? */
static bool above_ceiling(const struct call *c)
{
	const struct monitor *m = &c->instance->monitor;
	struct label data;
	rows_label(&c->rows, &data);
	return m->mode == FLOW_FLOAT && c->permit.certificate && !label_leq(c->store->policy, &data, &m->ceiling);
}

static int apply_automata(struct call *c, struct err *err)
{
	struct uses_actor who = call_actor(c);
	bool allowed;
	if (uses_read(c->store->state, &who, &c->rows, &c->instance->monitor, &allowed, err) < 0)
		return -1;
	if (!allowed)
		c->status = STORE_DENIED;
	return 0;
}

static void on_read(struct job *job)
{
	struct call *c = call_of(job);
	struct err err;
	if (!c->instance) {
		call_end_abandoned(c);
		return;
	}
	c->status = job->status;
	c->store->unlabelled += c->rows.unlabelled;
	if (c->status == STORE_OK && apply_automata(c, &err) < 0) {
		call_fail(c, &err, "state");
		return;
	}
	bool denied = c->status == STORE_DENIED; /* by the automata, after a look at the rows */
	if (!denied)
		collect_owners(c);
	if (c->status == STORE_OK && rows_encode(&c->rows, &c->answer) < 0)
		c->status = STORE_TOO_LARGE;
	if (c->owners.failed)
		c->status = STORE_UNAVAILABLE; /* whose data it is could not be recorded in full */
	if (raise_read(c, &err) < 0) {
		call_fail(c, &err, "taint");
		return;
	}
	c->allowed = !denied;
	c->rule = denied ? NULL : above_ceiling(c) ? "R7" : "R2";
	c->reason = denied ? "automaton" : c->status == STORE_OK ? NULL : call_failure_reason(c->status);
	call_record(c, call_finish);
}

/* An automaton whose owner no row decides is asked before anything runs. */
static int ask_automaton(struct call *c, bool *allowed, struct err *err)
{
	const char *params[PPCE_VALUES_MAX];
	struct query_values v = call_values(c, params);
	const struct query_use *u = &c->query->use;
	struct uses_actor who = call_actor(c);
	struct monitor_use use = { .event = u->event };
	*allowed = true;
	if (!u->set || u->owner.per_row)
		return 0;
	strcpy(use.automaton, u->automaton);
	strcpy(use.category, u->category);
	if (query_template_text(&u->owner, &v, use.owner, sizeof use.owner, err) < 0) {
		*allowed = false;
		return 0;
	}
	return uses_allows(c->store->state, c->store->policy, &who, &use, 1, allowed, err);
}

static void start_rows(struct call *c)
{
	static const char *none[PPCE_VALUES_MAX];
	struct rows_rules rules = { .policy = c->store->policy,
				    .query = c->query,
				    .mode = c->instance->monitor.mode,
				    .instance = c->instance->monitor.label,
				    .ceiling = c->instance->monitor.ceiling,
				    .label = c->label,
				    .permit = c->permit.certificate ? &c->permit : NULL,
				    .bytes = c->query->bytes < c->head.max ? c->query->bytes : c->head.max };
	c->params = calloc(PPCE_VALUES_MAX, sizeof *c->params);
	rules.values = call_values(c, c->params ? c->params : none);
	rows_init(&c->rows, &rules);
	c->job.rows = &c->rows;
}

/* DECIDE, when it is known what certificates permit. */
static void decide_read(struct call *c)
{
	struct flow_verdict v = { .allowed = true };
	struct err err;
	bool allowed;
	if (!c->query->label.per_row)
		v = monitor_read(&c->instance->monitor, &c->label);
	if (!v.allowed && !permit_allows(c->store->policy, &c->permit, &c->label)) {
		call_refuse(c, STORE_DENIED, flow_rule_name(v.rule), "label");
	} else if (ask_automaton(c, &allowed, &err) < 0) {
		call_fail(c, &err, "state");
	} else if (!allowed) {
		call_refuse(c, STORE_DENIED, NULL, "automaton");
	} else {
		start_rows(c);
		call_run(c, on_read);
	}
}

static void on_permit(void *ctx, struct authorised *a)
{
	struct call *c = ctx;
	c->permit.authorised = *a;
	if (c->instance)
		decide_read(c);
	else
		call_end_abandoned(c);
}

/* A certificate for this query that the image lists, if there is one. An instance whose label is fixed has no use for
 * it: it can never stand above its sessions. */
static const struct certificate *find_permit(const struct call *c)
{
	const struct certificates *all = c->store->certificates;
	const struct instance *i = c->instance;
	for (size_t k = 0; i->monitor.mode == FLOW_FLOAT && k < certificates_count(all); k++) {
		const struct certificate *cert = certificates_at(all, k);
		if (instance_may(i, cert->name) && permit_applies(c->store->policy, cert, i->digest, c->query->name,
								  &i->monitor.ceiling, clock_unix()))
			return cert;
	}
	return NULL;
}

void call_read(struct call *c)
{
	struct err err;
	if (!c->query->label.per_row && call_make_label(c, &err) < 0) {
		call_refuse(c, STORE_DENIED, NULL, "label");
		return;
	}
	if (!c->query->label.per_row) /* whose data it is, the record of a refusal says as well */
		owners_add_label(&c->owners, c->store->policy, &c->label);
	c->permit.certificate = find_permit(c);
	if (!c->permit.certificate) {
		decide_read(c);
		return;
	}
	c->permit.held = certificates_hold(c->store->certificates);
	authorise_ask(c->store->http, c->store->auth_address, c->permit.certificate->id, on_permit, c);
}
