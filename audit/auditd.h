/* SPDX-License-Identifier: MIT
 *
 * What the parts of ppce-audit share. One loop, one thread; the REST interface's searches alone run beside it, on files.
 *
 *	clients.c     records in, acknowledgements out
 *	commit.c      all records that wait become one write; then they are acknowledged
 *	data.c        the files they are written to
 *	tree.c        their hashes, and the tiles
 *	checkpoint.c  size and root, signed
 *	signer.c      the process that holds the key
 *	recover.c     from files to this state at the start
 *	rest_api.c    looking at it
 */
#ifndef AUDIT_AUDITD_H
#define AUDIT_AUDITD_H

#include <sys/queue.h>

#include <uv.h>

#include <ppce/audit.h>
#include "audit/data.h"
#include "audit/signer.h"
#include "audit/tree.h"
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/rest.h"

#define BATCH_RECORDS 1024u
#define BATCH_BYTES (8u << 20)

struct client;
struct rest_api;

struct batch_entry {
	struct client *client;
	uint64_t id, seq;
	enum audit_status status;
	struct merkle_hash leaf;
};

/* Why nothing is written. SOFT passes by itself: the next record tries again. */
enum stop { STOP_NONE = 0, STOP_SOFT, STOP_HARD };

struct auditd {
	struct config config;
	uv_loop_t *loop;
	char dir[300]; /* DIR/log/audit */
	struct signer signer;
	struct note_key key;
	struct data data;
	struct tree tree;
	uint64_t signed_size; /* of the last checkpoint */
	bool checkpoint_due;  /* the last try failed */
	struct batch_entry batch[BATCH_RECORDS];
	unsigned waiting; /* entries of the batch */
	struct buf lines; /* of those among them that are to be written */
	enum stop stop;
	char why[480]; /* the reason, for /readyz */
	int failed;    /* the daemon cannot go on and ends with an error */

	int listener;
	uv_poll_t accept;
	uv_check_t after_poll;
	uv_timer_t tick;
	TAILQ_HEAD(, client) clients;
	unsigned nclients;
	struct rest_api *api;
	uint64_t batches, malformed, refused;
};

/* commit.c */
/* A record joins the batch. False: no room in this turn, the caller tries again in the next one. */
bool commit_add(struct auditd *d, struct client *c, uint64_t id, const char *json, size_t len);
void commit_run(struct auditd *d);

/* checkpoint.c. Signs the tree as it is and writes tiles and checkpoint. A failure is noted as a reason to stop. */
int checkpoint_write(struct auditd *d, struct err *err);
int checkpoint_publish_key(struct auditd *d, struct err *err);

/* recover.c. -1: ppce-audit cannot run at all. An inconsistent log is a STOP_HARD instead. */
int recover(struct auditd *d, struct err *err);

/* main.c */
void auditd_stop(struct auditd *d, enum stop stop, const struct err *why); /* a HARD one stays */
void auditd_go_on(struct auditd *d);					   /* ends a SOFT one */
void auditd_fail(struct auditd *d, const struct err *why);		   /* ends the daemon */

/* clients.c */
int clients_start(struct auditd *d, struct err *err); /* listens; nobody is heard before clients_run() */
void clients_run(struct auditd *d);
void client_answer(struct client *c, uint64_t id, enum audit_status status, uint64_t seq);
void clients_end(struct auditd *d);

/* rest_api.c */
int rest_api_start(struct auditd *d, struct err *err);
void rest_api_stop(struct auditd *d);
void rest_api_free(struct auditd *d);

#endif
