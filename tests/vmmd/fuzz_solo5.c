/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: whatever bytes stand in a file, solo5_decode() refuses them or names a device that can stand on a command
 * line and an amount of memory that a guest may have.
 */
#include <stdint.h>
#include <stdlib.h>

#include "vmmd/solo5.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct solo5_image image;
	struct err err;

	bool likely = solo5_likely(data, size);
	if (solo5_decode(data, size, &image, &err) < 0)
		return 0;
	if (!likely || !solo5_device_valid(image.device) || !image.memory_mib || image.memory_mib > 1024)
		abort();
	return 0;
}
