/* SPDX-License-Identifier: MIT */
#include "proxy/forward_tap.h"

#include "lib/log.h"
#include "proxy/answer.h"
#include "proxy/forward.h"
#include "proxy/forward_http.h"
#include "proxy/proxy.h"
#include "proxy/refuse.h"
#include "proxy/ticket.h"

/* An instance that gives no valid answer is of no use any more, and what it does next is not waited for. */
static void no_answer(struct backend *b, struct request *r, const struct err *err)
{
	log_warn("request %s: %s", r->x->request_id, err->text);
	if (err->kind == ERR_TIMEOUT)
		forward_lost(r, ERR_TIMEOUT, "deadline");
	else
		forward_lost(r, ERR_BAD_GATEWAY, err->kind == ERR_UNAVAILABLE ? "instance-lost" : "bad-answer");
	backend_stop(b, err->kind == ERR_TIMEOUT ? "no answer by the deadline" : "its answer is not valid");
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct backend *b = ctx;
	struct request *r = b->request;
	b->request = NULL;
	b->call = NULL;
	if (reply)
		forward_replied(r, reply);
	else
		no_answer(b, r, err);
	backend_answered(b);
}

static void start_call(struct request *r, struct backend *b, uint32_t timeout_ms)
{
	struct http_field fields[FORWARD_FIELDS_MAX];
	char target[FORWARD_TARGET_SIZE];
	const char *host = http_field_get(r->x, "Host");
	forward_target(r, target);
	struct http_call call = { .address = b->address,
				  .host = host ? host : b->address,
				  .method = r->x->method,
				  .target = target,
				  .fields = fields,
				  .nfields = forward_fields(r, fields),
				  .body = r->x->body,
				  .body_len = r->x->body_len,
				  .timeout_ms = timeout_ms,
				  .answer_bytes = b->instance.app->response_bytes,
				  .until_accepted = true,
				  .once = b->instance.app->lifetime == LIFETIME_REQUEST,
				  .reset = true,
				  .keepalive_s = b->keepalive_s };
	b->call = http_call_start(r->proxy->client, &call, on_reply, b);
}

enum request_step forward_tap(struct request *r)
{
	struct backend *b = r->backend;
	struct ticket ticket;
	uint32_t deadline_ms = b->instance.app->deadline_ms;
	if (!b->foreign && channel_begin(&b->channel, ticket_issue(r, &ticket), deadline_ms) < 0) {
		backend_stop(b, "its channel takes no request");
		return refuse(r, ERR_BAD_GATEWAY, "instance-lost", answer_loss_detail(ERR_BAD_GATEWAY));
	}
	b->request = r;
	/* With a channel the tender keeps the deadline, and tells how the guest failed. */
	start_call(r, b, b->foreign ? deadline_ms : deadline_ms + CHANNEL_GRACE_MS);
	return STEP_WAIT;
}
