/* SPDX-License-Identifier: MIT
 *
 * The bytes of a guest's call (ppce/store.h), decoded. Pure. The view points into the bytes and lives as long as they. */
#ifndef STORE_DECODE_H
#define STORE_DECODE_H

#include <stddef.h>

#include <ppce/store.h>

struct call_value {
	enum data_type type;
	int64_t integer;
	double real;
	const char *bytes; /* DATA_TEXT (followed by a NUL, and without one inside) and DATA_BLOB */
	size_t len;
};

struct call_view {
	const char *name;
	size_t count;
	struct call_value value[PPCE_VALUES_MAX];
};

/* Untrusted bytes, of any alignment. 0, or -1 if they are not exactly one well-formed call. */
int call_decode(const void *bytes, size_t len, struct call_view *out);

#endif
