// SPDX-License-Identifier: MIT
//
// Any bytes as a guest's call: what is accepted is encoded again and has to be the same bytes.
#include <stdlib.h>

#include "calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call_view v;
	char *again;
	if (call_decode(data, size, &v) < 0)
		return 0;
	again = malloc(size + 64);
	if (!again)
		abort();
	size_t len = call_encode(again, v.name, v.value, v.count);
	/* The numbers of a NULL, a text or a blob are not looked at, so only the length must agree where there are any. */
	if (len != size || (!v.count && memcmp(again, data, size) != 0))
		abort();
	free(again);
	return 0;
}
