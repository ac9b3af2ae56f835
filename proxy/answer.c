/* SPDX-License-Identifier: MIT */
#include "proxy/answer.h"

#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "proxy/proxy.h"

static int decode_answer(struct request *r, struct err *err)
{
	const struct http_reply *reply = r->reply;
	if (!reply)
		return response_decode(r->payload, r->payload_len, &r->response, err);
	if (response_from_http(reply->fields, reply->nfields, reply->status, reply->body, reply->body_len, &r->response,
			       err) < 0)
		return -1;
	r->response.release &= r->backend != NULL; /* an outside service has no store to be given one by */
	return 0;
}

/* The label that the answer carries: the instance's, or that of a value which the store has released (R7). */
static int answer_label(struct request *r, struct label *out, struct err *err)
{
	struct release head;
	if (r->backend && backend_label(r->backend, &r->after, err) < 0)
		return -1;
	*out = r->after;
	if (!r->response.release)
		return 0;
	if (response_released(&r->response, r->proxy->ticket_key, r->x->request_id, &head, err) < 0)
		return -1;
	memcpy(r->certificate, head.certificate, sizeof r->certificate);
	return label_parse(r->proxy->policy, head.label, out, err);
}

int answer_take(struct request *r, struct label *out, struct err *err)
{
	if (decode_answer(r, err) < 0)
		return -1;
	return answer_label(r, out, err);
}

bool answer_blocked(struct request *r, struct flow_verdict *v)
{
	const struct label *ceiling = &r->session->ceiling.label;
	struct err err;
	if (!r->backend || r->backend->instance.slot == TAINT_NONE)
		return false;
	if (backend_label(r->backend, &r->after, &err) < 0) {
		log_error("request %s: %s", r->x->request_id, err.text);
		label_top(r->proxy->policy, &r->after);
	}
	*v = flow_respond(r->proxy->policy, &r->after, ceiling, ceiling);
	r->secret = !v->allowed;
	return r->secret;
}

/* An instance that crashed has to be replaced, and the next request, whoever's it is, can tell a fresh one from one that
 * was reset. So after reading what its session may not see, each instance ends, whatever it answered. */
void answer_let_go(struct request *r)
{
	if (r->secret && r->backend)
		route_end(&r->proxy->routes, &r->backend->instance, "has read what its session may not see",
			  clock_ns());
	r->backend = NULL;
}

unsigned answer_own_fields(struct request *r, struct http_field *out, char *timing, size_t size)
{
	if (!r->proxy->config.expose_timing)
		return 0;
	timing_header(&r->timing, r->start == START_COLD ? r->start_us : NULL, timing, size);
	out[0] = (struct http_field){ "PPCE-Instance", r->instance };
	out[1] = (struct http_field){ "PPCE-Start", timing_start_name(r->start) };
	out[2] = (struct http_field){ "PPCE-Label", r->label };
	out[3] = (struct http_field){ "Server-Timing", timing };
	return r->secret ? 3 : 4;
}

const char *answer_loss_detail(enum err_kind kind)
{
	switch (kind) {
	case ERR_TIMEOUT:
		return "the app did not answer in time";
	case ERR_TOO_LARGE:
		return "the request is larger than the app accepts";
	case ERR_UNAUTHENTICATED:
		return "the session has ended; log in again";
	default:
		return "the app failed to answer";
	}
}
