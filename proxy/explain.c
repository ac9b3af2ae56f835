/* SPDX-License-Identifier: MIT */
#include "proxy/explain.h"

#include <stdio.h>
#include <string.h>

#include "lib/names.h"
#include "policy/flow.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"

struct question {
	char user[PPCE_USER_SIZE], app[PPCE_NAME_SIZE], clearance_text[PPCE_LABEL_SIZE], label_text[PPCE_LABEL_SIZE];
	struct label floor, clearance, level;
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes text[len] into out[size]. -1: not valid, holds a NUL, or too long. */
static int decode(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		char c = text[i] == '+' ? ' ' : text[i];
		if (c == '%') {
			int high = i + 2 < len ? hex(text[i + 1]) : -1;
			int low = i + 2 < len ? hex(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return -1;
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

/* The value of `key` in a query; "" if it is absent. */
static int parameter(const char *query, const char *key, char *out, size_t size, struct err *err)
{
	size_t key_len = strlen(key);
	out[0] = '\0';
	for (const char *p = query; *p;) {
		size_t len = strcspn(p, "&");
		if (len > key_len && memcmp(p, key, key_len) == 0 && p[key_len] == '=' &&
		    decode(p + key_len + 1, len - key_len - 1, out, size) < 0)
			return err_set(err, ERR_INVALID, "%s: not valid, or too long", key);
		p += len + (p[len] == '&');
	}
	return 0;
}

/* Where a request runs that names no level, as in request.c. */
static void default_level(const struct proxy *p, struct question *q)
{
	const struct app *app = routes_app(&p->routes, q->app);
	if (!app || !app->has_store)
		label_drop_tags(p->policy, &q->clearance, &q->level);
	else
		q->level = app_fixed(app) ? q->clearance : q->floor;
}

static int read_question(const struct proxy *p, const char *query, struct question *q, struct err *err)
{
	char text[PPCE_LABEL_SIZE];
	label_bottom(p->policy, &q->floor);
	if (parameter(query, "user", q->user, sizeof q->user, err) < 0 ||
	    parameter(query, "app", q->app, sizeof q->app, err) < 0 ||
	    parameter(query, "clearance", text, sizeof text, err) < 0)
		return -1;
	if (!user_valid(q->user) || !name_valid(q->app))
		return err_set(err, ERR_INVALID, "user and app are needed: /v1/explain?user=U&app=A&clearance=L");
	if (label_parse(p->policy, text, &q->clearance, err) < 0)
		return err_prefix(err, "clearance");
	if (parameter(query, "label", text, sizeof text, err) < 0)
		return -1;
	default_level(p, q);
	if (text[0] && label_parse(p->policy, text, &q->level, err) < 0)
		return err_prefix(err, "label");
	if (label_format(p->policy, &q->clearance, q->clearance_text, err) < 0)
		return -1;
	return label_format(p->policy, &q->level, q->label_text, err);
}

static bool add(json_t *steps, const char *step, const char *rule, bool allowed, const char *why)
{
	json_array_append_new(
		steps, json_pack("{s:s, s:s, s:b, s:s}", "step", step, "rule", rule, "allowed", allowed, "why", why));
	return allowed;
}

static bool add_verdict(json_t *steps, const char *step, const struct flow_verdict *v)
{
	return add(steps, step, flow_rule_name(v->rule), v->allowed, v->why);
}

static bool explain_outside(const struct proxy *p, const struct question *q, json_t *steps)
{
	const struct service *s;
	unsigned n = 0;
	char why[PPCE_LABEL_SIZE + 200];
	TAILQ_FOREACH (s, &p->registrations.all, all)
		n += !s->removed && strcmp(s->app, q->app) == 0 && strcmp(s->label, q->label_text) == 0;
	snprintf(why, sizeof why, "%s is an outside service; %u registered at exactly %s", q->app, n, q->label_text);
	return add(steps, "ROUTE", "R1", n > 0, why);
}

const char *explain_transport(enum app_transport transport)
{
	return transport == TRANSPORT_TAP ? "tap" : "channel";
}

static const struct route *find_route(const struct app *app, const struct question *q)
{
	const char *owner = app->lifetime == LIFETIME_USER ? q->user : "";
	const struct route *r;
	TAILQ_FOREACH (r, &app->routes, of_app)
		if (strcmp(r->label, q->label_text) == 0 && strcmp(r->owner, owner) == 0)
			return r;
	return NULL;
}

/* How it would get there: by which transport, and where the instances are that there are now. */
static json_t *instances_of(const struct proxy *p, const struct question *q, const struct app *app)
{
	json_t *list = json_array();
	const struct route *r = find_route(app, q);
	struct instance *i;
	TAILQ_FOREACH (i, &p->routes.instances, all)
		if (r && i->route == r)
			json_array_append_new(
				list, json_pack("{s:s, s:s}", "uuid", i->uuid, "address", backend_of(i)->address));
	return list;
}

/* Which instances would serve it, and how many there are. */
static bool explain_route(const struct proxy *p, const struct question *q, json_t *steps)
{
	static const char *const whose[] = { "", "everyone of exactly this label shares them",
					     "they are this user's alone, at exactly this label",
					     "each request finds one in its first state, at exactly this label" };
	const struct app *app = routes_app(&p->routes, q->app);
	char why[PPCE_LABEL_SIZE + 300];
	if (!app && registration_knows(&p->registrations, q->app))
		return explain_outside(p, q, steps);
	if (!app)
		return add(steps, "ROUTE", "", false, "there is no app of that name");
	const struct route *r = find_route(app, q);
	unsigned n = r ? r->instances : 0;
	snprintf(why, sizeof why, "instances of %s at %s: %s; %u now, %s; %s", app->name, q->label_text,
		 whose[app->lifetime], n, n ? "the first idle one is taken" : "one would be started",
		 app->transport == TRANSPORT_TAP ? "it is asked by HTTP on its own address"
						 : "it is asked on its channel");
	return add(steps, "ROUTE", flow_rule_name(FLOW_R8_REUSE), true, why);
}

/* What the instance may read. Whether a certain query passes depends on its label: the store decides. */
static bool explain_reads(const struct proxy *p, const struct question *q, json_t *steps)
{
	const struct app *app = routes_app(&p->routes, q->app);
	char why[PPCE_LABEL_SIZE + 200];
	if (!app || !app->has_store)
		return true;
	if (app_fixed(app))
		snprintf(why, sizeof why, "the instance %s, so its label is fixed: it reads what is at or below %s",
			 app->has_sinks ? "may send to others" : "is shared", q->label_text);
	else
		snprintf(why, sizeof why,
			 "the instance reads what is at or below %s, and its label rises by what it reads",
			 q->clearance_text);
	return add(steps, "READ", flow_rule_name(FLOW_R2_READ), true, why);
}

void explain_handle(struct rest_call *call)
{
	const struct proxy *p = call->ctx;
	struct question q = { 0 };
	struct err err = { 0 };
	if (read_question(p, call->x->query, &q, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	json_t *steps = json_array();
	struct flow_verdict session = flow_session(p->policy, &q.floor, &q.clearance, &q.clearance);
	struct flow_verdict request = flow_request(p->policy, &q.floor, &q.clearance, &q.level);
	struct flow_verdict answer = flow_respond(p->policy, &q.level, &q.clearance, &q.clearance);
	bool allowed = add_verdict(steps, "AUTH", &session) && add_verdict(steps, "LABEL", &request) &&
		       explain_route(p, &q, steps) && explain_reads(p, &q, steps) &&
		       add_verdict(steps, "CHECK", &answer);
	json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "user", q.user, "app", q.app, "clearance",
				q.clearance_text, "label", q.label_text, "allowed", allowed, "steps", steps);
	const struct app *app = routes_app(&p->routes, q.app);
	if (doc && app) {
		json_object_set_new(doc, "transport", json_string(explain_transport(app->transport)));
		json_object_set_new(doc, "instances", instances_of(p, &q, app));
	}
	rest_reply(call, 200, doc);
}
