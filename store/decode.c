/* SPDX-License-Identifier: MIT */
#include "store/decode.h"

#include <string.h>

struct reader {
	const char *at;
	size_t left;
};

/* `len` bytes and the zeros that pad them; NULL if they are not there. Lengths are below 2^32: no sum can wrap. */
static const char *take(struct reader *r, size_t len)
{
	const char *at = r->at;
	if (data_padded(len) > r->left)
		return NULL;
	for (size_t i = len; i < data_padded(len); i++)
		if (at[i])
			return NULL;
	r->at += data_padded(len);
	r->left -= data_padded(len);
	return at;
}

/* A text of `len` bytes: no NUL inside, one behind it. */
static const char *take_text(struct reader *r, size_t len)
{
	const char *at = take(r, len + 1);
	return at && strnlen(at, len + 1) == len ? at : NULL;
}

static int take_value(struct reader *r, struct call_value *out)
{
	struct data_value v;
	const char *at = take(r, sizeof v);
	if (!at)
		return -1;
	memcpy(&v, at, sizeof v);
	*out = (struct call_value){ .type = (enum data_type)v.type };
	if (v.type > DATA_BLOB || (v.type < DATA_TEXT && v.len))
		return -1;
	if (v.type == DATA_INT)
		out->integer = v.integer;
	if (v.type == DATA_REAL)
		out->real = v.real;
	if (v.type < DATA_TEXT)
		return 0;
	out->len = v.len;
	out->bytes = v.type == DATA_TEXT ? take_text(r, v.len) : take(r, v.len);
	return out->bytes ? 0 : -1;
}

int call_decode(const void *bytes, size_t len, struct call_view *out)
{
	struct reader r = { bytes, len };
	struct data_call head;
	const char *at = take(&r, sizeof head);
	if (!at)
		return -1;
	memcpy(&head, at, sizeof head);
	if (head.name_len < 1 || head.name_len >= PPCE_NAME_SIZE || head.count > PPCE_VALUES_MAX)
		return -1;
	out->name = take_text(&r, head.name_len);
	out->count = head.count;
	if (!out->name)
		return -1;
	for (size_t i = 0; i < out->count; i++)
		if (take_value(&r, &out->value[i]) < 0)
			return -1;
	return r.left ? -1 : 0;
}
