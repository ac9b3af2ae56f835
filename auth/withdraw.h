/* SPDX-License-Identifier: MIT
 *
 * The end of a grant, by its owner, an operator or its `until`: in one transaction the grant, the epoch, the sessions that
 * rested on it and the event for the store; then the proxies (R9), the audit record and the store, in this order.
 */
#ifndef AUTH_WITHDRAW_H
#define AUTH_WITHDRAW_H

#include "auth/caller.h"
#include "auth/grants.h"
#include "auth/outbox.h"

struct withdrawal { /* the caller's, up to done() */
	struct auth *auth;
	struct grant grant;
	struct caller caller; /* ignored where it expired */
	bool expired;
	char request_id[27]; /* "" where it expired */
	/* Once: no proxy honours it any more. `audited` false: the log did not take the record. */
	void (*done)(struct withdrawal *w, bool audited, enum outbox_fate fate);
	struct revoke *revoke; /* ours, like those below */
	int64_t event;
	bool audited;
};

/* 0: done() follows, perhaps from within. -1: nothing has changed. */
int withdraw(struct withdrawal *w, struct err *err);

/* The timer that ends grants at their `until`; part of struct auth. */
void expiry_init(struct auth *a, uv_loop_t *loop);
void expiry_update(struct auth *a); /* at the start, and after a grant was made */
void expiry_stop(struct auth *a);

#endif
