/* SPDX-License-Identifier: MIT
 *
 * Any bytes: refused, or decoded to a label whose encoding they are and whose text gives it again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy *p;
	struct err err;
	struct label l, again;
	uint8_t bytes[LABEL_ENCODED_MAX];
	char text[PPCE_LABEL_SIZE];
	if (!p)
		p = policy_parse("example", policy_example(), strlen(policy_example()), &err);
	if (!p)
		abort();
	if (label_decode(p, data, size, &l, &err) < 0)
		return 0;
	if (label_encode(p, &l, bytes) != size || memcmp(bytes, data, size) != 0)
		abort();
	if (label_format(p, &l, text, &err) < 0 || label_parse(p, text, &again, &err) < 0 ||
	    !label_equal(p, &l, &again))
		abort();
	return 0;
}
