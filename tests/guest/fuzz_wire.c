/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: both decoders of ppce/wire.h, and the request view on top. */
#include <stdlib.h>
#include <string.h>

#include "tests/guest/wire_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* aligned, and exactly as long: the sanitizer guards its end */

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	use_request(copy, size);
	use_response(copy, size);
	free(copy);
	return 0;
}
