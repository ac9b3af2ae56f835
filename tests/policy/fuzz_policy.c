/* SPDX-License-Identifier: MIT
 *
 * Any file: refused, or accepted with a top that can be written and read back. */
#include <stdint.h>
#include <stdlib.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	struct label top, again;
	char text[PPCE_LABEL_SIZE];
	struct policy *p = policy_parse("fuzz", (const char *)data, size, &err);
	if (!p)
		return 0;
	label_top(p, &top);
	if (label_format(p, &top, text, &err) < 0 || label_parse(p, text, &again, &err) < 0 ||
	    !label_equal(p, &top, &again))
		abort();
	policy_free(p);
	return 0;
}
