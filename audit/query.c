// SPDX-License-Identifier: MIT
#include "audit/query.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/audit_files.h"
#include "lib/rest.h"

#define LIMIT 100u /* where none is given */

static const struct {
	const char *key, *member;
	size_t at, size;
} texts[] = {
#define FIELD(name) offsetof(struct query, name), sizeof(((struct query *)0)->name)
	{ "event", "event", FIELD(event) },  { "actor", "actor", FIELD(actor) },
	{ "app", "app", FIELD(app) },	     { "request_id", "request_id", FIELD(request_id) },
	{ "owner", "owners", FIELD(owner) },
};

#define TEXTS (sizeof texts / sizeof *texts)

/* ---- the question ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes text[len]; -1: not valid, holds a NUL, or too long. */
static int unescape(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];
		if (c == '%') {
			int high = i + 2 < len ? hex(text[i + 1]) : -1, low = i + 2 < len ? hex(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -1;
			c = high << 4 | low;
			i += 2;
		}
		if (c == 0 || n + 1 >= size)
			return -1;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

static int number(const char *text, uint64_t max, uint64_t *out)
{
	size_t len = strlen(text);
	if (!len || len > 18 || strspn(text, "0123456789") != len)
		return -1;
	*out = strtoull(text, NULL, 10);
	return *out <= max ? 0 : -1;
}

static int set(struct query *q, const char *key, const char *value)
{
	uint64_t n;
	if (strcmp(key, "from") == 0) {
		q->last = false;
		return number(value, UINT64_MAX, &q->from);
	}
	if (strcmp(key, "to") == 0)
		return number(value, UINT64_MAX, &q->to);
	if (strcmp(key, "limit") == 0) {
		int rc = number(value, QUERY_LIMIT_MAX, &n);
		q->limit = rc == 0 ? (unsigned)n : 0;
		return rc == 0 && n ? 0 : -1;
	}
	for (size_t i = 0; i < TEXTS; i++)
		if (strcmp(key, texts[i].key) == 0 && *value && strlen(value) < texts[i].size) {
			memcpy((char *)q + texts[i].at, value, strlen(value) + 1);
			return 0;
		}
	return -1;
}

/* One "key=value". */
static int take(struct query *q, const char *pair, size_t len, struct err *err)
{
	char key[16] = "", value[128];
	const char *equals = memchr(pair, '=', len);
	size_t key_len = equals ? (size_t)(equals - pair) : len;
	if (!equals || key_len >= sizeof key)
		return err_set(err, ERR_INVALID, "a query is KEY=VALUE joined by &");
	memcpy(key, pair, key_len);
	if (unescape(equals + 1, len - key_len - 1, value, sizeof value) < 0 || set(q, key, value) < 0)
		return err_set(
			err, ERR_INVALID,
			"%s: unknown or not valid; there are from, to, limit (1..%u), event, actor, app, request_id, "
			"owner",
			key, QUERY_LIMIT_MAX);
	return 0;
}

int query_parse(const char *text, uint64_t size, struct query *out, struct err *err)
{
	*out = (struct query){ .to = UINT64_MAX, .limit = LIMIT, .last = true };
	while (*text) {
		size_t len = strcspn(text, "&");
		if (len && take(out, text, len, err) < 0)
			return -1;
		text += len + (text[len] == '&');
	}
	if (!out->last)
		return 0;
	/* The last ones: a filter then sees a bounded part of the log's end. */
	bool filtered = *out->event || *out->actor || *out->app || *out->request_id || *out->owner;
	uint64_t end = out->to < size ? out->to + 1 : size, window = filtered ? QUERY_SCAN_MAX : out->limit;
	out->from = end > window ? end - window : 0;
	return 0;
}

/* ---- the search ---- */

/* Is one of the tags "owner/category" in the list of this owner? */
static bool has_owner(const char *owners, const char *owner)
{
	size_t len = strlen(owner);
	for (const char *p = owners; *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, owner, len) == 0 && p[len] == '/')
			return true;
	return strcmp(owners, "ALL") == 0;
}

static bool matches(const struct query *q, const json_t *record)
{
	for (size_t i = 0; i < TEXTS; i++) {
		const char *want = (const char *)q + texts[i].at;
		const char *have = json_string_value(json_object_get(record, texts[i].member));
		bool owners = strcmp(texts[i].key, "owner") == 0;
		if (*want && (!have || (owners ? !has_owner(have, want) : strcmp(have, want) != 0)))
			return false;
	}
	return true;
}

json_t *query_run(const char *dir, const struct query *q, struct err *err)
{
	struct audit_line line;
	int got = 0;
	struct audit_reader *reader = audit_reader_open(dir, q->from, err);
	if (!reader)
		return NULL;
	json_t *records = json_array(), *answer = json_pack("{s:o}", "records", records);
	for (uint64_t seen = 0; (got = audit_reader_next(reader, &line, err)) > 0; seen++) {
		if (line.torn || line.seq > q->to) /* torn: just being written */
			break;
		if (!q->last && (json_array_size(records) == q->limit || seen == QUERY_SCAN_MAX)) {
			json_object_set_new(answer, "next", json_integer((json_int_t)line.seq));
			break;
		}
		struct err bad;
		json_t *record = audit_record_read(line.text, line.len, line.seq, &bad);
		if (!record) {
			got = err_set(err, ERR_INTERNAL, "%s, record %" PRIu64 ": %s", line.file, line.seq, bad.text);
			break;
		}
		if (matches(q, record))
			json_array_append(records, record);
		json_decref(record);
		if (json_array_size(records) > q->limit)
			json_array_remove(records, 0);
	}
	audit_reader_close(reader);
	if (got >= 0)
		return answer;
	json_decref(answer);
	return NULL;
}
