/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "lib/rest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	json_t *value = json_decode((const char *)data, size, &err);
	json_decref(value);
	return 0;
}
