// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "store/attach.h"
#include "store/certificates.h"
#include "store/uses.h"

static void certificates_list(struct rest_call *call)
{
	struct store *s = call->ctx;
	json_t *list = json_array();
	for (size_t i = 0; i < certificates_count(s->certificates); i++) {
		const struct certificate *k = certificates_at(s->certificates, i);
		char from[PPCE_LABEL_SIZE] = "", to[PPCE_LABEL_SIZE] = "";
		uint64_t spent = 0;
		label_format(s->policy, &k->from, from, NULL);
		label_format(s->policy, &k->to, to, NULL);
		state_spent(s->state, k->id, &spent, NULL);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I}",
						      "name", k->name, "id", k->id, "image", k->image, "query",
						      k->query, "from", from, "to", to, "officer", k->officer,
						      "min_group", (json_int_t)k->min_group, "epsilon",
						      (double)k->epsilon / 1e6, "budget", (double)k->budget / 1e6,
						      "spent", (double)spent / 1e6, "expires", (json_int_t)k->expires));
	}
	rest_reply(call, 200, json_pack("{s:o}", "certificates", list));
}

int store_reload(struct store *s, struct err *err)
{
	struct certificates *fresh = certificates_load(s->policy, s->config.dir, err);
	if (!fresh)
		return -1;
	certificates_free(s->certificates);
	s->certificates = fresh;
	log_info("%zu certificates are in force, %zu were left out", certificates_count(fresh),
		 certificates_bad(fresh));
	return 0;
}

static void reload(struct rest_call *call)
{
	struct store *s = call->ctx;
	struct err err;
	if (store_reload(s, &err) < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, 200,
			   json_pack("{s:I, s:I}", "certificates", (json_int_t)certificates_count(s->certificates),
				     "left_out", (json_int_t)certificates_bad(s->certificates)));
}

static const char *const event_keys[] = { "event!", "owner!", "category!", "actor", "class", "purpose", NULL };

static const struct rest_route routes[] = {
	{ "POST", "/v1/events", events_post, "An event that automata of use step on: consent, revoke, break-glass, ...",
	  event_keys },
	{ "GET", "/v1/obligations", obligations_list, "Obligations, newest first; ?owner=NAME, ?overdue=1", NULL },
	{ "POST", "/v1/obligations/{id}/done", obligations_done, "Mark an obligation as done", NULL },
	{ "GET", "/v1/certificates", certificates_list, "Certificates of declassification that are in force", NULL },
	{ "POST", "/v1/reload", reload, "Read certificates and officers' keys anew", NULL },
	{ NULL },
};

static bool ready(void *ctx, struct err *why)
{
	struct store *s = ctx;
	return pool_usable(s->pool, why) && state_usable(s->state, why);
}

static void metrics(void *ctx, struct buf *out)
{
	static const char *const names[] = {
		[STORE_OK] = "ok",
		[STORE_DENIED] = "denied",
		[STORE_UNKNOWN] = "unknown",
		[STORE_INVALID] = "invalid",
		[STORE_TOO_LARGE] = "too-large",
		[STORE_DEADLINE] = "deadline",
		[STORE_UNAVAILABLE] = "unavailable",
		[STORE_NONE] = "none",
		[STORE_CONFLICT] = "conflict",
	};
	struct store *s = ctx;
	buf_puts(out,
		 "# HELP ppce_store_calls_total Calls of guests by status.\n# TYPE ppce_store_calls_total counter\n");
	for (size_t i = 0; i <= STORE_CONFLICT; i++)
		if (i != STORE_NONE)
			buf_printf(out, "ppce_store_calls_total{status=\"%s\"} %llu\n", names[i],
				   (unsigned long long)s->calls[i]);
	buf_printf(out, "# TYPE ppce_store_bad_tickets_total counter\nppce_store_bad_tickets_total %llu\n",
		   (unsigned long long)s->bad_tickets);
	buf_puts(out, "# HELP ppce_store_unlabelled_rows_total Rows left out since their label could not be told.\n"
		      "# TYPE ppce_store_unlabelled_rows_total counter\n");
	buf_printf(out, "ppce_store_unlabelled_rows_total %llu\n", (unsigned long long)s->unlabelled);
	buf_printf(out, "# TYPE ppce_store_instances gauge\nppce_store_instances %u\n", attach_instances(s->attach));
	buf_printf(out, "# TYPE ppce_store_waiting gauge\nppce_store_waiting %u\n", pool_waiting(s->pool));
}

void rest_api_config(struct store *s, struct rest_config *out)
{
	*out = (struct rest_config){
		.title = "ppce-store", .routes = routes, .ctx = s, .ready = ready, .metrics = metrics
	};
}
