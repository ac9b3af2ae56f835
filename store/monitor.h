/* SPDX-License-Identifier: MIT
 *
 * The reference monitor: what one instance has read so far, and what it may therefore read, write and release next. No
 * I/O and no clock, so that tests can drive it through any sequence. The caller does, in this order: check the ticket
 * (monitor_ticket), publish the label (monitor_taint into the instance's slot), ask (monitor_read or monitor_write), run
 * the query, raise (monitor_raise), publish the label again, record it in the audit log, hand over the bytes.
 */
#ifndef STORE_MONITOR_H
#define STORE_MONITOR_H

#include <ppce/taint.h>
#include <ppce/ticket.h>
#include "policy/automaton.h"
#include "lib/ticket.h"
#include "policy/flow.h"

#define MONITOR_SOURCES_MAX 64 /* queries that raised one instance; more: nothing can be released any more */
#define MONITOR_USES_MAX 4096  /* objects with automata that one instance has read; more: it cannot write or release */
#define MONITOR_COHORT_BYTES 16

enum ticket_verdict {
	TICKET_OK,
	TICKET_FORGED,	   /* malformed, or the MAC is wrong */
	TICKET_FOREIGN,	   /* of another instance or app than the socket's */
	TICKET_EXPIRED,	   /* its request is over */
	TICKET_REPLAYED,   /* older than one that was seen, or another one of the same number */
	TICKET_UNREADABLE, /* authentic, but its labels are none of our policy */
};
const char *ticket_verdict_code(enum ticket_verdict v); /* reason in the audit log: "forged", "foreign", ... */

struct monitor_source { /* a query that has returned something to the instance */
	char query[PPCE_NAME_SIZE];
	struct label label; /* join of what it returned */
	uint64_t group;	    /* distinct owners in its rows; 0 if its runs did not all have the same owners */
	uint8_t cohort[MONITOR_COHORT_BYTES];
};

struct monitor_use { /* an object with an automaton that the instance has read */
	char automaton[PPCE_CLASS_SIZE];
	char owner[PPCE_USER_SIZE];
	char category[PPCE_CLASS_SIZE];
	enum automaton_event event; /* how */
};

struct monitor {
	const struct policy *policy;
	char uuid[PPCE_UUID_SIZE];
	char app[PPCE_NAME_SIZE];
	uint64_t seq; /* newest accepted ticket; 0: none yet */
	uint8_t mac[TICKET_MAC_BYTES];
	bool mac_known;	      /* .mac is that ticket's: false after a restart of the store */
	bool sources_unknown; /* not all of them are in .source: a restart, or too many */
	bool uses_unknown;    /* the same for .use */
	enum flow_mode mode;
	struct label label;   /* of the instance */
	struct label ceiling; /* of the session of the newest ticket */
	struct monitor_source *source;
	size_t nsources;
	struct monitor_use *use;
	size_t nuses;
};

/* Begins where the slot says that the instance stands; fails (ERR_INVALID) on a slot that is another instance's or holds no
 * label of the policy. *m needs monitor_free() afterwards either way. */
int monitor_init(struct monitor *m, const struct policy *p, const char *uuid, const char *app,
		 const struct taint_value *slot, struct err *err);
void monitor_free(struct monitor *m);

/* Untrusted ticket. TICKET_OK: it is the current one from now on, and the label follows it: reset to the request's with
 * TICKET_PRISTINE, else joined with it. Any other verdict changes nothing. */
enum ticket_verdict monitor_ticket(struct monitor *m, const uint8_t key[TICKET_KEY_BYTES], const struct ticket *t,
				   int64_t now_ms);
/* R2, R3. Nothing is changed. */
struct flow_verdict monitor_read(const struct monitor *m, const struct label *data);
struct flow_verdict monitor_write(const struct monitor *m, const struct label *data);
/* Data labelled `data` was read by `query` from the rows of `group` owners, whose names hash to `cohort`. Must have been
 * allowed by monitor_read(). Never lowers the label. */
void monitor_raise(struct monitor *m, const char *query, const struct label *data, uint64_t group,
		   const uint8_t cohort[MONITOR_COHORT_BYTES]);
/* The instance's label covers `data` from now on, but no query returned it: the answer of a write. */
void monitor_join(struct monitor *m, const struct label *data);
void monitor_add_use(struct monitor *m, const struct monitor_use *use);
/* Is `query` the only one that returned anything above `to` since the instance was pristine? *group: of how many owners. */
bool monitor_only_query(const struct monitor *m, const char *query, const struct label *to, uint64_t *group);
/* What the slot has to say now. */
int monitor_taint(const struct monitor *m, struct taint_value *out, struct err *err);

#endif
