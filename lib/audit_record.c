/* SPDX-License-Identifier: MIT */
#include "lib/audit_record.h"

#include <string.h>
#include <time.h>

#include "lib/rest.h"

enum type { TEXT, BOOL, COUNT };

static const struct member {
	const char *name;
	enum type type;
} members[] = { /* sorted: this is the order of the canonical form */
		{ "actor", TEXT },    { "address", TEXT }, { "after", TEXT },	 { "allowed", BOOL },
		{ "app", TEXT },      { "before", TEXT },  { "category", TEXT }, { "class", TEXT },
		{ "daemon", TEXT },   { "epoch", COUNT },  { "event", TEXT },	 { "image", TEXT },
		{ "instance", TEXT }, { "label", TEXT },   { "object", TEXT },	 { "owners", TEXT },
		{ "path", TEXT },     { "purpose", TEXT }, { "reason", TEXT },	 { "request_id", TEXT },
		{ "rows", COUNT },    { "rule", TEXT },	   { "seq", COUNT },	 { "session", TEXT },
		{ "status", COUNT },  { "time", TEXT }
};

#define MEMBERS (sizeof members / sizeof *members)

/* ---- strings ---- */

/* Bytes of the well-formed UTF-8 sequence at `p` (RFC 3629), 0 if there is none. Reads no further than a NUL. */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) /* over-long; surrogates */
		return 0;
	if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) /* over-long; past U+10FFFF */
		return 0;
	return n;
}

/* How the character at *p is written: moves over it. Returns the length of out, which is not terminated. */
static size_t spell(const unsigned char **p, char out[8])
{
	static const char names[] = "btnvfr"; /* 8 to 13; there is no short form of 11 */
	static const char hex[] = "0123456789abcdef";
	unsigned char c = **p;
	size_t n = c >= 0x80 ? utf8_length(*p) : 1;
	if (c >= 0x20 && n && c != '"' && c != '\\') {
		memcpy(out, *p, n);
		*p += n;
		return n;
	}
	++*p;
	if (c >= 0x80) {
		memcpy(out, "\xef\xbf\xbd", 3);
		return 3;
	}
	out[0] = '\\';
	out[1] = (char)c;
	if (c == '"' || c == '\\')
		return 2;
	if (c >= 8 && c <= 13 && c != 11) {
		out[1] = names[c - 8];
		return 2;
	}
	memcpy(out, "\\u00", 4);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

/* Does the whole text take at most `max` bytes? */
static bool fits(const char *text, size_t max)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = 2;
	char out[8];
	while (*p && len <= max)
		len += spell(&p, out);
	return len <= max;
}

