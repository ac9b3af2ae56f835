/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: whatever bytes stand in a file, solo5_decode() refuses them or names a device that can stand on a command
 * line and an amount of memory that a guest may have.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/vmmd/solo5_file.h"
#include "vmmd/solo5.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try(const uint8_t *data, size_t size)
{
	struct solo5_image image;
	struct err err;

	bool likely = solo5_likely(data, size);
	if (solo5_decode(data, size, &image, &err) < 0)
		return;
	if (!likely || !solo5_device_valid(image.device) || !image.memory_mib || image.memory_mib > 1024)
		abort();
}

/* The bytes as they are, and as changes to a good file: two for the place, one for the value. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct solo5_file f;

	try(data, size);
	solo5_file_make(&f);
	for (size_t i = 0; i + 3 <= size; i += 3)
		((uint8_t *)&f)[(data[i] | data[i + 1] << 8) % sizeof f] = data[i + 2];
	try((const uint8_t *)&f, sizeof f);
	return 0;
}
