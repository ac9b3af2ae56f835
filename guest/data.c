/* SPDX-License-Identifier: MIT
 *
 * Labelled data as the app sees it: calls to the store and their answers, both in the data buffer. The answer is checked
 * in full before the app sees any of it. */
#include "guest/app.h"
#include "guest/os.h"

#include <ppce/data.h>
#include <stdarg.h>
#include <string.h>

_Static_assert((int)PPCE_NULL == DATA_NULL && (int)PPCE_INTEGER == DATA_INT && (int)PPCE_REAL == DATA_REAL &&
		       (int)PPCE_TEXT == DATA_TEXT && (int)PPCE_BLOB == DATA_BLOB,
	       "one numbering of types");
_Static_assert((int)PPCE_DENIED == -STORE_DENIED && (int)PPCE_UNKNOWN == -STORE_UNKNOWN &&
		       (int)PPCE_INVALID == -STORE_INVALID && (int)PPCE_TOO_LARGE == -STORE_TOO_LARGE &&
		       (int)PPCE_DEADLINE == -STORE_DEADLINE && (int)PPCE_UNAVAILABLE == -STORE_UNAVAILABLE &&
		       (int)PPCE_NO_STORE == -STORE_NONE && (int)PPCE_CONFLICT == -STORE_CONFLICT,
	       "one numbering of errors");

static const struct ppce_value nothing = { .type = PPCE_NULL };

struct ppce_value ppce_int(int64_t value)
{
	return (struct ppce_value){ .type = PPCE_INTEGER, .integer = value };
}

struct ppce_value ppce_real(double value)
{
	return (struct ppce_value){ .type = PPCE_REAL, .real = value };
}

struct ppce_value ppce_text(const char *value)
{
	return value ? (struct ppce_value){ .type = PPCE_TEXT, .bytes = value, .len = strlen(value) } : nothing;
}

struct ppce_value ppce_blob(const void *bytes, size_t len)
{
	return (struct ppce_value){ .type = PPCE_BLOB, .bytes = bytes, .len = len };
}

