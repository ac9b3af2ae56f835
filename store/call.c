// SPDX-License-Identifier: MIT
#include "store/call.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/names.h"

#define OWNERS_TEXT_MAX 24000 /* bytes of tags in one record; more tags: more records */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct uses_actor call_actor(const struct call *c)
{
	const struct ticket *t = &c->head.ticket;
	return (struct uses_actor){ t->user, t->class_name, t->purpose, t->request_id, c->object };
}

/* ---- RECORD, ANSWER ---- */

static void call_free(struct call *c)
{
	c->store->payload_bytes -= c->head.length;
	free(c->payload);
	free(c->params);
	rows_free(&c->rows);
	owners_free(&c->owners);
	buf_free(&c->answer);
	permit_free(&c->permit);
	declassify_free(c->release);
	free(c);
}

void call_end_abandoned(struct call *c)
{
	call_free(c);
}

void call_finish(struct call *c)
{
	struct instance *i = c->instance;
	if (i)
		instance_reply(i, c->status, &c->answer);
	call_free(c);
}

static void fill_record(const struct call *c, struct audit_record *r)
{
	const struct ticket *t = &c->head.ticket;
	*r = (struct audit_record){ .event = c->event,
				    .object = c->object,
				    .app = c->instance->monitor.app,
				    .instance = c->instance->monitor.uuid,
				    .image = c->instance->digest,
				    .allowed = c->allowed,
				    .rule = c->rule,
				    .reason = c->reason,
				    .rows = c->nrows };
	if (!c->known) /* what a bad ticket says is nobody's word */
		return;
	r->request_id = t->request_id;
	r->actor = t->user;
	r->class_name = t->class_name;
	r->session = t->session;
	r->purpose = t->purpose;
	r->label = t->label;
	r->epoch = t->epoch;
	r->before = c->before;
	r->after = c->after;
	if (c->query)
		r->category = c->query->aggregate ? "aggregate" : "raw";
}

static void submit_record(struct call *c)
{
	struct buf owners = { .cap = OWNERS_TEXT_MAX + 256 };
	struct audit_record r;
	fill_record(c, &r);
	if (owners_text(&c->owners, &c->owners_at, OWNERS_TEXT_MAX, &owners))
		r.owners = buf_text(&owners);
	audit_submit(c->store->audit, &r, &c->wait);
	buf_free(&owners);
}

static void on_recorded(struct audit_wait *w, const struct err *err)
{
	struct call *c = (struct call *)(void *)((char *)w - offsetof(struct call, wait));
	if (!c->instance) {
		call_free(c);
		return;
	}
	if (err) {
		log_error("the audit log does not take a record: %s", err->text);
		c->status = STORE_UNAVAILABLE;
	} else if (c->owners_at < c->owners.n) {
		submit_record(c);
		return;
	}
	c->recorded(c);
}

void call_record(struct call *c, void (*then)(struct call *c))
{
	c->recorded = then;
	c->wait.done = on_recorded;
	c->owners_at = 0;
	submit_record(c);
}

void call_refuse(struct call *c, enum store_status status, const char *rule, const char *reason)
{
	c->status = status;
	c->allowed = false;
	c->rule = rule;
	c->reason = reason;
	memcpy(c->after, c->before, sizeof c->after);
	buf_free(&c->answer);
	call_record(c, call_finish);
}

void call_fail(struct call *c, const struct err *err, const char *reason)
{
	log_error("%s: %s", c->object ? c->object : "call", err->text);
	call_refuse(c, STORE_UNAVAILABLE, NULL, reason);
}

/* The instance's label now, for the record. */
void call_note_label(const struct call *c, char out[PPCE_LABEL_SIZE])
{
	if (label_format(c->store->policy, &c->instance->monitor.label, out, NULL) < 0)
		*out = '\0';
}

/* ---- DECIDE ---- */

/* Values of $user, $1 and the like for templates. `params` has room for all. */
struct query_values call_values(const struct call *c, const char **params)
{
	const struct ticket *t = &c->head.ticket;
	for (size_t i = 0; i < c->view.count; i++)
		params[i] = c->view.value[i].type == DATA_TEXT ? c->view.value[i].bytes : NULL;
	return (struct query_values){ .user = t->user,
				      .class_name = t->class_name,
				      .session = t->session,
				      .purpose = t->purpose,
				      .params = params };
}

static struct call_value text_value(const char *text)
{
	return (struct call_value){ .type = DATA_TEXT, .bytes = text, .len = strlen(text) };
}

static struct call_value ref_value(const struct call *c, const struct query_ref *ref)
{
	const struct ticket *t = &c->head.ticket;
	switch (ref->kind) {
	case REF_USER:
		return text_value(t->user);
	case REF_CLASS:
		return text_value(t->class_name);
	case REF_SESSION:
		return text_value(t->session);
	case REF_PURPOSE:
		return text_value(t->purpose);
	case REF_LABEL:
		return text_value(c->label_text);
	case REF_PARAM:
		return c->view.value[ref->param];
	case REF_TEXT:
	case REF_COLUMN:
		break;
	}
	return (struct call_value){ .type = DATA_NULL };
}

