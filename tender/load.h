/* SPDX-License-Identifier: MIT
 *
 * Puts an image into a fresh memory file as a kernel's execve would: segments, and the initial stack of the System V
 * x86-64 ABI (argc, argv, envp, auxiliary vector).
 */
#ifndef TENDER_LOAD_H
#define TENDER_LOAD_H

#include "tender/image.h"
#include "tender/snapshot.h"

/* Reads and validates `image_fd`, sizes `memory_fd` (an empty file) and fills it. `snapshot` is initialised with what
 * describes the image. ERR_INVALID: the image is bad. */
int load_image(int image_fd, int memory_fd, enum ppce_backend backend, struct image *image, struct snapshot *snapshot,
	       uint64_t *stack_pointer, struct err *err);

#endif
