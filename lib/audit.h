/* SPDX-License-Identifier: MIT
 *
 * The client's side of the audit log. ppce-audit is the only writer (docs/audit.md has the format); everyone else sends it
 * records over DIR/run/audit-log.sock (SOCK_SEQPACKET; struct audit_head of ppce/audit.h, then the record as one JSON
 * object) and may release what a record speaks of only after it was acknowledged.
 *
 * A connection that is lost is made again by the next record. What was sent and not acknowledged then has failed; it may
 * stand in the log nevertheless: a record without its release is harmless, the reverse never happens.
 */
#ifndef LIB_AUDIT_H
#define LIB_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "lib/err.h"

struct audit; /* a connection */

struct audit_record {	   /* NULL and "" are left out */
	const char *event; /* "request", "read", "write", "declassify", "login", "logout", "grant", "revoke", ... */
	const char *request_id, *actor, *class_name, *session, *purpose;
	const char *app, *image, *instance; /* image: SHA-256 in hex */
	const char *path, *address;
	const char *object;	    /* what was read, written or released: name of the query or certificate; the sink */
	const char *category;	    /* "raw" or "aggregate" where data was handed over */
	const char *owners;	    /* whose data: the tags of the object's label, "p7/training,p8/medical" */
	const char *label;	    /* of the request */
	const char *before, *after; /* of the instance, around a read or write */
	bool allowed;
	const char *rule;   /* "R1", "R4", ...: the rule that decided; empty where no flow rule did */
	const char *reason; /* stable code of a refusal, or what an operator or user gave as justification */
	int status;	    /* HTTP status that the user saw; 0 none */
	uint64_t epoch;	    /* policy epoch; 0 none */
	uint64_t rows;	    /* rows read, written or aggregated */
};

/* Part of the submitter's memory from audit_submit() to done(). */
struct audit_wait {
	TAILQ_ENTRY(audit_wait) link;
	uint64_t id;
	uint64_t since_ns;
	/* Exactly once, from the loop, never from within audit_submit(); it may submit again, but not call audit_close(). err NULL: the record is in the log, as durable as
	 * audit.durability asks for. Else it must be taken as missing: release nothing. */
	void (*done)(struct audit_wait *w, const struct err *err);
};

/* `path` of the socket; does not connect yet. `loop` NULL: only audit_write() will be used. */
struct audit *audit_open(uv_loop_t *loop, const char *path, const char *daemon, struct err *err);
/* Waits for the acknowledgement, at most AUDIT_WAIT_MS. -1 (ERR_UNAVAILABLE): the caller must not release anything. */
#define AUDIT_WAIT_MS 2000u
int audit_write(struct audit *a, const struct audit_record *r, struct err *err);
/* The same without waiting. Always ends in w->done(). */
void audit_submit(struct audit *a, const struct audit_record *r, struct audit_wait *w);
bool audit_usable(const struct audit *a); /* connected, and the last record was acknowledged */
/* Open waits end with an error first. With a loop, that has to run once more to let go of the handles. */
void audit_close(struct audit *a);

#endif
