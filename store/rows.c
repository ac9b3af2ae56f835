/* SPDX-License-Identifier: MIT */
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 20000u
/* Where automata decide, rows are only counted after them; until then so many may wait. */
#define RAW_ROWS_MAX 1000000u
#define RAW_BYTES_MAX (64u << 20)
#define GROUP_NONE UINT32_MAX

void rows_init(struct rows *r, const struct rows_rules *rules)
{
	*r = (struct rows){ .rules = *rules, .head = { .cap = PPCE_DATA_BYTES_MAX } };
	r->body.cap = rules->query->use.set ? RAW_BYTES_MAX : rules->bytes;
}

void rows_free(struct rows *r)
{
	for (size_t i = 0; i < r->ngroups; i++)
		free(r->group[i].key);
	free(r->group);
	free(r->table);
	free(r->row);
	free(r->names);
	buf_free(&r->head);
	buf_free(&r->body);
}

static void put_padding(struct buf *b, size_t len)
{
	static const char zeros[8];
	buf_append(b, zeros, data_padded(len) - len);
}

static void put_value(struct buf *b, const struct call_value *v)
{
	struct data_value head = { .type = v->type };
	if (v->type == DATA_INT)
		head.integer = v->integer;
	else if (v->type == DATA_REAL)
		head.real = v->real;
	else if (v->type != DATA_NULL)
		head.len = (uint32_t)v->len;
	buf_append(b, &head, sizeof head);
	if (v->type != DATA_TEXT && v->type != DATA_BLOB)
		return;
	if (v->len)
		buf_append(b, v->bytes, v->len);
	if (v->type == DATA_TEXT)
		buf_append(b, "", 1);
	put_padding(b, v->len + (v->type == DATA_TEXT));
}

int rows_begin(struct rows *r, size_t columns, const char *const *names)
{
	struct buf all = { .cap = 1u << 20 };
	if (columns > PPCE_VALUES_MAX) {
		r->too_large = true;
		return -1;
	}
	r->columns = (uint32_t)columns;
	for (size_t i = 0; i < columns; i++) {
		buf_append(&all, names[i], strlen(names[i]) + 1);
		put_value(&r->head,
			  &(struct call_value){ .type = DATA_TEXT, .bytes = names[i], .len = strlen(names[i]) });
	}
	r->failed = all.failed || r->head.failed;
	r->names = all.data; /* .data is NULL only without columns */
	return r->failed ? -1 : 0;
}

/* ---- Groups ---- */

struct column_text {
	const struct rows *r;
	char number[24];
};

static const char *column_text(void *ctx, const char *name)
{
	struct column_text *c = ctx;
	const char *at = c->r->names;
	for (uint32_t i = 0; i < c->r->columns; i++, at += strlen(at) + 1) {
		const struct call_value *v = &c->r->current[i];
		if (strcmp(at, name) != 0)
			continue;
		if (v->type == DATA_INT) {
			snprintf(c->number, sizeof c->number, "%lld", (long long)v->integer);
			return c->number;
		}
		return v->type == DATA_TEXT ? v->bytes : NULL; /* a text has no NUL inside: see rows_add() */
	}
	return NULL;
}

static size_t hash_key(const char *key)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32);
}

static uint32_t *find_place(const struct rows *r, const char *key)
{
	size_t i = hash_key(key) & (r->table_size - 1);
	while (r->table[i] && strcmp(r->group[r->table[i] - 1].key, key) != 0)
		i = (i + 1) & (r->table_size - 1);
	return &r->table[i];
}

static int grow_groups(struct rows *r)
{
	size_t size = r->groups_size ? 2 * r->groups_size : 16;
	struct row_group *group = realloc(r->group, size * sizeof *group);
	if (group)
		r->group = group;
	uint32_t *table = calloc(4 * size, sizeof *table);
	if (!group || !table) {
		free(table);
		return -1;
	}
	free(r->table);
	r->table = table;
	r->table_size = 4 * size;
	r->groups_size = size;
	for (size_t i = 0; i < r->ngroups; i++)
		*find_place(r, r->group[i].key) = (uint32_t)i + 1;
	return 0;
}

/* Only groups that the instance may have are kept: what is hidden must not fill the table. */
static uint32_t add_group(struct rows *r, const char *key, const struct row_group *g)
{
	if (r->ngroups == GROUPS_MAX) {
		r->too_large = true;
		return GROUP_NONE;
	}
	if (r->ngroups == r->groups_size && grow_groups(r) < 0) {
		r->failed = true;
		return GROUP_NONE;
	}
	r->group[r->ngroups] = *g;
	r->group[r->ngroups].key = strdup(key);
	if (!r->group[r->ngroups].key) {
		r->failed = true;
		return GROUP_NONE;
	}
	*find_place(r, key) = (uint32_t)r->ngroups + 1;
	return (uint32_t)r->ngroups++;
}

