/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a stream of requests (or answers, with FUZZ_ANSWER=1) through the parser. The first byte says how many bytes arrive at a time. However
 * the stream is cut, the outcome must be the same. */
#include <stdlib.h>
#include <string.h>

#include "tests/http/drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct driven *a, const struct driven *b)
{
	if (a->rc != b->rc || (a->rc < 0 && a->err.kind != b->err.kind))
		abort();
	if (a->rc == 1 && (a->used != b->used || strcmp(a->line, b->line) || strcmp(a->fields, b->fields) ||
			   a->body.len != b->body.len ||
			   memcmp(buf_text((struct buf *)&a->body), buf_text((struct buf *)&b->body), a->body.len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	size_t step = data[0] ? data[0] : 1;
	const char *in = (const char *)data + 1;
	for (size_t left = size - 1; left > 0;) {
		struct driven whole = drive(in, left, 0, FUZZ_ANSWER), split = drive(in, left, step, FUZZ_ANSWER);
		check_same(&whole, &split);
		size_t used = whole.rc == 1 ? whole.used : 0;
		drive_free(&whole);
		drive_free(&split);
		if (used == 0 || used > left)
			break;
		in += used;
		left -= used;
	}
	return 0;
}
