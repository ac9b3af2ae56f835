/* SPDX-License-Identifier: MIT
 *
 * Reads every byte that accepted calls, rows and releases refer to, so that a guard page or a sanitizer sees any lie.
 * Shared by the unit test and the fuzz target. */
#ifndef TESTS_GUEST_DATA_USE_H
#define TESTS_GUEST_DATA_USE_H

#include <stdlib.h>

#include <ppce/data.h>
#include "guest/app.h"

static inline void use_bytes(const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)((const volatile uint8_t *)bytes)[i];
}

static inline void use_value(const struct ppce_value *v)
{
	if (v->type > PPCE_BLOB || (v->type != PPCE_TEXT && v->type != PPCE_BLOB && (v->bytes || v->len)))
		abort();
	use_bytes(v->bytes, v->len + (v->type == PPCE_TEXT));
	if (v->type == PPCE_TEXT && ((const char *)v->bytes)[v->len] != '\0')
		abort();
}

/* Every row that was promised must come, and no more. */
static inline bool use_rows(const void *bytes, size_t size)
{
	struct ppce_rows rows;
	unsigned seen = 0;

	if (!app_rows_open(&rows, bytes, size)) {
		if (rows.columns || rows.rows || ppce_next(&rows))
			abort();
		return false;
	}
	if (rows.columns > PPCE_VALUES_MAX)
		abort();
	for (unsigned i = 0; i < rows.columns; i++)
		use_bytes(rows.names[i], strlen(rows.names[i]) + 1);
	for (; rows.columns && ppce_next(&rows); seen++)
		for (unsigned i = 0; i < rows.columns; i++)
			use_value(&rows.value[i]);
	if (rows.columns && seen != rows.rows)
		abort();
	(void)ppce_column_text(&rows, "a");
	return true;
}

static inline bool use_call(const void *bytes, size_t size)
{
	struct data_reader r = { bytes, (const uint8_t *)bytes + size };
	struct data_call call;
	struct data_value v;
	char name[PPCE_NAME_SIZE];
	const uint8_t *text;

	if (!data_take_call(&r, &call, name))
		return false;
	if (strlen(name) != call.name_len || call.count > PPCE_VALUES_MAX)
		abort();
	for (uint32_t i = 0; i < call.count; i++) {
		if (!data_take_value(&r, &v, &text))
			return false;
		use_bytes(text, text ? (size_t)v.len + (v.type == DATA_TEXT) : 0);
	}
	return r.at == r.end;
}

static inline bool use_release(const void *bytes, size_t size)
{
	struct data_reader r = { bytes, (const uint8_t *)bytes + size };
	struct release release;
	const uint8_t *value;

	if (!data_take_release(&r, &release, &value))
		return false;
	use_bytes(value, release.length);
	if (strlen(release.request_id) >= sizeof release.request_id || strlen(release.label) >= sizeof release.label)
		abort();
	return r.at == r.end;
}

#endif
