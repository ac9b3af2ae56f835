/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the decoders of ppce/data.h and the rows on top. The first byte picks one. */
#include <stdlib.h>
#include <string.h>

#include "tests/guest/data_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* aligned, and exactly as long: the sanitizer guards its end */

	if (!copy || !size) {
		free(copy);
		return 0;
	}
	memcpy(copy, data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		(void)use_rows(copy, size - 1);
		break;
	case 1:
		(void)use_call(copy, size - 1);
		break;
	default:
		(void)use_release(copy, size - 1);
	}
	free(copy);
	return 0;
}