/* Number and types as declared; an int is good for a real. */
static int check_params(struct call *c)
{
	if (c->view.count != c->query->nparams)
		return -1;
	for (size_t i = 0; i < c->view.count; i++) {
		struct call_value *v = &c->view.value[i];
		if (v->type == DATA_INT && c->query->params[i] == DATA_REAL) {
			v->type = DATA_REAL;
			v->real = (double)v->integer;
		}
		if (v->type != DATA_NULL && v->type != c->query->params[i])
			return -1;
	}
	return 0;
}

/* The label of what is read or written, where no row decides it. */
int call_make_label(struct call *c, struct err *err)
{
	const char *params[PPCE_VALUES_MAX];
	struct query_values v = call_values(c, params);
	if (!c->query->label.n)
		c->label = c->instance->monitor.label;
	else if (query_template_text(&c->query->label, &v, c->label_text, sizeof c->label_text, err) < 0 ||
		 label_parse(c->store->policy, c->label_text, &c->label, err) < 0)
		return -1;
	return label_format(c->store->policy, &c->label, c->label_text, err);
}

void call_run(struct call *c, void (*done)(struct job *job))
{
	int64_t left = c->head.ticket.expires - now_ms();
	if (left < 0)
		left = 0;
	if (left > (int64_t)c->query->ms)
		left = (int64_t)c->query->ms;
	for (size_t i = 0; i < c->query->nrefs; i++)
		c->bound[i] = ref_value(c, &c->query->ref[i]);
	c->job.query = c->query;
	c->job.values = c->bound;
	c->job.deadline_ns = clock_ns() + (uint64_t)left * 1000000u;
	c->job.done = done;
	pool_submit(c->store->pool, &c->job);
}

struct call *call_of(struct job *job)
{
	return (struct call *)(void *)((char *)job - offsetof(struct call, job));
}

const char *call_failure_reason(enum store_status status)
{
	switch (status) {
	case STORE_TOO_LARGE:
		return "too-large";
	case STORE_DEADLINE:
		return "deadline";
	case STORE_CONFLICT:
		return "conflict";
	case STORE_INVALID:
		return "invalid";
	default:
		return "database";
	}
}

/* ---- TICKET, DECODE, FIND ---- */

static void start_query(struct call *c)
{
	c->query = queries_find(c->store->queries, c->view.name);
	c->event = c->head.verb == STORE_WRITE ? "write" : "read";
	if (!c->query || c->query->write != (c->head.verb == STORE_WRITE) ||
	    !query_app_may(c->query, c->instance->monitor.app) || !instance_may(c->instance, c->view.name)) {
		c->query = NULL;
		call_refuse(c, STORE_UNKNOWN, NULL, "unknown");
	} else if (check_params(c) < 0) {
		c->status = STORE_INVALID; /* nothing was decided: nothing to record */
		call_finish(c);
	} else if (c->query->write) {
		call_write(c);
	} else {
		call_read(c);
	}
}

static void bad_ticket(struct call *c, enum ticket_verdict v)
{
	c->store->bad_tickets++;
	if (v == TICKET_FORGED || v == TICKET_FOREIGN)
		c->instance->bad_tickets++;
	log_warn("instance %s of %s sent a ticket that is %s", c->instance->monitor.uuid, c->instance->monitor.app,
		 ticket_verdict_code(v));
	c->event = "call";
	call_refuse(c, STORE_DENIED, NULL, ticket_verdict_code(v));
}

static void dispatch(struct call *c)
{
	if (call_decode(c->payload, c->head.length, &c->view) < 0) {
		c->status = STORE_INVALID;
		call_finish(c);
		return;
	}
	c->object = c->view.name;
	switch (c->head.verb) {
	case STORE_QUERY:
	case STORE_WRITE:
		start_query(c);
		break;
	case STORE_DECLASSIFY:
		declassify_start(c);
		break;
	default:
		c->status = STORE_INVALID;
		call_finish(c);
	}
}

void call_start(struct instance *i)
{
	struct err err;
	struct call *c = calloc(1, sizeof *c);
	if (!c) {
		instance_reply(i, STORE_UNAVAILABLE, &(struct buf){ 0 });
		return;
	}
	c->store = i->store;
	c->instance = i;
	c->head = i->head;
	c->payload = i->payload; /* ours from now on, with its share of payload_bytes */
	i->payload = NULL;
	i->call = c;
	c->answer.cap = PPCE_DATA_BYTES_MAX;
	enum ticket_verdict v = monitor_ticket(&i->monitor, c->store->key, &c->head.ticket, now_ms());
	if (v != TICKET_OK) {
		bad_ticket(c, v);
		return;
	}
	c->known = true;
	call_note_label(c, c->before);
	if (instance_publish(i, &err) < 0)
		call_fail(c, &err, "taint");
	else
		dispatch(c);
}

void call_abandon(struct call *c)
{
	c->instance = NULL;
	atomic_store(&c->job.cancelled, true);
}
