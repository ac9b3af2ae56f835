/* SPDX-License-Identifier: MIT
 *
 * Whatever bytes an instance answers: the check never reads outside, and what it lets pass can be sent as HTTP.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct response r;
	struct err err;
	char *copy = malloc(size ? size : 1); /* exactly as large, aligned */
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (response_decode(copy, size, &r, &err) == 0) {
		size_t bytes = 0;
		for (unsigned i = 0; i < r.nfields; i++) {
			if (!http_field_valid(&r.fields[i]) || http_field_hop_by_hop(r.fields[i].name))
				abort();
			bytes += strlen(r.fields[i].name) + strlen(r.fields[i].value);
		}
		if (bytes > RESPONSE_HEADER_BYTES || r.status < 200 || r.status > 599 || r.body_len > size)
			abort();
	}
	free(copy);
	return 0;
}
