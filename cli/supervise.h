/* SPDX-License-Identifier: MIT
 *
 * Daemons as children of `ppce up`: started, started again when they die, ended in order. Single-threaded; the caller
 * blocks SIGCHLD, SIGTERM and SIGINT first and tells of each SIGCHLD by supervise_reap(). A child dies with us, whatever
 * kills us (PR_SET_PDEATHSIG).
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

#define SUPERVISE_BACKOFF_MIN_MS 50u
#define SUPERVISE_BACKOFF_MAX_MS 5000u
#define SUPERVISE_STABLE_MS 10000u /* up for this long: the next death starts at the smallest backoff again */
#define SUPERVISE_STOP_MS 5000u	   /* from SIGTERM to SIGKILL */

struct child {
	const char *name;    /* "auth": program ppce-auth beside our own executable, pid in DIR/run/auth.pid */
	const char *dir;     /* -C */
	const char *listen;  /* --listen, NULL: none; may change between starts */
	pid_t pid;	     /* 0 while it is down */
	unsigned backoff_ms; /* the wait before the next start */
	unsigned deaths;
	int last_exit;			 /* exit code, or 128 + signal */
	uint64_t started_ms, restart_ms; /* supervise_now() */
};

uint64_t supervise_now(void); /* CLOCK_MONOTONIC in ms */
int supervise_start(struct child *child, struct err *err);
void supervise_reap(struct child *children, size_t n); /* collects the dead and plans their restart */
/* Starts what is due. Returns ms until the next start is due, or -1. */
int supervise_restart(struct child *children, size_t n);
void supervise_stop(struct child *child); /* SIGTERM, then SIGKILL; returns when it is gone */
void supervise_forget_signals(void);	  /* in a new process: default handlers, nothing blocked */

#endif
