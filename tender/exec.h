/* SPDX-License-Identifier: MIT
 *
 * Runs a program of others, solo5-hvt, as narrowly as can be told from outside: as the tenders' user, in the groups that own
 * /dev/kvm and /dev/net/tun and no others, without capabilities, new privileges, core dumps or large files, with a bounded
 * address space, in /, with an empty environment and four descriptors. A filter keeps it from connecting anywhere, from
 * starting processes and from touching others; a landlock domain keeps it from writing files and from looking into other
 * processes, also those of the same user. It must open devices and attach its tap, so it is no short list as
 * our own tenders have. The program dies with vmmd. Descriptors are as in ppce/exec.h.
 */
#ifndef TENDER_EXEC_H
#define TENDER_EXEC_H

#include <sys/types.h>

#include <ppce/exec.h>
#include "lib/err.h"

struct exec_wish {
	const char *program; /* absolute path */
	uid_t uid;	     /* when we are root; 0 is refused */
	gid_t gid;
	unsigned memory_mib; /* of the guest */
};

/* Returns only with an error, or 0 when there was no command line. */
int exec_program(const struct exec_wish *wish, struct err *err);

#endif
