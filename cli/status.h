/* SPDX-License-Identifier: MIT
 *
 * What the running daemons say about themselves. Used by `ppce up`, `ppce status` and `ppce doctor`.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/cli.h"

/* Is the daemon ready to serve (/readyz)? 0, or -1 with its reason. */
int status_ready(struct cli *c, const char *daemon, struct err *err);
/* The address that the proxy is bound to, from DIR/run/listen. */
int status_listen(struct cli *c, char *out, size_t size, struct err *err);
/* What separates instances here, in words: "kvm, nested pvm", "process". */
int status_isolation(struct cli *c, char *out, size_t size, struct err *err);

#endif
