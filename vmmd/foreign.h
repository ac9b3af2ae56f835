/* SPDX-License-Identifier: MIT
 *
 * Unikernels made elsewhere: images of kind solo5-hvt, run by an external solo5-hvt (docs/foreign.md). Nothing of such an
 * image runs when it is added; an instance is one boot of it, on a tap that solo5-hvt attaches by name. It has no store, no
 * channel and no reset. It counts as started, and the proxy hears of it, when it accepts a TCP connection on its port.
 */
#ifndef VMMD_FOREIGN_H
#define VMMD_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

#define FOREIGN_PATH_SIZE 256
#define FOREIGN_MEMORY_MIB 64 /* of a guest, unless `ppce image add` says otherwise */
#define FOREIGN_REQUEST_KIB 1024
#define FOREIGN_RESPONSE_KIB 4096
#define FOREIGN_ARGS_SIZE 513
/* What MirageOS takes. */
#define FOREIGN_ARGS "--ipv4={ipv4}/{prefix} --ipv4-gateway={gateway}"

struct vmmd;
struct instance;
struct foreign; /* one that starts */
struct boot_result;

/* The program, by vmmd.solo5_hvt: looked for each time, so that one that is installed later is found. ERR_UNAVAILABLE. */
int foreign_program(const struct vmmd *v, char out[FOREIGN_PATH_SIZE], struct err *err);
/* Copies the file, reads it and describes it; nothing is run. ->snapshot is the copy, sealed. */
int foreign_load(int file, uint32_t memory_mib, struct boot_result *out, struct err *err);
bool foreign_likely(int file); /* a Solo5 image? */

/* Arguments of an app: printable ASCII with the placeholders {ipv4}, {prefix}, {gateway} and {port}. */
int foreign_args_check(const char *args, struct err *err);

/* Asks for a tap and starts the launcher; like instance_start(), what fails later is told to those who wait. */
int foreign_start(struct vmmd *v, struct instance *i, struct err *err);
/* The instance is about to be freed. */
void foreign_release(struct instance *i);

#endif
