/* SPDX-License-Identifier: MIT
 *
 * Of everything a root process may do, CAP_NET_ADMIN stays, and the system calls that this daemon makes. */
#ifndef NET_JAIL_H
#define NET_JAIL_H

#include "lib/err.h"

int jail_check(struct err *err); /* do we have CAP_NET_ADMIN? ERR_CONFIG with what to do */
/* Before the first thread; after everything that opens files or netlink sockets. */
int jail_enter(struct err *err);

#endif
