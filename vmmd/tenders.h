/* SPDX-License-Identifier: MIT
 *
 * Tender processes: how one is started, spoken to and seen to end. A tender belongs to exactly one owner at a time (the
 * shell pool, a boot, an instance), who hears of its messages and, last of all, of its end.
 *
 * A tender is not trusted beyond its own instance: a message that is malformed, carries a descriptor or comes too fast
 * ends it, and its texts are made printable before anybody sees them. The statistics page is sealed, so that a tender
 * cannot shrink it under our feet.
 *
 * A tender of others (vmmd/foreign.h) is a process like these. It takes a command line once and no messages; what it prints
 * comes to its owner line by line as CONTROL_LOG; it has no statistics page.
 */
#ifndef VMMD_TENDERS_H
#define VMMD_TENDERS_H

#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/control.h>
#include "lib/err.h"

struct vmmd;
struct tender;

struct tender_owner {
	/* A valid message, texts already printable. May call tender_kill(). */
	void (*message)(struct tender *t, const struct control_message *m);
	/* The process is gone and reaped. t->reason says why. The tender is freed after this call. */
	void (*ended)(struct tender *t);
};

struct tender_output;

struct tender {
	LIST_ENTRY(tender) link;
	TAILQ_ENTRY(tender) shell_link; /* of the shell pool */
	struct vmmd *v;
	const struct tender_owner *owner;
	void *ctx; /* the owner's own */
	pid_t pid;
	int pidfd, control;	      /* of others' tenders: what they print */
	struct tender_output *output; /* of others' tenders: what was printed of the next line; else NULL */
	int command;		      /* of others' tenders: takes the command line; else -1 */
	uv_poll_t pid_poll, control_poll;
	uv_timer_t timer;
	unsigned handles;			   /* not yet closed */
	const volatile struct tender_stats *stats; /* of others' tenders: all 0 */
	uint32_t spawn_us;			   /* posix_spawn() as a whole */
	uint32_t create_us;			   /* exec to ready, as the tender says; 0 until .ready */
	bool ready;				   /* CONTROL_SHELL_READY came */
	bool ending;				   /* killed, or its control socket is closed */
	bool failed;				   /* ended by itself in any other way than exit status 0 */
	uint64_t window_ns;			   /* flood limit: messages since then */
	unsigned window_messages;
	const char *deadline_for;      /* what the timer waits for */
	char reason[PPCE_REASON_SIZE]; /* why it ends; empty until known */
};

struct tenders {
	LIST_HEAD(, tender) all;
	unsigned count;
	bool kvm;	       /* the backend in force */
	char path[512];	       /* ppce-tender beside our own file */
	char uid[16], gid[16]; /* what tenders drop to; empty: stay what we are */
	char *argv[9];
	posix_spawnattr_t attr;
};

/* Finds the program, the user and the backend (by the configuration, and the probe where that says auto). */
int tenders_init(struct vmmd *v, struct err *err);
/* Kills and reaps every tender, waiting for each. Owners are not told. */
void tenders_end_all(struct vmmd *v);
void tenders_free(struct vmmd *v);

struct tender *tender_spawn(struct vmmd *v, const struct tender_owner *owner, void *ctx, struct err *err);
void tender_give(struct tender *t, const struct tender_owner *owner, void *ctx);
extern const struct tender_owner tender_nobody; /* ignores everything */
/* Starts the launcher (ppce/exec.h) for `program`, which waits for its command line. */
struct tender *tender_spawn_foreign(struct vmmd *v, const char *program, int image, unsigned memory_mib,
				    const struct tender_owner *owner, void *ctx, struct err *err);
/* Once. `argv` ends with NULL. A tender that does not take it is killed. */
int tender_command(struct tender *t, const char *const *argv, struct err *err);
/* Once a second: reads on where a tender of others has printed too much. */
void tender_tick(struct tender *t);
/* Descriptors stay the caller's. A tender that does not take a message is killed. */
int tender_send(struct tender *t, const struct control_message *m, const int *fds, size_t nfds, struct err *err);
/* Kills unless tender_deadline(t, 0, NULL) is called within `ms`; `what` is static text: "the boot". */
void tender_deadline(struct tender *t, unsigned ms, const char *what);
/* The first reason given stays. Kills at once; .ended comes later, when the process is reaped. */
void tender_kill(struct tender *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct tender_stats tender_stats(const struct tender *t);

/* Asks `ppce-tender --probe` whether KVM works; `why` gets one line. */
int probe_kvm(const char *tender_path, bool *kvm, char *why, size_t size, struct err *err);

#endif
