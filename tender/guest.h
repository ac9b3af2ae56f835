/* SPDX-License-Identifier: MIT
 *
 * A guest above its backend: the control page, the calls behind the doorbell, boot, requests, reset. Every word read
 * from the guest is copied once and checked before use; addresses never come from the guest, only lengths.
 */
#ifndef TENDER_GUEST_H
#define TENDER_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include <ppce/ticket.h>
#include "tender/backend.h"
#include "tender/snapshot.h"

/* One line of the guest's log: untrusted bytes made printable, NUL-terminated. */
typedef void guest_log_fn(int severity, const char *line);

/* The clock that the control page shows: monotonic time at one reading of the guest's TSC, and its multiplier. */
struct guest_clock {
	uint64_t tsc, ns, mult; /* mult 0: none was shown yet */
};

struct guest {
	struct vm vm;
	struct snapshot snapshot;
	guest_log_fn *log;
	int store;		       /* socket to the store, -1: none. Owned by the guest */
	bool store_lost;	       /* the store has closed it: this instance has no use any more */
	const struct ticket *ticket;   /* of the request that is being served with a store, else NULL */
	char reason[PPCE_REASON_SIZE]; /* after GUEST_CRASHED: why, for operators */
	bool network;		       /* entered by guest_run_network() */
	uint64_t network_wait_us;      /* after GUEST_NETWORK: its argument */
	struct guest_clock clock;
	unsigned log_budget;	      /* lines left in this request; more are dropped */
	uint32_t create_us, clone_us; /* what making the VM and the clone took; told with the first answer */
	uint64_t entered_ns;	      /* CLOCK_MONOTONIC when guest_serve() had prepared everything */
};

enum guest_end {
	GUEST_WAITING, /* it waits for a request; `response_len` bytes of answer stand in the response buffer */
	GUEST_CRASHED, /* exception, exit, forbidden call */
	GUEST_DEADLINE,
	GUEST_BAD_ANSWER,  /* it gave a length beyond its buffer */
	GUEST_STORE_FAULT, /* the store broke the protocol */
	GUEST_NETWORK,	   /* from guest_run_network() only: it has made a PPCE_CALL_NET */
};

/* Boots `image_fd`, runs the warm-up request and writes the snapshot to `memory_fd` (an empty file). ERR_INVALID: the
 * image is at fault, err->text says how; ERR_TIMEOUT: not ready within deadline_ms. */
int guest_boot(struct guest *g, int image_fd, int memory_fd, uint32_t deadline_ms, struct ppce_manifest *manifest,
	       struct err *err);
/* The same without warm-up and snapshot: the guest is then ready to be served as it is. No reset is possible. */
int guest_start(struct guest *g, int image_fd, int memory_fd, uint32_t deadline_ms, struct ppce_manifest *manifest,
		struct err *err);
/* Makes this guest a clone of the snapshot. */
int guest_clone(struct guest *g, int snapshot_fd, struct err *err);
/* Where a request of `len` bytes is to be written, or NULL if it is larger than the image's buffer. */
uint8_t *guest_request_buffer(struct guest *g, size_t len);
/* Hands over the request of `len` bytes that stands in that buffer and runs the guest until it answers. `ticket`: for its
 * calls to the store until then; NULL: it may make none. */
int guest_serve(struct guest *g, size_t len, const struct ticket *ticket, uint64_t deadline_ns, enum guest_end *end,
		size_t *response_len, struct err *err);
/* A new request, or a fresh guest: random bytes and log lines for it. */
void guest_refresh(struct guest *g);
/* Runs a guest that is to use its network, from its wait for a request (`result` 0) or from its last PPCE_CALL_NET
 * (`result` of that), until the next one or its end. `ticket` as above. */
int guest_run_network(struct guest *g, int64_t result, const struct ticket *ticket, uint64_t deadline_ns,
		      enum guest_end *end, struct err *err);
/* Runs the synthetic warm-up request and goes back to the snapshot: a fresh clone is then as fast as it gets. */
int guest_warm_up(struct guest *g, struct err *err);
/* Back to the snapshot, with resident pages as the warm-up leaves them. */
int guest_reset(struct guest *g, struct err *err);
void guest_destroy(struct guest *g);

#endif
