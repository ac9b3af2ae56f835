/* SPDX-License-Identifier: MIT
 *
 * Reads a Solo5 image for target hvt: a static x86-64 ELF executable with two notes of owner "Solo5", each the first of a
 * PT_NOTE segment of its own: ABI1 (which target it is for) and MFT1 (the application manifest: which devices it wants).
 * Pure: bytes in, a checked description out. Every byte of the file is untrusted; the program that runs it checks again.
 * The formats are those of Solo5's include/elf_abi.h, include/mft_abi.h and tenders/common.
 */
#ifndef VMMD_SOLO5_H
#define VMMD_SOLO5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define SOLO5_DEVICE_SIZE 68 /* name of a device with its NUL: letters and digits */

struct solo5_image {
	char device[SOLO5_DEVICE_SIZE]; /* its one network device */
	uint32_t memory_mib;		/* what its segments need at least */
};

/* `bytes` need not be aligned. ERR_INVALID says what is wrong with the file. */
int solo5_decode(const uint8_t *bytes, size_t len, struct solo5_image *out, struct err *err);
/* Is it an ELF file with a Solo5 note, whatever else is wrong with it? */
bool solo5_likely(const uint8_t *bytes, size_t len);
bool solo5_device_valid(const char *name);

#endif
