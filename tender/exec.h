/* SPDX-License-Identifier: MIT
 *
 * Runs a program of others, solo5-hvt, as narrowly as can be told from outside: as the tenders' user, in the groups that own
 * /dev/kvm and /dev/net/tun and no others, without capabilities, new privileges, core dumps or large files, with a bounded
 * address space, in /, with an empty environment and four descriptors. A filter keeps it from connecting anywhere, from
 * starting processes and from touching others; a landlock domain keeps it from writing files and from looking into other
 * processes, also those of the same user. It must open devices and attach its tap, so it is no short list as
 * our own tenders have. The program dies with vmmd.
 *
 * Descriptors: 0: the command line, each argument ended by NUL, then the end of the file. Read before anything is run, so
 * that vmmd can start us while it waits for a tap; an empty one ends us. Becomes /dev/null. 1 and 2: output. 3: the image.
 */
#ifndef TENDER_EXEC_H
#define TENDER_EXEC_H

#include <sys/types.h>

#include "lib/err.h"

#define EXEC_ARGS_MAX 16
#define EXEC_BYTES_MAX 8192 /* of all arguments */
#define EXEC_IMAGE "/proc/self/fd/3"

struct exec_wish {
	const char *program; /* absolute path */
	uid_t uid;	     /* when we are root; 0 is refused */
	gid_t gid;
	unsigned memory_mib; /* of the guest */
};

/* Returns only with an error, or 0 when there was no command line. */
int exec_program(const struct exec_wish *wish, struct err *err);

#endif