void audit_put_string(struct buf *b, const char *text, size_t max)
{
	static const char mark[] = "\xe2\x80\xa6";
	const unsigned char *p = (const unsigned char *)text;
	bool cut = max != SIZE_MAX && !fits(text, max);
	size_t room = cut ? max - 2 - (sizeof mark - 1) : SIZE_MAX;
	char out[8];
	buf_append(b, "\"", 1);
	while (*p && !b->failed) {
		const unsigned char *plain = p;
		while (*p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\' && (size_t)(p - plain) < room)
			p++;
		buf_append(b, plain, (size_t)(p - plain));
		room -= (size_t)(p - plain);
		size_t n = *p ? spell(&p, out) : 0;
		if (n > room)
			break;
		buf_append(b, out, n);
		room -= n;
	}
	if (cut)
		buf_puts(b, mark);
	buf_append(b, "\"", 1);
}

/* ---- records ---- */

static bool known(const char *name)
{
	size_t from = 0, to = MEMBERS;
	while (from < to) {
		size_t middle = (from + to) / 2;
		int order = strcmp(name, members[middle].name);
		if (order == 0)
			return true;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return false;
}

/* Empty ones are left out of the line, so they are as good as missing. */
static bool has_text(const json_t *record, const char *name)
{
	return json_string_length(json_object_get(record, name)) > 0;
}

static int check_members(json_t *record, struct err *err)
{
	const char *key;
	json_t *value;
	json_object_foreach (record, key, value)
		if (!known(key))
			return err_set(err, ERR_INVALID, "a record has no member %.40s", key);
	if (!has_text(record, "daemon") || !has_text(record, "event") ||
	    !json_is_boolean(json_object_get(record, "allowed")))
		return err_set(err, ERR_INVALID, "daemon, event or allowed is missing");
	return 0;
}

static int put_value(struct buf *b, const struct member *m, const json_t *value, struct err *err)
{
	const char *comma = b->data[b->len - 1] == '{' ? "" : ",";
	if (m->type == TEXT && json_is_string(value)) {
		if (!*json_string_value(value))
			return 0;
		buf_printf(b, "%s\"%s\":", comma, m->name);
		audit_put_string(b, json_string_value(value), SIZE_MAX);
	} else if (m->type == BOOL && json_is_boolean(value)) {
		buf_printf(b, "%s\"%s\":%s", comma, m->name, json_is_true(value) ? "true" : "false");
	} else if (m->type == COUNT && json_is_integer(value)) {
		json_int_t n = json_integer_value(value);
		if (n < 0 || n > AUDIT_NUMBER_MAX)
			return err_set(err, ERR_INVALID, "%s is out of range", m->name);
		if (n || strcmp(m->name, "seq") == 0)
			buf_printf(b, "%s\"%s\":%lld", comma, m->name, (long long)n);
	} else {
		return err_set(err, ERR_INVALID, "%s has the wrong type", m->name);
	}
	return 0;
}

/* The canonical form, appended to `b`. */
static int put_record(struct buf *b, json_t *record, struct err *err)
{
	size_t start = b->len;
	buf_puts(b, "{");
	for (size_t i = 0; i < MEMBERS && !b->failed; i++) {
		const json_t *value = json_object_get(record, members[i].name);
		if (value && put_value(b, &members[i], value, err) < 0) {
			b->len = start;
			return -1;
		}
	}
	buf_puts(b, "}");
	if (!b->failed)
		return 0;
	b->len = start;
	return err_set(err, ERR_INTERNAL, "no room for the record");
}

static json_t *decode(const char *json, size_t len, struct err *err)
{
	json_t *record = json_decode(json, len, err);
	if (record && !json_is_object(record))
		err_set(err, ERR_INVALID, "a record is a JSON object");
	else if (record && check_members(record, err) == 0)
		return record;
	json_decref(record);
	return NULL;
}

int audit_record_make(const char *json, size_t len, uint64_t seq, const char *time, struct buf *out, struct err *err)
{
	if (len > AUDIT_RECORD_MAX)
		return err_set(err, ERR_INVALID, "a record of more than %u bytes", AUDIT_RECORD_MAX);
	json_t *record = decode(json, len, err);
	if (!record)
		return -1;
	int rc = -1;
	if (json_object_get(record, "seq") || json_object_get(record, "time"))
		err_set(err, ERR_INVALID, "seq and time are the log's to give");
	else if (json_object_set_new(record, "seq", json_integer((json_int_t)seq)) < 0 ||
		 json_object_set_new(record, "time", json_string(time)) < 0)
		err_set(err, ERR_INTERNAL, "out of memory");
	else
		rc = put_record(out, record, err);
	json_decref(record);
	return rc;
}

json_t *audit_record_read(const char *line, size_t len, uint64_t seq, struct err *err)
{
	struct buf again = { .cap = AUDIT_LINE_MAX };
	if (len > AUDIT_LINE_MAX) {
		err_set(err, ERR_INVALID, "a line of more than %u bytes", AUDIT_LINE_MAX);
		return NULL;
	}
	json_t *record = decode(line, len, err);
	if (!record)
		return NULL;
	const json_t *number = json_object_get(record, "seq");
	int rc = put_record(&again, record, err);
	if (rc == 0 && (again.len != len || memcmp(again.data, line, len) != 0))
		rc = err_set(err, ERR_INVALID, "not in canonical form");
	if (rc == 0 && !json_is_string(json_object_get(record, "time")))
		rc = err_set(err, ERR_INVALID, "time is missing");
	if (rc == 0 && (!number || json_integer_value(number) != (json_int_t)seq))
		rc = err_set(err, ERR_INVALID, "seq is not %llu", (unsigned long long)seq);
	buf_free(&again);
	if (rc == 0)
		return record;
	json_decref(record);
	return NULL;
}

void audit_time(char out[AUDIT_TIME_SIZE])
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(out, AUDIT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, AUDIT_TIME_SIZE - n, ".%06ldZ", now.tv_nsec / 1000);
}
