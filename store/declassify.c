// SPDX-License-Identifier: MIT
//
// R7: a value, computed by the guest from one query, leaves at a lower label. The order matters: the certificate and the
// owners first, then the value's form, then the budget, then the noise, then the record, then the release.
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "store/authorise.h"
#include "store/call.h"
#include "store/certificates.h"

struct release_state {
	struct certificates *held;
	const struct certificate *certificate;
	struct authorised authorised;
	json_t *value;
};

void declassify_free(struct release_state *r)
{
	if (!r)
		return;
	authorised_free(&r->authorised);
	json_decref(r->value);
	certificates_free(r->held);
	free(r);
}

static bool is_authorised(void *ctx, const struct label_tag *tag, const char *id)
{
	const struct release_state *r = ctx;
	return !strcmp(id, r->certificate->id) && authorised_has(&r->authorised, tag);
}

static struct flow_verdict judge(struct call *c, uint64_t *group)
{
	struct release_state *r = c->release;
	const struct monitor *m = &c->instance->monitor;
	struct certificate_use use = { .image = c->instance->digest,
				       .instance = &m->label,
				       .ceiling = &m->ceiling,
				       .now = clock_unix(),
				       .authorised = is_authorised,
				       .ctx = r };
	use.only_query = monitor_only_query(m, r->certificate->query, &r->certificate->to, group);
	use.group = *group;
	return certificate_allows(c->store->policy, r->certificate, &use);
}

/* Durable before the noise is drawn: a crash may lose a value, never a debit. */
static int spend(struct call *c, struct err *err)
{
	const struct certificate *k = c->release->certificate;
	return k->epsilon ? state_debit(c->store->state, k->id, k->epsilon, k->budget, err) : 0;
}

static int make_release(struct call *c, struct err *err)
{
	const struct certificate *k = c->release->certificate;
	struct release head = { .magic = RELEASE_MAGIC };
	char *text = json_dumps(c->release->value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	int rc = text ? label_format(c->store->policy, &k->to, head.label, err)
		      : err_set(err, ERR_INTERNAL, "the value cannot be written");
	if (rc == 0) {
		head.length = (uint32_t)strlen(text);
		memcpy(head.request_id, c->head.ticket.request_id, sizeof head.request_id);
		memcpy(head.certificate, k->name, sizeof head.certificate);
		release_seal(&head, text, c->store->key);
		buf_append(&c->answer, &head, sizeof head);
		rc = buf_append(&c->answer, text, head.length);
	}
	free(text);
	return rc;
}

static void release_value(struct call *c)
{
	struct release_state *r = c->release;
	struct err err = { 0 };
	if (spend(c, &err) < 0) {
		call_refuse(c, err.kind == ERR_FULL ? STORE_DENIED : STORE_UNAVAILABLE, "R7",
			    err.kind == ERR_FULL ? "budget" : "state");
		return;
	}
	if (certificate_add_noise(r->certificate, r->value, random_bytes, &err) < 0 || make_release(c, &err) < 0) {
		log_error("certificate %s: %s", r->certificate->name, err.text);
		call_refuse(c, STORE_UNAVAILABLE, "R7", "noise");
		return;
	}
	if (c->answer.len > c->head.max) {
		call_refuse(c, STORE_TOO_LARGE, "R7", "too-large");
		return;
	}
	memcpy(c->after, c->before, sizeof c->after); /* the instance stays where it is */
	c->allowed = true;
	c->rule = "R7";
	c->status = STORE_OK;
	call_record(c, call_finish);
}

static void on_authorised(void *ctx, struct authorised *a)
{
	struct call *c = ctx;
	struct err err;
	bool allowed;
	uint64_t group;
	c->release->authorised = *a;
	if (!c->instance) {
		call_end_abandoned(c);
		return;
	}
	owners_add_label(&c->owners, c->store->policy, &c->instance->monitor.label);
	struct uses_actor who = call_actor(c);
	struct flow_verdict v = judge(c, &group);
	c->nrows = group;
	if (!v.allowed) {
		log_info("certificate %s: %s", c->release->certificate->name, v.why);
		call_refuse(c, STORE_DENIED, flow_rule_name(v.rule), "certificate");
	} else if (certificate_check_value(c->release->certificate, c->view.value[0].bytes, c->view.value[0].len,
					   &c->release->value, &err) < 0) {
		call_refuse(c, STORE_DENIED, "R7", "value");
	} else if (uses_release(c->store->state, c->store->policy, &who, &c->instance->monitor, group, &allowed, &err) <
		   0) {
		log_error("certificate %s: %s", c->release->certificate->name, err.text);
		call_refuse(c, STORE_UNAVAILABLE, "R7", "state");
	} else if (!allowed) {
		call_refuse(c, STORE_DENIED, NULL, "automaton");
	} else {
		release_value(c);
	}
}

static bool is_json(const struct call_value *v)
{
	json_t *any = v->len ? json_loadb(v->bytes, v->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : NULL;
	bool is = any != NULL;
	json_decref(any);
	return is;
}

void declassify_start(struct call *c)
{
	const struct certificate *k = certificates_find(c->store->certificates, c->view.name);
	c->event = "declassify";
	if (!k || !instance_may(c->instance, c->view.name)) {
		call_refuse(c, STORE_UNKNOWN, NULL, "unknown");
		return;
	}
	c->release = calloc(1, sizeof *c->release);
	if (c->view.count != 1 || c->view.value[0].type != DATA_TEXT || !is_json(&c->view.value[0])) {
		c->status = STORE_INVALID;
		call_finish(c);
	} else if (!c->release) {
		call_refuse(c, STORE_UNAVAILABLE, "R7", "state");
	} else {
		c->release->certificate = k;
		c->release->held = certificates_hold(c->store->certificates);
		authorise_ask(c->store->http, c->store->auth_address, k->id, on_authorised, c);
	}
}