const char *ppce_error_text(int error)
{
	static const char *const texts[] = {
		"no error",
		"denied",
		"no such query",
		"parameters that are not valid",
		"too large",
		"took too long",
		"the store is not available",
		"there is no store here",
		"conflicts with other data",
	};
	int n = error > 0 || error < PPCE_CONFLICT ? -1 : -error;
	return n < 0 ? "unknown error" : texts[n];
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static int put_value(struct data_writer *w, const struct ppce_value *value)
{
	struct data_value v = { .type = (uint32_t)value->type };

	if (value->type > PPCE_BLOB || value->len > PPCE_DATA_BYTES_MAX)
		return value->type > PPCE_BLOB ? PPCE_INVALID : PPCE_TOO_LARGE;
	if (value->type == PPCE_INTEGER)
		v.integer = value->integer;
	else if (value->type == PPCE_REAL)
		v.real = value->real;
	else if (value->type != PPCE_NULL)
		v.len = (uint32_t)value->len;
	data_put_value(w, &v, value->bytes);
	return w->full ? PPCE_TOO_LARGE : 0;
}

/* Encodes a call into the data buffer: its length, or an enum ppce_data_error. */
static int64_t encode(const char *name, unsigned n, va_list values)
{
	if (!los_io || !los_io->data_max)
		return PPCE_NO_STORE;
	struct data_writer w = { .out = (uint8_t *)los_io->data_at, .size = (size_t)los_io->data_max };
	if (!name[0] || strlen(name) >= PPCE_NAME_SIZE)
		return PPCE_UNKNOWN;
	if (n > PPCE_VALUES_MAX)
		return PPCE_INVALID;
	data_put_call(&w, name, n);
	for (unsigned i = 0; i < n; i++) {
		struct ppce_value value = va_arg(values, struct ppce_value);
		int r = put_value(&w, &value);
		if (r < 0)
			return r;
	}
	return w.full ? PPCE_TOO_LARGE : (int64_t)w.at;
}

static int64_t malformed(void)
{
	ppce_log(PPCE_ERROR, "the store gave an answer that cannot be decoded");
	return PPCE_UNAVAILABLE;
}

/* The call's answer stands in the data buffer: its length, or an enum ppce_data_error. */
static int64_t call_store(enum store_verb verb, const char *name, unsigned n, va_list values)
{
	int64_t len = encode(name, n, values);

	if (len < 0)
		return len;
	len = los_call(PPCE_CALL_STORE, verb, (uint64_t)len);
	if (len > (int64_t)los_io->data_max)
		return malformed();
	return len < PPCE_CONFLICT ? PPCE_UNAVAILABLE : len;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static bool take_value(struct data_reader *r, struct ppce_value *out)
{
	struct data_value v;
	const uint8_t *bytes;

	if (!data_take_value(r, &v, &bytes))
		return false;
	*out = (struct ppce_value){ .type = (enum ppce_type)v.type, .bytes = bytes, .len = v.len };
	if (v.type == DATA_INT)
		out->integer = v.integer;
	if (v.type == DATA_REAL)
		out->real = v.real;
	return true;
}

static bool take_names(struct data_reader *r, struct ppce_rows *rows)
{
	struct ppce_value name;

	for (unsigned i = 0; i < rows->columns; i++) {
		if (!take_value(r, &name) || name.type != PPCE_TEXT)
			return false;
		rows->names[i] = name.bytes;
	}
	return true;
}

/* Are all values there, and nothing after them? */
static bool values_valid(const struct ppce_rows *rows)
{
	struct data_reader r = { rows->at, rows->end };
	struct ppce_value value;

	for (unsigned i = 0; rows->columns && i < rows->rows; i++)
		for (unsigned k = 0; k < rows->columns; k++)
			if (!take_value(&r, &value))
				return false;
	return r.at == r.end;
}

bool app_rows_open(struct ppce_rows *rows, const void *bytes, size_t len)
{
	struct data_reader r = { bytes, (const uint8_t *)bytes + len };
	struct data_rows head;

	memset(rows, 0, sizeof *rows);
	if (!data_take_rows(&r, &head))
		return false;
	rows->columns = head.columns;
	rows->rows = head.rows;
	if (take_names(&r, rows)) {
		rows->at = r.at;
		rows->end = r.end;
		if (values_valid(rows))
			return true;
	}
	memset(rows, 0, sizeof *rows);
	return false;
}

int ppce_query(struct ppce_rows *rows, const char *name, unsigned n, ...)
{
	va_list values;

	memset(rows, 0, sizeof *rows);
	va_start(values, n);
	int64_t len = call_store(STORE_QUERY, name, n, values);
	va_end(values);
	if (len < 0)
		return (int)len;
	if (!app_rows_open(rows, (const void *)los_io->data_at, (size_t)len))
		return (int)malformed();
	return 0;
}

bool ppce_next(struct ppce_rows *rows)
{
	struct data_reader r = { rows->at, rows->end };

	if (rows->row >= rows->rows)
		return false;
	for (unsigned i = 0; i < rows->columns; i++)
		if (!take_value(&r, &rows->value[i])) /* the app wrote into the buffer */
			return false;
	rows->at = r.at;
	rows->row++;
	return true;
}

const struct ppce_value *ppce_column(const struct ppce_rows *rows, const char *name)
{
	for (unsigned i = 0; i < rows->columns; i++)
		if (strcmp(rows->names[i], name) == 0)
			return &rows->value[i];
	return &nothing;
}

const char *ppce_column_text(const struct ppce_rows *rows, const char *name)
{
	const struct ppce_value *v = ppce_column(rows, name);
	return v->type == PPCE_TEXT ? v->bytes : "";
}

double ppce_column_real(const struct ppce_rows *rows, const char *name)
{
	const struct ppce_value *v = ppce_column(rows, name);
	return v->type == PPCE_REAL ? v->real : v->type == PPCE_INTEGER ? (double)v->integer : 0;
}

int64_t ppce_column_int(const struct ppce_rows *rows, const char *name)
{
	const struct ppce_value *v = ppce_column(rows, name);
	return v->type == PPCE_INTEGER ? v->integer : 0;
}

/* --- the others --------------------------------------------------------------------------------------------------- */

int64_t ppce_write(const char *name, unsigned n, ...)
{
	struct ppce_rows rows;
	va_list values;

	va_start(values, n);
	int64_t len = call_store(STORE_WRITE, name, n, values);
	va_end(values);
	if (len < 0)
		return len;
	if (!app_rows_open(&rows, (const void *)los_io->data_at, (size_t)len) || rows.columns)
		return malformed();
	return rows.rows;
}

static int64_t call_declassify(const char *name, unsigned n, ...)
{
	va_list values;

	va_start(values, n);
	int64_t len = call_store(STORE_DECLASSIFY, name, n, values);
	va_end(values);
	return len;
}

int ppce_declassify(struct ppce_response *res, const char *certificate, const char *json)
{
	if (!json)
		return PPCE_INVALID;
	int64_t len = call_declassify(certificate, 1, ppce_text(json));
	if (len < 0)
		return (int)len;
	const uint8_t *bytes = (const uint8_t *)los_io->data_at, *value;
	struct data_reader r = { bytes, bytes + len };
	struct release release;
	if (!data_take_release(&r, &release, &value))
		return (int)malformed();
	return app_response_release(res, bytes, sizeof release + release.length) < 0 ? PPCE_TOO_LARGE : 0;
}
