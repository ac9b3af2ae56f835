/* SPDX-License-Identifier: MIT
 *
 * What a tender gives up before it touches an image: every descriptor but its own few, root, capabilities, new
 * privileges, core dumps, files, and every system call outside a short list (seccomp). From then on even a tender that
 * a guest has taken over can only talk on the sockets it holds and run its own VM.
 */
#ifndef TENDER_JAIL_H
#define TENDER_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

/* First thing in main(): dies with the parent, closes stray descriptors above `last_fd`. */
int jail_enter_early(int last_fd, struct err *err);
/* When root: becomes uid/gid (refused if 0). `may_fork`: the process backend makes its guests by fork. */
int jail_enter(uid_t uid, gid_t gid, bool may_fork, struct err *err);

#endif
