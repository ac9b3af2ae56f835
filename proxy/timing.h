/* SPDX-License-Identifier: MIT
 *
 * Where the time of a request goes: each nanosecond belongs to exactly one step of the path; the step `forward` is
 * broken down further by what the instance's tender reports.
 */
#ifndef PROXY_TIMING_H
#define PROXY_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "proxy/histogram.h"

enum timing_phase {
	/* the steps, in the order of request.c */
	PHASE_RECV,    /* first byte to the end of the request */
	PHASE_AUTH,    /* token to session */
	PHASE_LABEL,   /* level of the request */
	PHASE_ROUTE,   /* app */
	PHASE_ACQUIRE, /* waiting for an instance */
	PHASE_FORWARD, /* request sent, answer received */
	PHASE_CHECK,   /* may it leave? */
	PHASE_DELIVER, /* audit and hand-over to the client's connection */
	PHASE_REFUSE,  /* the same for refusals */
	/* parts of forward */
	PHASE_LOAD, /* tender: control page and entry */
	PHASE_RUN,  /* tender: the guest's own run */
	PHASE_HOP,  /* the rest: sockets and scheduling between proxy and tender */
	/* the same where the request went by HTTP */
	PHASE_CONNECT,	/* until there was a connection: 0 on a kept one; of a cold start, most of its making */
	PHASE_EXCHANGE, /* the rest: request and answer on it, and the run in between */
	/* off the path */
	PHASE_RESET, /* tender: back to the snapshot */
	PHASE_TOTAL, /* first byte of the request to the hand-over of the answer */
	PHASES
};

enum timing_start {
	START_COLD,	/* an instance was started because this request waited */
	START_WARM,	/* an instance that others (of the same key) have used, or started by hand */
	START_PRISTINE, /* a fresh instance made or reset ahead */
};

struct timing { /* of one request, ns; 0 for what did not happen */
	uint64_t ns[PHASES];
};

struct timing_totals {
	struct histogram phase[PHASES];
};

const char *timing_phase_name(enum timing_phase phase);
const char *timing_start_name(enum timing_start start);
/* The value of a Server-Timing field (milliseconds), up to and including PHASE_CHECK and the parts of forward; `start_us`
 * are spawn, create and bind of a cold start, or NULL. Returns its length. */
size_t timing_header(const struct timing *t, const uint32_t start_us[3], char *out, size_t size);
/* Sets PHASE_EXCHANGE: what of the time in FORWARD was not connecting. */
void timing_split_http(struct timing *t);
/* Sets PHASE_HOP: what of the time in FORWARD was not the tender's. `making_us`: VM and clone of a cold start. */
void timing_split_forward(struct timing *t, uint64_t making_us);
void timing_add(struct timing_totals *totals, const struct timing *t); /* phases that did not happen are not counted */
void timing_metrics(const struct timing_totals *totals, struct buf *out);

#endif
