/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: whatever bytes stand in an image file, image_decode() refuses them or describes memory that is in bounds.
 */
#include <stdint.h>
#include <stdlib.h>

#include <ppce/abi.h>
#include "tender/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image;
	struct err err;

	if (image_decode(data, size, &image, &err) < 0)
		return 0;
	if ((image.manifest.queries[0] != '\0') != (image.manifest.data_kib != 0) || image.manifest.data_kib > 16384)
		abort();
	uint64_t end = PPCE_IMAGE_BASE, limit = PPCE_IMAGE_BASE + ((uint64_t)image.manifest.memory_mib << 20);
	for (unsigned i = 0; i < image.nsegments; i++) {
		const struct image_segment *s = &image.segments[i];
		if (s->address < end || s->address + s->memory_size > limit || s->file_offset + s->file_size > size)
			abort();
		end = s->address + s->memory_size;
	}
	return 0;
}
