/* SPDX-License-Identifier: MIT
 *
 * The path of a request, from top to bottom. Each step is one function; it returns the next step, or STEP_WAIT when
 * something has to happen first, and whoever makes it happen calls request_resume().
 *
 *	RECV      split the target into app and path, find the token
 *	AUTH      token -> session                      waits for auth when the session is not cached
 *	LABEL     at which level to run                 rules R0, R1
 *	ROUTE     which app, what it gets to see
 *	ACQUIRE   an instance of exactly this key       waits until one is free or has been started
 *	FORWARD   send the request                      waits for the answer
 *	CHECK     may this answer leave?                rule R4, revocation, well-formedness
 *	DELIVER   have the audit record written, then answer
 *	REFUSE    the same for every failure of a step above
 *
 * Whatever happens, a request ends in DELIVER or REFUSE, exactly once, and leaves an audit record. Nothing reaches
 * the client before its record is written.
 */
#include "proxy/request.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"
#include "proxy/answer.h"
#include "proxy/forward.h"
#include "proxy/hold.h"
#include "proxy/proxy.h"
#include "proxy/queue.h"
#include "proxy/record.h"
#include "proxy/refuse.h"

#define KEPT_SPARE (64u << 10) /* bytes that a request which is kept for reuse may hold */

/* --- RECV ---------------------------------------------------------------------------------------------------- */

static enum request_step step_recv(struct request *r)
{
	struct err err = { 0 };
	const char *name = r->x->path + 1;
	size_t len = strcspn(name, "/");
	if (!headers_method(r->x->method))
		return refuse(r, ERR_METHOD, "method", "allowed are " HEADERS_METHODS);
	/* A name that is too long is no app's; that is said after AUTH, like for any other unknown app. */
	if (len < sizeof r->app_name)
		memcpy(r->app_name, name, len);
	r->app_name[len < sizeof r->app_name ? len : 0] = '\0';
	r->path = name[len] ? name + len : "/";
	if (headers_token(r->x, &r->token, &r->token_len, &err) < 0)
		return refuse(r, ERR_INVALID, "two-tokens", err.text);
	return STEP_AUTH;
}

/* --- AUTH ---------------------------------------------------------------------------------------------------- */

static void on_lookup(struct session_lookup *lookup, struct session *s, enum err_kind kind)
{
	struct request *r = table_entry(lookup, struct request, lookup);
	r->session = s;
	r->lookup_kind = kind;
	request_resume(r, STEP_AUTH);
}

static enum request_step no_session(struct request *r, enum err_kind kind)
{
	if (kind == ERR_UNAVAILABLE)
		return refuse(r, kind, "auth-unreachable", "sessions cannot be checked right now");
	return refuse(r, ERR_UNAUTHENTICATED, r->token ? "unknown-session" : "no-token",
		      "log in first: POST /login, then send the token as Authorization: Bearer or as the cookie");
}

static enum request_step step_auth(struct request *r)
{
	uint8_t hash[SESSION_HASH_BYTES];
	if (r->session)
		return STEP_LABEL;
	if (r->lookup_kind)
		return no_session(r, r->lookup_kind);
	if (!r->token || !headers_token_form(r->token, r->token_len))
		return no_session(r, ERR_UNAUTHENTICATED);
	crypto_generichash(hash, sizeof hash, (const unsigned char *)r->token, r->token_len, NULL, 0);
	r->lookup.done = on_lookup;
	r->session = sessions_get(&r->proxy->sessions, hash, &r->lookup, &r->lookup_kind);
	if (r->session || r->lookup_kind)
		return STEP_AUTH;
	return STEP_WAIT;
}

/* --- LABEL --------------------------------------------------------------------------------------------------- */

/* Where a request runs that does not say: an app that reads labelled data starts low and rises by what it reads (R2),
 * unless its label is fixed. An app that reads none has nothing to rise with. */
static const struct session_level *default_level(const struct request *r)
{
	const struct app *app = routes_app(&r->proxy->routes, r->app_name);
	if (!app || !app->has_store)
		return &r->session->plain;
	return app_fixed(app) ? &r->session->ceiling : &r->session->floor;
}

static enum request_step step_label(struct request *r)
{
	const struct policy *policy = r->proxy->policy;
	const struct session_level *level = default_level(r);
	const char *wish;
	struct err err = { 0 };
	r->level = level->label;
	r->label = level->text;
	if (headers_label(r->x, &wish) < 0)
		return refuse(r, ERR_INVALID, "bad-label", "more than one PPCE-Label");
	if (wish) {
		if (label_parse(policy, wish, &r->level, &err) < 0 ||
		    label_format(policy, &r->level, r->label_text, &err) < 0) {
			r->label = "";
			return refuse(r, ERR_INVALID, "bad-label", err.text);
		}
		r->label = r->label_text;
	}
	struct flow_verdict v = flow_request(policy, &r->session->floor.label, &r->session->ceiling.label, &r->level);
	if (!v.allowed)
		return refuse_flow(r, &v, "label-not-allowed");
	return STEP_ROUTE;
}

