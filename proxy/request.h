/* SPDX-License-Identifier: MIT
 *
 * The path of a request to an app, see request.c. Everything in struct request that comes from the client is untrusted;
 * identity and level come from the session and the policy alone.
 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H

#include <ppce/frame.h>

#include "lib/audit.h"
#include "lib/http.h"
#include "proxy/backend.h"
#include "proxy/encode.h"
#include "proxy/response.h"
#include "proxy/route.h"
#include "proxy/session.h"
#include "proxy/timing.h"

struct proxy;
struct service;

enum request_step {
	STEP_RECV,
	STEP_AUTH,
	STEP_LABEL,
	STEP_ROUTE,
	STEP_ACQUIRE,
	STEP_FORWARD,
	STEP_CHECK,
	STEP_DELIVER,
	STEP_REFUSE,
	STEP_DONE, /* answered: the request is over */
	STEP_WAIT, /* something else will resume it */
};

struct request {
	struct proxy *proxy;
	struct http_exchange *x;
	enum request_step step; /* where it is */
	uint64_t entered_ns;	/* ... and since when */
	struct timing timing;
	bool gone; /* the client went away */

	/* RECV */
	char app_name[PPCE_NAME_SIZE];
	const char *path; /* what follows the app's name, begins with '/' */
	const char *token;
	size_t token_len;
	/* AUTH */
	struct session_lookup lookup;
	struct session *session; /* one reference */
	enum err_kind lookup_kind;
	/* LABEL */
	struct label level;
	const char *label; /* its canonical text: one of the session's, or label_text */
	char label_text[PPCE_LABEL_SIZE];
	/* ROUTE: an app of vmmd's, or an outside service */
	struct app *app; /* valid up to ACQUIRE; afterwards use the instance's */
	bool outside;
	struct headers_field fields[PPCE_HEADERS_MAX];
	size_t nfields;
	struct buf cookie;
	struct encode_request encoded;
	/* ACQUIRE */
	struct waiter waiter;
	struct backend *backend; /* while it works on this request */
	struct service *service; /* the same for an outside service */
	enum timing_start start;
	char instance[PPCE_UUID_SIZE]; /* or the registration's id */
	char image[PPCE_DIGEST_SIZE];  /* what it runs; "" for an outside service */
	struct label bound;	       /* the level of whatever serves the request, as vmmd or the registration said */
	uint32_t start_us[3];	       /* cold: spawn, create, bind */
	/* FORWARD */
	unsigned tries;	     /* outside services that could not be reached */
	const void *payload; /* the answer, valid during CHECK and DELIVER only */
	size_t payload_len;
	const struct http_reply *reply;
	/* CHECK */
	struct label after;		  /* label of the instance when it had answered */
	bool secret;			  /* the instance has read what the session may not see: proxy/hold.h */
	char certificate[PPCE_NAME_SIZE]; /* under which the answer is released (R7); "" none */
	/* DELIVER, REFUSE */
	enum { RECORD_NONE, RECORD_UNDER_WAY, RECORD_WRITTEN, RECORD_FAILED } record;
	struct audit_wait wait;
	struct buf kept; /* the answer, while its record is being written */
	struct response response;
	/* REFUSE */
	struct {
		enum err_kind kind;
		unsigned retry_after;
		const char *reason; /* stable code for the audit log */
		const char *rule;   /* flow rule, or "" */
		char detail[480];   /* for the client: nothing of the inside */
	} refusal;

	struct request *next_spare;
};

/* Takes an exchange whose path begins with "/APP". */
void request_start(struct proxy *p, struct http_exchange *x);

/* Something that the request waited for has happened: it goes on with this step. */
void request_resume(struct request *r, enum request_step next);

void request_free_spares(struct proxy *p);

#endif
