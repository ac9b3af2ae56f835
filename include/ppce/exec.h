/* SPDX-License-Identifier: MIT
 *
 * How vmmd has a program of others (solo5-hvt) run: by `ppce-tender --exec PROGRAM --memory MIB [--jail-uid UID --jail-gid GID]`,
 * which narrows itself (tender/exec.h) and becomes that program.
 *
 * Descriptors: 0: the command line, each argument ended by NUL, then the end of the file. Read before anything is run, so
 * that vmmd can start the launcher while it waits for a tap; an empty one ends it. Becomes /dev/null. 1 and 2: output.
 * 3: the image, which the program is to be told as EXEC_IMAGE.
 */
#ifndef PPCE_EXEC_H
#define PPCE_EXEC_H

#define EXEC_ARGS_MAX 16
#define EXEC_BYTES_MAX 8192 /* of all arguments */
#define EXEC_IMAGE "/proc/self/fd/3"

#endif