/* --- ROUTE --------------------------------------------------------------------------------------------------- */

static enum request_step no_app(struct request *r)
{
	if (!r->proxy->routes.synced)
		return refuse(r, ERR_UNAVAILABLE, "not-synced", "the platform is starting");
	return refuse(r, ERR_NOT_FOUND, "no-app", "there is no app of that name");
}

/* What the app gets to see of the request: who asks and at which level from us, the rest from the client. */
static void describe(struct request *r)
{
	r->nfields = headers_forward(r->x, r->fields, PPCE_HEADERS_MAX, &r->cookie);
	r->encoded = (struct encode_request){ .method = r->x->method,
					      .path = r->path,
					      .path_len = strlen(r->path),
					      .query = r->x->query,
					      .app = r->app_name,
					      .user = r->session->user,
					      .class_name = r->session->class_name,
					      .label = r->label,
					      .session = r->session->uuid,
					      .purpose = r->session->purpose,
					      .request_id = r->x->request_id,
					      .fields = r->fields,
					      .nfields = r->nfields,
					      .body = r->x->body,
					      .body_len = r->x->body_len };
}

static enum request_step step_route(struct request *r)
{
	struct proxy *p = r->proxy;
	r->app = routes_app(&p->routes, r->app_name);
	r->outside = !r->app && registration_knows(&p->registrations, r->app_name);
	if (!r->app && !r->outside)
		return no_app(r);
	describe(r);
	if (r->app && encode_size(&r->encoded) > r->app->request_bytes)
		return refuse(r, ERR_TOO_LARGE, "request-too-large", "the request is larger than the app accepts");
	return STEP_ACQUIRE;
}

/* --- ACQUIRE ------------------------------------------------------------------------------------------------- */

/* Was the session ended since AUTH? Then the request goes no further, and an answer to nobody. */
static bool session_over(struct request *r)
{
	if (r->session->state == SESSION_UNSURE)
		refuse(r, ERR_UNAVAILABLE, "auth-unreachable", "sessions cannot be checked right now");
	else if (r->session->state == SESSION_ENDED || r->session->expires <= clock_unix())
		refuse(r, ERR_UNAUTHENTICATED, "session-ended", "the session has ended; log in again");
	else
		return false;
	return true;
}

/* The instance works for this request from now on. How the client is told of its start: */
static void take_instance(struct request *r, struct instance *i, bool waited)
{
	r->backend = backend_of(i);
	r->bound = r->after = i->level;
	memcpy(r->image, i->app->digest, sizeof r->image);
	memcpy(r->instance, i->uuid, sizeof r->instance);
	if (waited && i->asked && i->served == 0)
		r->start = START_COLD;
	else
		r->start = i->app->lifetime == LIFETIME_REQUEST ? START_PRISTINE : START_WARM;
	r->start_us[0] = i->spawn_us;
}

static bool on_granted(struct waiter *w, struct instance *i)
{
	struct request *r = table_entry(w, struct request, waiter);
	if (session_over(r)) {
		request_resume(r, STEP_REFUSE);
		return false;
	}
	take_instance(r, i, true);
	request_resume(r, STEP_FORWARD);
	return true;
}

static enum request_step no_instance(struct request *r, enum err_kind kind, const char *reason)
{
	switch (kind) {
	case ERR_DENIED:
		return refuse(r, kind, reason, "this app may not run at that label here");
	case ERR_NOT_FOUND:
		return refuse(r, kind, reason, "there is no app of that name");
	case ERR_INTERNAL:
		return refuse(r, kind, reason, "something went wrong inside");
	default:
		return refuse(r, kind, reason, "no instance is free; try again soon");
	}
}

static void on_waited_in_vain(struct waiter *w, enum err_kind kind, const char *reason)
{
	struct request *r = table_entry(w, struct request, waiter);
	request_resume(r, no_instance(r, kind, reason));
}

static enum request_step acquire_service(struct request *r)
{
	r->service = registration_choose(&r->proxy->registrations, r->app_name, r->label, clock_ns());
	if (r->service) {
		r->start = START_WARM;
		r->bound = r->after = r->service->level;
		memcpy(r->instance, r->service->id, sizeof r->instance);
		return STEP_FORWARD;
	}
	if (r->tries > 0)
		return refuse(r, ERR_BAD_GATEWAY, "service-unreachable", "the service could not be reached");
	return refuse(r, ERR_UNAVAILABLE, "no-service", "no service is there for that label; try again soon");
}

