/* SPDX-License-Identifier: MIT
 *
 * Writing and reading the bytes that ppce/store.h describes: calls, rows, values. The same code on both sides (static
 * inline, no allocation, no dependency), because both distrust what they read. Positions are 8-aligned offsets from the
 * start of a message, so a message in an 8-aligned buffer has 8-aligned items; nothing here counts on it.
 */
#ifndef PPCE_DATA_H
#define PPCE_DATA_H

#include <stddef.h>

#include <ppce/store.h>

/* --- writing ---------------------------------------------------------------------------------------------------- */

struct data_writer {
	uint8_t *out;
	size_t size, at; /* bytes there is room for, bytes written */
	bool full;	 /* something did not fit: the message is not usable */
};

/* Room for n bytes, padded with zeros to 8; NULL if there is none. */
static inline uint8_t *data_reserve(struct data_writer *w, size_t n)
{
	size_t padded = data_padded(n);
	if (w->full || padded < n || padded > w->size - w->at) {
		w->full = true;
		return NULL;
	}
	uint8_t *to = w->out + w->at;
	if (padded > n)
		memset(to + n, 0, padded - n);
	w->at += padded;
	return to;
}

static inline void data_put_bytes(struct data_writer *w, const void *bytes, size_t len)
{
	uint8_t *to = data_reserve(w, len);
	if (to && len)
		memcpy(to, bytes, len);
}

/* `bytes` has .len bytes for DATA_TEXT (without a NUL: it is added) and DATA_BLOB; it is not looked at for others. */
static inline void data_put_value(struct data_writer *w, const struct data_value *v, const void *bytes)
{
	data_put_bytes(w, v, sizeof *v);
	if (v->type != DATA_TEXT && v->type != DATA_BLOB)
		return;
	uint8_t *to = data_reserve(w, (size_t)v->len + (v->type == DATA_TEXT));
	if (!to)
		return;
	if (v->len)
		memcpy(to, bytes, v->len);
	if (v->type == DATA_TEXT)
		to[v->len] = '\0';
}

/* The head of a call and its name; `count` values are to follow. */
static inline void data_put_call(struct data_writer *w, const char *name, uint32_t count)
{
	size_t len = strlen(name);
	const struct data_call call = { .name_len = (uint32_t)len, .count = count };
	if (len == 0 || len >= PPCE_NAME_SIZE || count > PPCE_VALUES_MAX) {
		w->full = true;
		return;
	}
	data_put_bytes(w, &call, sizeof call);
	data_put_bytes(w, name, len + 1);
}

/* --- reading: every function returns false on bytes that are not there or make no sense --------------------------- */

struct data_reader {
	const uint8_t *at, *end;
};

/* The next n bytes (and their padding, which is not looked at), or NULL. */
static inline const uint8_t *data_take(struct data_reader *r, size_t n)
{
	size_t left = (size_t)(r->end - r->at);
	if (n > left || data_padded(n) > left)
		return NULL;
	const uint8_t *from = r->at;
	r->at += data_padded(n);
	return from;
}

/* *bytes: of a text (followed by a NUL, perhaps with others before it) or blob, within the message; else NULL. */
static inline bool data_take_value(struct data_reader *r, struct data_value *v, const uint8_t **bytes)
{
	const uint8_t *head = data_take(r, sizeof *v);
	*bytes = NULL;
	if (!head)
		return false;
	memcpy(v, head, sizeof *v);
	if (v->type == DATA_NULL || v->type == DATA_INT || v->type == DATA_REAL)
		return v->len == 0;
	if (v->type != DATA_TEXT && v->type != DATA_BLOB)
		return false;
	*bytes = data_take(r, (size_t)v->len + (v->type == DATA_TEXT));
	return *bytes && (v->type == DATA_BLOB || (*bytes)[v->len] == '\0');
}

/* The head of rows: then .columns names and .columns * .rows values follow. */
static inline bool data_take_rows(struct data_reader *r, struct data_rows *rows)
{
	const uint8_t *head = data_take(r, sizeof *rows);
	if (!head)
		return false;
	memcpy(rows, head, sizeof *rows);
	return rows->columns <= PPCE_VALUES_MAX;
}

/* The head of a call and its name, which ends at its first NUL; .count values follow. */
static inline bool data_take_call(struct data_reader *r, struct data_call *call, char name[PPCE_NAME_SIZE])
{
	const uint8_t *head = data_take(r, sizeof *call);
	if (!head)
		return false;
	memcpy(call, head, sizeof *call);
	if (call->name_len == 0 || call->name_len >= PPCE_NAME_SIZE || call->count > PPCE_VALUES_MAX)
		return false;
	const uint8_t *text = data_take(r, (size_t)call->name_len + 1);
	if (!text)
		return false;
	memcpy(name, text, (size_t)call->name_len + 1);
	return memchr(name, '\0', (size_t)call->name_len + 1) == name + call->name_len;
}

/* A whole release: its head, and *value, .length bytes. */
static inline bool data_take_release(struct data_reader *r, struct release *release, const uint8_t **value)
{
	if ((size_t)(r->end - r->at) < sizeof *release)
		return false;
	memcpy(release, r->at, sizeof *release);
	*value = r->at + sizeof *release;
	if (release->magic != RELEASE_MAGIC || release->length > (size_t)(r->end - *value) ||
	    !memchr(release->request_id, 0, sizeof release->request_id) ||
	    !memchr(release->certificate, 0, sizeof release->certificate) ||
	    !memchr(release->label, 0, sizeof release->label))
		return false;
	r->at = *value + release->length;
	return true;
}

#endif
