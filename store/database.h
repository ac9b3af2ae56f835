/* SPDX-License-Identifier: MIT
 *
 * Where the data is: SQLite or PostgreSQL behind one small table of functions. A connection belongs to one worker thread.
 * Parameters are bound, never spliced; every statement has a deadline. A failure never ends the daemon: the job gets a
 * status, the log gets the reason, and a broken connection is made anew by the next job.
 */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "policy/queries.h"
#include "store/rows.h"

struct database_config {
	const struct queries *queries;
	const char *path; /* SQLite: of the file */
};

/* One statement to run. Made by the loop's thread, which does not touch it again before done(), but for .cancelled. */
struct job {
	TAILQ_ENTRY(job) link;
	const struct query *query;	 /* NULL: only see whether the database works */
	const struct call_value *values; /* by parameter of the statement: query->nrefs */
	uint64_t deadline_ns;		 /* CLOCK_MONOTONIC */
	struct rows *rows;		 /* reads: where rows go */
	atomic_bool cancelled;		 /* nobody waits for it any more */
	enum store_status status;	 /* out. STORE_TOO_LARGE where the rows said stop */
	uint32_t changed;		 /* out, writes: rows */
	void (*done)(struct job *job);	 /* on the loop's thread */
};

struct database_ops {
	const char *name;
	unsigned writers; /* connections that write */
	/* NULL with err: not now. `writer`: may change data; the others cannot. */
	void *(*open)(const struct database_config *c, bool writer, struct err *err);
	void (*close)(void *connection);
	/* Sets job->status. False: the connection is broken, close it. */
	bool (*run)(void *connection, struct job *job);
};
extern const struct database_ops database_sqlite, database_postgresql;

/* Is it over? To be asked every few milliseconds while a statement runs. */
bool job_over(const struct job *job);

#endif
