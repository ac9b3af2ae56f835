/* SPDX-License-Identifier: MIT
 *
 * The connection to the store (ppce/store.h, part 1) and the taint table (ppce/taint.h). vmmd makes the table, gives each
 * instance that may use the store a slot of it, and hands the store's end of the instance's socket over. A slot is used
 * again only after the store has said that it writes it no more, or after its connection is lost. Without a connection
 * no such instance is started; when the connection ends, all of them end.
 */
#ifndef VMMD_ATTACH_H
#define VMMD_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <ppce/taint.h>
#include "lib/err.h"

struct vmmd;
struct instance;

enum attach_state {
	ATTACH_FREE,
	ATTACH_USED,	/* its instance lives */
	ATTACH_ENDED,	/* its instance is gone, which the store is not told yet: its socket is full */
	ATTACH_WAITING, /* for the store's ATTACH_RELEASED */
};

struct attach_slot {
	enum attach_state state;
	uint64_t generation; /* of the connection that its instance was handed to */
	char uuid[PPCE_UUID_SIZE];
};

struct attach {
	int table;		   /* memfd of struct taint_table */
	struct taint_table *taint; /* the same, mapped */
	int fd;			   /* the connection, -1: none */
	uv_poll_t *poll;
	uv_timer_t retry;
	bool missing_logged;
	uint64_t generation; /* counts connections */
	struct attach_slot slots[TAINT_SLOTS];
	uint32_t free[TAINT_SLOTS]; /* the last nfree of these are free: a stack */
	uint32_t nfree, nended;	    /* slots in state ATTACH_FREE, ATTACH_ENDED */
};

/* Makes the table and begins to connect. */
int attach_start(struct vmmd *v, struct err *err);
void attach_end(struct vmmd *v);
bool attach_connected(const struct vmmd *v);
/* Gives the instance a slot with its label and the store its socket. Sets i->slot; returns the tender's end of the socket,
 * or -1: ERR_UNAVAILABLE without a store, ERR_FULL without a free slot. */
int attach_instance(struct vmmd *v, struct instance *i, const char *queries, struct err *err);
/* The instance is gone for good (or never came to be); it may have no slot. */
void attach_release(struct vmmd *v, struct instance *i);
/* A new descriptor of the table that cannot write it; -1 with err. */
int attach_table_reader(struct vmmd *v, struct err *err);

#endif
