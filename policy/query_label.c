/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "policy/queries.h"

#define TEMPLATE_PARTS_MAX 64

static int add_part(struct query_template *t, struct query_part part, const char *text, size_t len, struct err *err)
{
	if (t->n == TEMPLATE_PARTS_MAX)
		return err_set(err, ERR_INVALID, "more than %d parts", TEMPLATE_PARTS_MAX);
	part.text = text ? strndup(text, len) : NULL;
	if (text && !part.text)
		return err_set(err, ERR_INTERNAL, "out of memory");
	t->part[t->n++] = part;
	return 0;
}

static size_t column_length(const char *at)
{
	size_t len = 0;
	while (isalnum((unsigned char)at[len]) || at[len] == '_')
		len++;
	return len;
}

static int read_part(struct query_template *t, const struct query *q, const char **at, struct err *err)
{
	struct query_ref ref;
	size_t len;
	if (**at == '@') {
		len = column_length(*at + 1);
		if (!len || len >= QUERY_COLUMN_SIZE)
			return err_set(err, ERR_INVALID, "after @ stands the name of a column");
		if (q->write)
			return err_set(err, ERR_INVALID, "@%.*s: only what is read has columns", (int)len, *at + 1);
		t->per_row = true;
		if (add_part(t, (struct query_part){ .kind = REF_COLUMN }, *at + 1, len, err) < 0)
			return -1;
		*at += 1 + len;
		return 0;
	}
	if (**at == '$') {
		len = query_ref_parse(*at, &ref, err);
		if (!len)
			return -1;
		*at += len;
		if (ref.kind == REF_LABEL)
			return err_set(err, ERR_INVALID, "$label is what the template makes; it cannot stand in it");
		if (ref.kind == REF_PARAM && (ref.param >= q->nparams || q->params[ref.param] != DATA_TEXT))
			return err_set(err, ERR_INVALID, "$%u is not a parameter of type text", ref.param + 1);
		return add_part(t, (struct query_part){ .kind = ref.kind, .param = ref.param }, NULL, 0, err);
	}
	len = strcspn(*at, "@$");
	if (add_part(t, (struct query_part){ .kind = REF_TEXT }, *at, len, err) < 0)
		return -1;
	*at += len;
	return 0;
}

int query_template_parse(const char *text, const struct query *q, struct query_template *out, struct err *err)
{
	*out = (struct query_template){ .part = calloc(TEMPLATE_PARTS_MAX, sizeof(struct query_part)) };
	if (!out->part)
		return err_set(err, ERR_INTERNAL, "out of memory");
	while (*text) {
		if (read_part(out, q, &text, err) < 0) {
			query_template_free(out);
			return -1;
		}
	}
	return 0;
}

void query_template_free(struct query_template *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->part[i].text);
	free(t->part);
	*t = (struct query_template){ 0 };
}

static const char *part_value(const struct query_part *part, const struct query_values *v)
{
	switch (part->kind) {
	case REF_TEXT:
		return part->text;
	case REF_USER:
		return v->user;
	case REF_CLASS:
		return v->class_name;
	case REF_SESSION:
		return v->session;
	case REF_PURPOSE:
		return v->purpose;
	case REF_PARAM:
		return v->params ? v->params[part->param] : NULL;
	case REF_COLUMN:
		return v->column ? v->column(v->ctx, part->text) : NULL;
	case REF_LABEL:
		break;
	}
	return NULL;
}

/* Is the member of `len` bytes at `at` also one of those from `list` on? */
static bool is_repeated(const char *list, const char *at, size_t len)
{
	for (const char *m = list; m < at; m += strcspn(m, ",") + 1)
		if (strcspn(m, ",}") == len && !memcmp(m, at, len))
			return true;
	return false;
}

/* Two references of one set may name the same owner: a set has them once, and label_parse() insists on that. */
static void drop_repeated(char *text)
{
	char *to = text, *list = NULL;
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ",{}");
		memmove(to, at, len);
		at += len;
		if (list && len && is_repeated(list, to, len))
			to--; /* and the comma before it */
		else
			to += len;
		if (!*at)
			break;
		if (*at == '{')
			list = to + 1;
		else if (*at == '}')
			list = NULL;
		*to++ = *at++;
	}
	*to = '\0';
}

int query_template_text(const struct query_template *t, const struct query_values *v, char *out, size_t size,
			struct err *err)
{
	bool whole = t->n == 1 && t->part[0].kind == REF_COLUMN; /* the column holds a label, not a word of one */
	size_t len = 0;
	for (size_t i = 0; i < t->n; i++) {
		const char *value = part_value(&t->part[i], v);
		if (!value || (t->part[i].kind != REF_TEXT && !whole && !user_valid(value)))
			return err_set(err, ERR_INVALID, "part %zu of the label has no value or not one word", i + 1);
		size_t n = strlen(value);
		if (n >= size - len)
			return err_set(err, ERR_INVALID, "the label does not fit");
		memcpy(out + len, value, n);
		len += n;
	}
	out[len] = '\0';
	if (!whole)
		drop_repeated(out);
	return 0;
}
