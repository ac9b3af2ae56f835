/* SPDX-License-Identifier: MIT
 *
 * Any text: refused, or accepted with a canonical form that gives the same label. */
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
	char canonical[PPCE_LABEL_SIZE];
	if (!p)
		p = policy_parse("example", policy_example(), strlen(policy_example()), &err);
	char *text = malloc(size + 1);
	if (!p || !text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (label_parse(p, text, &l, &err) == 0 &&
	    (label_format(p, &l, canonical, &err) < 0 || label_parse(p, canonical, &again, &err) < 0 ||
	     !label_equal(p, &l, &again)))
		abort();
	free(text);
	return 0;
}
