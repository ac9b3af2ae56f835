/* SPDX-License-Identifier: MIT
 *
 * One call of a guest, from its bytes to its answer. The steps (call.c, then read.c, write.c or declassify.c):
 *
 *   TICKET   who asks, for which request; else refused and audited
 *   DECODE   the guest's bytes
 *   FIND     the query or certificate: queries.yaml and the manifest must both name the app
 *   DECIDE   R2, R3 or R7, and the automata
 *   RUN      the statement, on a worker
 *   RAISE    the label, in the monitor and the taint slot
 *   RECORD   in the audit log, acknowledged
 *   ANSWER   the bytes
 *
 * A write is recorded before it runs: no change without its record. A failure between RUN and ANSWER hands nothing over,
 * and a label that was raised stays raised.
 */
#ifndef STORE_CALL_H
#define STORE_CALL_H

#include "store/decode.h"
#include "store/instance.h"
#include "store/owners.h"
#include "store/rows.h"
#include "store/uses.h"

struct call {
	struct store *store;
	struct instance *instance; /* NULL: it is gone; nothing is raised, written or answered any more */
	struct store_call head;
	char *payload;
	struct call_view view;
	bool known; /* the ticket is good */
	const struct query *query;
	struct job job;
	struct call_value bound[PPCE_VALUES_MAX + 8]; /* by parameter of the statement */
	const char **params;			      /* texts among the parameters, for templates */
	struct permit permit;
	struct rows rows;
	struct label label; /* of what is read, unless per row, or written */
	char label_text[PPCE_LABEL_SIZE];
	bool blind; /* a write above a label that cannot rise: its answer says nothing */
	/* for the record */
	const char *event, *object;
	char before[PPCE_LABEL_SIZE], after[PPCE_LABEL_SIZE];
	struct owners owners;
	size_t owners_at;
	uint64_t nrows;
	bool allowed;
	const char *rule, *reason;
	struct audit_wait wait;
	void (*recorded)(struct call *c);
	/* for the answer */
	enum store_status status;
	struct buf answer;
	struct release_state *release; /* declassify.c's */
};

/* A call stands complete in i->head and i->payload. */
void call_start(struct instance *i);
/* Its instance is closed. */
void call_abandon(struct call *c);

/* read.c, write.c: the query is found, its parameters are as declared. */
void call_read(struct call *c);
void call_write(struct call *c);

/* For declassify.c. The value that is to be released stands in c->view. */
void declassify_start(struct call *c);
void declassify_free(struct release_state *r);
/* Answers `status`, after the record if it has a reason. */
void call_refuse(struct call *c, enum store_status status, const char *rule, const char *reason);
/* Writes the record, then calls `then` with .status STORE_UNAVAILABLE if it could not be written. */
void call_record(struct call *c, void (*then)(struct call *c));
void call_finish(struct call *c);					   /* answers and frees */
void call_end_abandoned(struct call *c);				   /* frees; nobody waits for the answer */
void call_fail(struct call *c, const struct err *err, const char *reason); /* logs; STORE_UNAVAILABLE */
struct uses_actor call_actor(const struct call *c);
void call_note_label(const struct call *c, char out[PPCE_LABEL_SIZE]); /* the instance's now */
/* Values of $user, $1 and the like for templates. `params` has room for PPCE_VALUES_MAX. */
struct query_values call_values(const struct call *c, const char **params);
int call_make_label(struct call *c, struct err *err);	      /* into .label and .label_text, where no row decides it */
void call_run(struct call *c, void (*done)(struct job *job)); /* RUN */
struct call *call_of(struct job *job);
const char *call_failure_reason(enum store_status status);

#endif
