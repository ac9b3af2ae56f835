/* SPDX-License-Identifier: MIT
 *
 * Builds encoded answers for tests, as a guest would. */
#ifndef TESTS_PROXY_ANSWER_H
#define TESTS_PROXY_ANSWER_H

#include <ppce/wire.h>

struct answer {
	_Alignas(8) char bytes[65536];
	uint32_t len;
};

static inline struct wire_ref answer_put(struct answer *a, const void *data, uint32_t len)
{
	struct wire_ref ref = { a->len, len };
	memcpy(a->bytes + a->len, data, len);
	a->bytes[a->len + len] = '\0';
	a->len += len + 1;
	return ref;
}

/* nfields pairs of name and value in `fields`. */
static inline void answer_make(struct answer *a, uint32_t status, const char *const *fields, uint32_t nfields,
			       const void *body, uint32_t body_len)
{
	struct wire_response head = { .version = WIRE_VERSION, .fields = nfields, .status = status };
	a->len = (uint32_t)(sizeof head + nfields * sizeof(struct wire_field));
	for (uint32_t i = 0; i < nfields; i++) {
		struct wire_field f = { .name = answer_put(a, fields[2 * i], (uint32_t)strlen(fields[2 * i])) };
		f.value = answer_put(a, fields[2 * i + 1], (uint32_t)strlen(fields[2 * i + 1]));
		memcpy(a->bytes + sizeof head + i * sizeof f, &f, sizeof f);
	}
	head.body = answer_put(a, body, body_len);
	memcpy(a->bytes, &head, sizeof head);
}

#endif
