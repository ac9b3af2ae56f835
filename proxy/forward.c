/* SPDX-License-Identifier: MIT */
#include "proxy/forward.h"

#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"
#include "proxy/answer.h"
#include "proxy/forward_http.h"
#include "proxy/forward_tap.h"
#include "proxy/proxy.h"
#include "proxy/refuse.h"
#include "proxy/ticket.h"

/* Last look before the hand-over, against what vmmd said when it bound the instance: routing by key has made sure of it
 * already, so a mismatch is an error of ours, and the request goes nowhere. */
static bool right_instance(struct request *r)
{
	const char *owner = r->backend ? r->backend->instance.owner : "";
	struct flow_verdict v = flow_deliver(r->proxy->policy, &r->level, r->session->user, &r->bound, owner);
	if (v.allowed)
		return true;
	r->proxy->mismatches++;
	log_error("request %s was routed to instance %s by mistake: %s", r->x->request_id, r->instance, v.why);
	refuse(r, ERR_INTERNAL, "misrouted", "something went wrong inside");
	r->refusal.rule = flow_rule_name(v.rule);
	if (r->backend)
		backend_stop(r->backend, "was given a request by mistake");
	if (r->service)
		registration_release(&r->proxy->registrations, r->service, true, clock_ns());
	r->backend = NULL;
	r->service = NULL;
	return false;
}

static enum request_step forward_channel(struct request *r)
{
	struct proxy *p = r->proxy;
	struct backend *b = r->backend;
	struct ticket ticket;
	uint32_t deadline_ms = b->instance.app->deadline_ms;
	if (encode_frame(&r->encoded, ticket_issue(r, &ticket), channel_next_id(&b->channel), deadline_ms, &p->out) <
	    0) {
		backend_stop(b, "a request for it could not be encoded");
		return refuse(r, ERR_INTERNAL, "encode", "something went wrong inside");
	}
	b->request = r;
	channel_send(&b->channel, p->out.data, p->out.len, deadline_ms);
	return STEP_WAIT;
}

enum request_step forward_step(struct request *r)
{
	if (!right_instance(r))
		return STEP_REFUSE;
	if (r->service) {
		forward_http(r);
		return STEP_WAIT;
	}
	return r->backend->address[0] ? forward_tap(r) : forward_channel(r);
}

void forward_answered(struct request *r, const struct frame_header *h, const void *payload)
{
	r->payload = payload;
	r->payload_len = h->length;
	r->timing.ns[PHASE_LOAD] = h->load_us * 1000ull;
	r->timing.ns[PHASE_RUN] = h->run_us * 1000ull;
	r->start_us[2] = h->clone_us;
	if (!r->backend->instance.from_shell)
		r->start_us[1] = h->type == FRAME_RESPONSE ? h->code : 0;
	request_resume(r, STEP_CHECK);
}

void forward_replied(struct request *r, const struct http_reply *reply)
{
	r->timing.ns[PHASE_CONNECT] = reply->connect_us * 1000ull;
	r->reply = reply;
	request_resume(r, STEP_CHECK);
}

void forward_lost(struct request *r, enum err_kind kind, const char *reason)
{
	struct flow_verdict v;
	bool blocked = answer_blocked(r, &v);
	r->backend = NULL;
	request_resume(r, blocked ? refuse_flow(r, &v, reason) : refuse(r, kind, reason, answer_loss_detail(kind)));
}

void forward_service_replied(struct request *r, const struct http_reply *reply, const struct err *err)
{
	bool reached = !err || err->kind != ERR_UNAVAILABLE;
	registration_release(&r->proxy->registrations, r->service, reached, clock_ns());
	r->service = NULL;
	if (reply) {
		forward_replied(r, reply);
		return;
	}
	log_warn("request %s: outside service: %s", r->x->request_id, err->text);
	r->tries++;
	/* Another one may be asked, unless this one may have acted on it: a kept connection can break at any time. */
	if (!reached && strcmp(r->x->method, "POST") != 0 && strcmp(r->x->method, "PATCH") != 0)
		request_resume(r, STEP_ACQUIRE);
	else
		request_resume(r, refuse(r, err->kind == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_BAD_GATEWAY,
					 err->kind == ERR_TIMEOUT ? "deadline" : "service-failed",
					 answer_loss_detail(err->kind)));
}
