/* SPDX-License-Identifier: MIT
 *
 * What the parts of the proxy share. One thread, one loop: everything here is touched by that thread only.
 *
 *	main.c          start and end, the door
 *	request.c       the path of a request: start reading there
 *	headers.c       what of a client's header is let through       encode.c      requests for instances
 *	response.c      what of an answer is let through               timing.c      phases and their histograms
 *	session.c       who asks (auth)                                login.c       /login and /logout
 *	route*.c        which instance: queue, choice, growth          vmmd.c        instances come and go
 *	backend.c       an instance and its channel                    channel.c     frames
 *	announce.c      how it comes                                   health.c      is one of others still there?
 *	forward.c       the step that sends                            forward_tap.c to instances with an address
 *	ticket.c        what the store may read for a request  taint.c       labels of instances that have read
 *	answer.c        an answer and its label                record.c      the audit record of a request
 *	queue.c         the longest wait for an instance      hold.c        when a blocked answer leaves
 *	refuse.c        why a request fails
 *	registration.c  outside services                               forward_http.c  requests to them
 *	grants.c        users' grants, passed on to auth               auth_call.c  how
 *	revoke.c        instances that end with a clearance (R9)
 *	rest_api.c      the operator's interface                       link.c, table.c, histogram.c  tools
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <uv.h>

#include "lib/audit.h"
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/http_client.h"
#include "lib/rest.h"
#include "lib/ticket.h"
#include "policy/policy.h"
#include "proxy/link.h"
#include "proxy/registration.h"
#include "proxy/revoke.h"
#include "proxy/route.h"
#include "proxy/session.h"
#include "proxy/taint.h"
#include "proxy/timing.h"

struct request;

struct proxy {
	uv_loop_t *loop;
	struct config config;
	struct policy *policy;
	struct audit *audit;
	struct http_client *client; /* NULL while the proxy is ending */
	struct sessions sessions;
	struct routes routes;
	struct link vmmd;
	struct registrations registrations;
	struct taint taint;
	uint8_t ticket_key[TICKET_KEY_BYTES];
	struct revocations revocations;
	struct rest *rest;
	struct http_server *door, *api;
	struct timing_totals totals;
	struct buf out;		    /* the request being encoded */
	struct request *spare;	    /* request structs for reuse */
	unsigned requests;	    /* under way */
	uint64_t answers[6];	    /* by first digit of the status: [2] = 2xx ... */
	uint64_t starts[3];	    /* enum timing_start */
	uint64_t mismatches;	    /* answers or requests stopped by the last check before a hand-over: always 0 */
	uv_timer_t second, waiting; /* sweeps; the queue's longest wait */
	uv_timer_t health;	    /* rounds of proxy/health.c */
	struct daemon_life life;
	uint64_t end_ms; /* loop time after which nothing is waited for any more */
};

#endif
