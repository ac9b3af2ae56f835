/* SPDX-License-Identifier: MIT
 *
 * What every daemon does around its own work. In this order:
 *
 *   daemon_arguments   -C DIR
 *   daemon_begin       the process, libsodium, DIR/ppce.yaml and the level of the log
 *   ...                the daemon's own start, on a loop of its own
 *   daemon_watch       SIGTERM and SIGINT end it
 *   "ready"            the last word of the line that says so, in the log
 *   daemon_grace       the end has begun: what is under way gets a bounded time
 *   daemon_close       the loop has ended
 *
 * Exit codes: 0 after an orderly end, 2 for a wrong command line, else daemon_failed's.
 */
#ifndef LIB_DAEMON_H
#define LIB_DAEMON_H

#include <uv.h>

#include "lib/config.h"
#include "lib/err.h"

struct daemon_life {
	void (*end)(void *ctx);
	void *ctx;
	uv_signal_t term, interrupt;
	uv_timer_t grace;
	const char *owed;
};

/* Returns DIR; exits after --help (0) and after a wrong command line (2), with `usage`. `option`: the name of one more
 * option, whose argument goes to *value, or NULL. */
const char *daemon_arguments(int argc, char **argv, const char *usage, const char *option, const char **value);
/* No core files, files of mode 0600, no death by SIGPIPE or SIGXFSZ, an end with `ppce up` if that started us; then the
 * configuration. `name` is the daemon's in the log, and kept. */
int daemon_begin(const char *name, const char *dir, struct config *config, struct err *err);
void daemon_raise_files(void); /* for those with a descriptor for each peer: as many as the hard limit allows */
int daemon_mkdir(const struct config *c, const char *tail, struct err *err); /* DIR/tail, mode 0700; may be there */

/* Calls end(ctx) from the loop at SIGTERM or SIGINT, at each of them until daemon_unwatch or daemon_grace. */
void daemon_watch(struct daemon_life *life, uv_loop_t *loop, void (*end)(void *ctx), void *ctx);
void daemon_unwatch(struct daemon_life *life);
/* Unwatches, and stops the loop in 3 s unless it has ended by itself. `owed` ("answers") is for the log line about what
 * was cut off then. */
void daemon_grace(struct daemon_life *life, const char *owed);
/* After daemon_grace and the end of uv_run: closes the loop. */
void daemon_close(struct daemon_life *life);

/* Logs the reason, returns the exit code for it. */
int daemon_failed(const struct err *err);

#endif
