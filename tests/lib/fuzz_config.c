/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "lib/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c;
	struct err err;
	config_parse("fuzz", (const char *)data, size, &c, &err);
	return 0;
}