/* The row's label and owner as text, the owner behind a newline, which neither can hold. */
static int make_key(struct rows *r, char *key, size_t size)
{
	struct column_text c = { .r = r };
	const struct query *q = r->rules.query;
	size_t len = 0;
	r->rules.values.column = column_text;
	r->rules.values.ctx = &c;
	if (q->label.per_row) {
		if (query_template_text(&q->label, &r->rules.values, key, size - PPCE_USER_SIZE - 2, NULL) < 0)
			return -1;
		len = strlen(key);
	}
	key[len++] = '\n';
	key[len] = '\0';
	if (q->use.set && (query_template_text(&q->use.owner, &r->rules.values, key + len, PPCE_USER_SIZE, NULL) < 0 ||
			   !label_owner_valid(key + len)))
		return -1;
	return 0;
}

static bool may_read(const struct rows_rules *rules, const struct label *data)
{
	struct label after;
	return flow_read(rules->policy, rules->mode, &rules->instance, &rules->ceiling, data, &after).allowed ||
	       (rules->permit && permit_allows(rules->policy, rules->permit, data));
}

/* GROUP_NONE: the row is not for this instance (or .too_large, .failed). */
static uint32_t judge(struct rows *r)
{
	char key[PPCE_LABEL_SIZE + PPCE_USER_SIZE + 2];
	struct row_group g = { .label = r->rules.label };
	if (make_key(r, key, sizeof key) < 0) {
		r->unlabelled++;
		return GROUP_NONE;
	}
	uint32_t at = r->table ? *find_place(r, key) : 0;
	if (at)
		return at - 1;
	char *owner = strchr(key, '\n');
	strcpy(g.owner, owner + 1);
	*owner = '\0';
	if (r->rules.query->label.per_row && label_parse(r->rules.policy, key, &g.label, NULL) < 0) {
		r->unlabelled++;
		return GROUP_NONE;
	}
	*owner = '\n';
	if (!may_read(&r->rules, &g.label))
		return GROUP_NONE;
	return add_group(r, key, &g);
}

static int grow_rows(struct rows *r)
{
	size_t size = r->rows_size ? 2 * r->rows_size : 64;
	struct row_entry *row = realloc(r->row, size * sizeof *row);
	if (!row) {
		r->failed = true;
		return -1;
	}
	r->row = row;
	r->rows_size = size;
	return 0;
}

int rows_add(struct rows *r, const struct call_value *values)
{
	size_t max = r->rules.query->use.set ? RAW_ROWS_MAX : r->rules.query->rows;
	r->current = values;
	uint32_t group = judge(r);
	if (r->too_large || r->failed)
		return -1;
	if (group == GROUP_NONE) {
		r->hidden++;
		return 0;
	}
	if (r->nrows == max) {
		r->too_large = true;
		return -1;
	}
	if (r->nrows == r->rows_size && grow_rows(r) < 0)
		return -1;
	for (uint32_t i = 0; i < r->columns; i++)
		put_value(&r->body, &values[i]);
	if (r->body.failed) {
		r->too_large = true;
		return -1;
	}
	r->row[r->nrows++] = (struct row_entry){ r->body.len, group };
	return 0;
}

/* ---- Answer ---- */

size_t rows_left(const struct rows *r, struct label *join)
{
	size_t left = 0;
	label_bottom(r->rules.policy, join);
	for (size_t i = 0; i < r->ngroups; i++)
		if (!r->group[i].denied)
			label_join(r->rules.policy, join, &r->group[i].label, join);
	for (size_t i = 0; i < r->nrows; i++)
		left += !r->group[r->row[i].group].denied;
	return left;
}

void rows_label(const struct rows *r, struct label *out)
{
	const struct rows_rules *rules = &r->rules;
	struct label bound;
	if (!rules->query->label.per_row) {
		*out = rules->label;
		return;
	}
	rows_left(r, out);
	if (rules->mode != FLOW_FLOAT || rules->permit)
		return;
	query_template_bound(&rules->query->label, rules->policy, &rules->values, &rules->ceiling, &bound);
	label_join(rules->policy, out, &bound, out);
}

int rows_encode(const struct rows *r, struct buf *out)
{
	struct label join;
	struct data_rows head = { r->columns, (uint32_t)rows_left(r, &join) };
	if (head.rows > r->rules.query->rows)
		return -1;
	buf_append(out, &head, sizeof head);
	if (r->head.len)
		buf_append(out, r->head.data, r->head.len);
	for (size_t i = 0; i < r->nrows; i++) {
		size_t from = i ? r->row[i - 1].end : 0;
		if (!r->group[r->row[i].group].denied && r->row[i].end > from)
			buf_append(out, r->body.data + from, r->row[i].end - from);
	}
	return out->failed || out->len > r->rules.bytes ? -1 : 0;
}

int rows_encode_count(uint32_t changed, struct buf *out)
{
	struct data_rows head = { 0, changed };
	return buf_append(out, &head, sizeof head);
}
