/* SPDX-License-Identifier: MIT
 *
 * One instance: its socket, whose peer is a tender and trusted for nothing, its place in the taint table, its monitor.
 * Calls come one at a time. Anything malformed closes the socket; the instance then reaches no data any more. */
#ifndef STORE_INSTANCE_H
#define STORE_INSTANCE_H

#include "store/monitor.h"
#include "store/store.h"

#define INSTANCE_BAD_TICKETS_MAX 8 /* forged or foreign ones; then the socket is closed */

struct call;

struct instance {
	uv_pipe_t pipe;
	struct store *store;
	struct monitor monitor;
	uint32_t slot_at;
	struct taint_slot *slot; /* NULL once it is closed: nothing is written any more */
	char digest[PPCE_DIGEST_SIZE];
	char queries[PPCE_QUERIES_SIZE]; /* what the manifest lists */
	unsigned bad_tickets;
	struct store_call head; /* being read */
	char *payload;
	size_t have;	   /* bytes of both */
	struct call *call; /* under way; reading rests meanwhile */
	/* the answer being written */
	uv_write_t write;
	struct store_reply reply;
	struct buf answer;
	void (*gone)(struct instance *i); /* just closed, for whatever reason; it frees itself later */
	void *ctx;
};

/* Takes `fd` over. */
struct instance *instance_new(struct store *s, const struct attach_message *m, struct taint_slot *slot, int fd,
			      void (*gone)(struct instance *i), void *ctx, struct err *err);
void instance_close(struct instance *i);
/* Ends the call under way. Takes the answer's bytes over. */
void instance_reply(struct instance *i, enum store_status status, struct buf *answer);
/* Writes what the monitor says into the slot. */
int instance_publish(struct instance *i, struct err *err);
/* Does the manifest list this query or certificate? */
bool instance_may(const struct instance *i, const char *name);

#endif
