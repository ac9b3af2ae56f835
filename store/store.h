/* SPDX-License-Identifier: MIT
 *
 * ppce-store: labelled data behind named queries. Everything here is made by main.c and lives as long as the loop, whose
 * thread alone decides; workers only run statements (pool.h).
 *
 *   attach.c       vmmd hands over the sockets of instances and the taint table
 *   instance.c     one such socket: reads a call, sends its answer
 *   call.h, .c     one call: ticket, decode, find, decide, run, raise, record, answer; read it first
 *   read.c, write.c, declassify.c   what comes after finding: R2, R3, R7
 *   monitor.c      what an instance has read and may do next; pure
 *   uses.c         automata and obligations
 *   rows.c, owners.c, decode.c   pure
 *   pool.c, db_sqlite.c, db_postgresql.c   where the data is
 *   state.c        what the store itself remembers
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <uv.h>

#include "lib/audit.h"
#include "lib/config.h"
#include "lib/http_client.h"
#include "lib/rest.h"
#include "lib/ticket.h"
#include "policy/queries.h"
#include "store/pool.h"
#include "store/state.h"

struct attach;
struct certificates;

struct store {
	uv_loop_t *loop;
	struct config config;
	struct policy *policy;
	struct queries *queries;
	bool automata;		       /* some query carries one */
	uint8_t key[TICKET_KEY_BYTES]; /* secrets/ticket.key */
	struct pool *pool;
	struct state *state;
	struct audit *audit;
	struct certificates *certificates;
	struct http_client *http;
	char auth_address[320]; /* "unix:DIR/run/auth.sock" */
	struct attach *attach;
	size_t payload_bytes;		    /* of all calls that are being read or served */
	uint64_t calls[STORE_CONFLICT + 1]; /* by status */
	uint64_t bad_tickets;
	uint64_t unlabelled; /* rows whose label could not be told */
};

/* rest_api.c: the route table; `ctx` of every call is the struct store. */
void rest_api_config(struct store *s, struct rest_config *out);
int store_reload(struct store *s, struct err *err); /* rest_api.c: certificates anew */
/* rest_obligations.c: its handlers */
void obligations_list(struct rest_call *call);
void obligations_done(struct rest_call *call);
void events_post(struct rest_call *call);

#endif
