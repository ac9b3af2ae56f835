/* SPDX-License-Identifier: MIT
 *
 * One boot of an image in a tender of its own, up to its first wait. The result is the snapshot: a memfd sealed against
 * every change, written before anything of a user was near it.
 */
#ifndef VMMD_BOOT_H
#define VMMD_BOOT_H

#include <stdint.h>

#include <ppce/limits.h>
#include "lib/err.h"
#include "vmmd/solo5.h"

struct vmmd;
struct boot;

struct boot_result {
	int snapshot; /* now the receiver's */
	char name[PPCE_NAME_SIZE];
	char queries[PPCE_QUERIES_SIZE]; /* of the manifest: names joined by commas, checked */
	uint32_t memory_mib, request_kib, response_kib, boot_us;
	char device[SOLO5_DEVICE_SIZE]; /* of a foreign image, which was read and not booted */
	uint32_t network;		/* 0, 1 */
};

/* Exactly one of result and err is non-NULL. */
typedef void boot_done(void *ctx, const struct boot_result *result, const struct err *err);

/* `image_fd`, read-only, stays the caller's and may be closed at once. `name` is for log lines. NULL with err if nothing
 * was started; otherwise `done` is called once, never from within. */
struct boot *boot_start(struct vmmd *v, const char *name, int image_fd, boot_done *done, void *ctx, struct err *err);
void boot_cancel(struct boot *b); /* `done` will not be called */

#endif