static enum request_step step_acquire(struct request *r)
{
	enum err_kind kind;
	if (r->outside)
		return acquire_service(r);
	const char *owner = r->app->lifetime == LIFETIME_USER ? r->session->user : "";
	r->waiter.granted = on_granted;
	r->waiter.failed = on_waited_in_vain;
	struct instance *i = route_acquire(&r->proxy->routes, r->app, r->label, owner, &r->waiter, clock_ns(), &kind);
	if (kind)
		return no_instance(r, kind, "queue-full");
	if (!i) {
		queue_limit_wait(r->proxy);
		return STEP_WAIT;
	}
	take_instance(r, i, false);
	return STEP_FORWARD;
}

/* --- CHECK --------------------------------------------------------------------------------------------------- */

static enum request_step bad_answer(struct request *r, const struct err *err)
{
	struct flow_verdict v;
	bool blocked = answer_blocked(r, &v);
	log_warn("request %s: instance %s: %s", r->x->request_id, r->instance, err->text);
	if (r->backend)
		backend_stop(r->backend, "its answer is not valid");
	return blocked ? refuse_flow(r, &v, "bad-answer")
		       : refuse(r, ERR_BAD_GATEWAY, "bad-answer", "the app failed to answer");
}

static enum request_step step_check(struct request *r)
{
	const struct label *ceiling = &r->session->ceiling.label;
	struct err err = { 0 };
	struct label label;
	if (r->reply)
		timing_split_http(&r->timing);
	else
		timing_split_forward(&r->timing, r->start == START_COLD ? r->start_us[1] + r->start_us[2] : 0);
	if (answer_take(r, &label, &err) < 0)
		return bad_answer(r, &err);
	/* The clearance of today: auth ends the sessions whose ceiling is above a clearance that falls (R9), so as long
	 * as the session lives its ceiling is below the clearance. */
	struct flow_verdict v = flow_respond(r->proxy->policy, &label, ceiling, ceiling);
	r->secret = !v.allowed || r->certificate[0];
	if (!v.allowed)
		return refuse_flow(r, &v, "answer-not-allowed");
	if (session_over(r))
		return STEP_REFUSE;
	if (response_keep(&r->response, &r->kept) < 0)
		return refuse(r, ERR_UNAVAILABLE, "out-of-memory", "no memory for the answer; try again");
	return STEP_DELIVER;
}

/* --- DELIVER and REFUSE -------------------------------------------------------------------------------------- */

static void go_on(struct request *r)
{
	request_resume(r, r->step);
}

static void on_recorded(struct audit_wait *w, const struct err *err)
{
	struct request *r = table_entry(w, struct request, wait);
	if (err)
		log_error("request %s: no audit record, so nothing is released: %s", r->x->request_id, err->text);
	r->record = err ? RECORD_FAILED : RECORD_WRITTEN;
	if (!hold_begin(r, go_on))
		go_on(r);
}

/* Nothing is released before its record is in the log. True once it is; else *next says what to do instead. */
static bool recorded(struct request *r, bool allowed, int status, enum request_step *next)
{
	*next = STEP_WAIT;
	if (r->record == RECORD_NONE) {
		answer_let_go(r);
		r->record = RECORD_UNDER_WAY;
		r->wait.done = on_recorded;
		record_request(r, allowed, status);
	} else if (r->record == RECORD_FAILED) {
		r->proxy->answers[5]++;
		http_problem(r->x, ERR_UNAVAILABLE, 10, "the audit log does not work; no answer can be given");
		*next = STEP_DONE;
	}
	return r->record == RECORD_WRITTEN;
}

static enum request_step step_deliver(struct request *r)
{
	struct http_field fields[PPCE_HEADERS_MAX + 4];
	char timing[512];
	enum request_step next;
	if (!recorded(r, true, r->response.status, &next))
		return next;
	if (session_over(r)) { /* while the record was being written: another one says so */
		r->record = RECORD_NONE;
		return STEP_REFUSE;
	}
	unsigned n = r->response.nfields;
	memcpy(fields, r->response.fields, n * sizeof *fields);
	n += answer_own_fields(r, fields + n, timing, sizeof timing);
	struct http_answer answer = { .status = r->response.status,
				      .body = r->response.body,
				      .body_len = r->response.body_len,
				      .fields = fields,
				      .nfields = n };
	r->proxy->answers[r->response.status / 100]++;
	r->proxy->starts[r->start]++;
	http_respond(r->x, &answer);
	return STEP_DONE;
}

