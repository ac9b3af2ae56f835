/* SPDX-License-Identifier: MIT
 *
 * Makes the bytes of a guest's call. */
#ifndef TESTS_STORE_CALLS_H
#define TESTS_STORE_CALLS_H

#include <string.h>

#include <ppce/store.h>
#include "store/decode.h"

static inline size_t put(char *out, size_t at, const void *data, size_t len, size_t padded)
{
	memset(out + at, 0, data_padded(padded));
	memcpy(out + at, data, len);
	return at + data_padded(padded);
}

static inline size_t call_encode(char *out, const char *name, const struct call_value *values, size_t n)
{
	struct data_call head = { (uint32_t)strlen(name), (uint32_t)n };
	size_t at = put(out, 0, &head, sizeof head, sizeof head);
	at = put(out, at, name, strlen(name), strlen(name) + 1);
	for (size_t i = 0; i < n; i++) {
		const struct call_value *v = &values[i];
		struct data_value value = { .type = v->type, .len = (uint32_t)v->len };
		if (v->type == DATA_INT)
			value.integer = v->integer;
		if (v->type == DATA_REAL)
			value.real = v->real;
		at = put(out, at, &value, sizeof value, sizeof value);
		if (v->type == DATA_TEXT || v->type == DATA_BLOB)
			at = put(out, at, v->bytes, v->len, v->len + (v->type == DATA_TEXT));
	}
	return at;
}

#endif