static enum request_step step_refuse(struct request *r)
{
	static const struct http_field bearer = { "WWW-Authenticate", "Bearer realm=\"ppce\"" };
	static const struct http_field allow = { "Allow", HEADERS_METHODS };
	enum err_kind kind = r->refusal.kind;
	const struct http_field *field = kind == ERR_UNAUTHENTICATED ? &bearer : &allow;
	int status = err_http_status(kind);
	enum request_step next;
	if (!recorded(r, false, status, &next))
		return next;
	r->proxy->answers[status / 100]++;
	http_problem_fields(r->x, kind, r->refusal.retry_after, r->refusal.detail, field,
			    kind == ERR_UNAUTHENTICATED || kind == ERR_METHOD ? 1 : 0);
	return STEP_DONE;
}

/* --- the machine --------------------------------------------------------------------------------------------- */

static const struct {
	enum request_step (*run)(struct request *r);
	enum timing_phase phase;
} steps[] = {
	[STEP_RECV] = { step_recv, PHASE_RECV },	  [STEP_AUTH] = { step_auth, PHASE_AUTH },
	[STEP_LABEL] = { step_label, PHASE_LABEL },	  [STEP_ROUTE] = { step_route, PHASE_ROUTE },
	[STEP_ACQUIRE] = { step_acquire, PHASE_ACQUIRE }, [STEP_FORWARD] = { forward_step, PHASE_FORWARD },
	[STEP_CHECK] = { step_check, PHASE_CHECK },	  [STEP_DELIVER] = { step_deliver, PHASE_DELIVER },
	[STEP_REFUSE] = { step_refuse, PHASE_REFUSE },
};

/* The time since the last change of step, waiting included, belongs to the step that is left now. */
static void account(struct request *r)
{
	uint64_t now = clock_ns();
	r->timing.ns[steps[r->step].phase] += now - r->entered_ns;
	r->entered_ns = now;
}

static void finish(struct request *r)
{
	struct proxy *p = r->proxy;
	struct timing *t = &r->timing;
	for (enum timing_phase i = PHASE_RECV; i <= PHASE_REFUSE; i++)
		t->ns[PHASE_TOTAL] += t->ns[i];
	timing_add(&p->totals, t);
	sessions_put(r->session);
	buf_free(&r->cookie);
	if (r->kept.size > KEPT_SPARE)
		buf_free(&r->kept);
	r->next_spare = p->spare;
	p->spare = r;
	p->requests--;
}

void request_resume(struct request *r, enum request_step next)
{
	while (next < STEP_DONE) {
		if (next != r->step)
			account(r);
		r->step = next;
		next = steps[next].run(r);
	}
	if (next == STEP_DONE) {
		account(r);
		finish(r);
	}
}

/* The client went away. A request that only waits is taken out of the queue; one that an instance works on runs to its
 * end, because a half-done request helps nobody, and its answer is dropped by the server. */
static void on_gone(struct http_exchange *x)
{
	struct request *r = x->user;
	r->gone = true;
	if (r->step != STEP_ACQUIRE || !r->waiter.route)
		return;
	route_cancel(&r->proxy->routes, &r->waiter);
	request_resume(r, refuse(r, ERR_UNAVAILABLE, "client-gone", "the client went away"));
}

static struct request *request_new(struct proxy *p)
{
	struct request *r = p->spare;
	if (!r)
		return calloc(1, sizeof *r);
	p->spare = r->next_spare;
	/* Everything but the three large arrays, whose lengths are kept beside them. */
	memset(r, 0, offsetof(struct request, label_text));
	memset(&r->app, 0, offsetof(struct request, fields) - offsetof(struct request, app));
	memset(&r->nfields, 0, offsetof(struct request, kept) - offsetof(struct request, nfields));
	memset(&r->refusal, 0, sizeof r->refusal);
	return r;
}

void request_start(struct proxy *p, struct http_exchange *x)
{
	struct request *r = request_new(p);
	if (!r) {
		http_problem(x, ERR_UNAVAILABLE, 1, "out of memory");
		return;
	}
	p->requests++;
	r->proxy = p;
	r->x = x;
	r->cookie.cap = p->config.proxy.header_bytes + 1;
	r->kept.cap = PPCE_RESPONSE_BYTES_MAX + RESPONSE_HEADER_BYTES + 4 * PPCE_HEADERS_MAX;
	x->user = r;
	x->on_gone = on_gone;
	r->step = STEP_RECV;
	r->entered_ns = x->started_ns;
	request_resume(r, STEP_RECV);
}

void request_free_spares(struct proxy *p)
{
	while (p->spare) {
		struct request *r = p->spare;
		p->spare = r->next_spare;
		buf_free(&r->kept);
		free(r);
	}
}
