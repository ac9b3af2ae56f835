/* SPDX-License-Identifier: MIT
 *
 * SQL is read only as far as needed to tell a reference from what stands in quotes and comments. Where SQLite and
 * PostgreSQL would read the same bytes differently (backslashes in E'', dollar quotes, nested comments), they are refused:
 * a reader that guesses wrong would take text for a parameter or the reverse.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "policy/queries.h"

#define SQL_BYTES_MAX (64u << 10)

struct sql_reader {
	const char *at;
	char prefix; /* of a parameter */
	size_t params;
	struct buf out;
	struct query_ref ref[PPCE_VALUES_MAX + 8];
	size_t nrefs;
	struct err *err;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

size_t query_ref_parse(const char *text, struct query_ref *out, struct err *err)
{
	static const struct {
		const char *name;
		enum query_ref_kind kind;
	} names[] = { { "user", REF_USER },
		      { "class", REF_CLASS },
		      { "session", REF_SESSION },
		      { "purpose", REF_PURPOSE },
		      { "label", REF_LABEL } };
	size_t len = 0;
	while (is_word(text[1 + len]))
		len++;
	*out = (struct query_ref){ 0 };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (len == strlen(names[i].name) && !memcmp(text + 1, names[i].name, len)) {
			out->kind = names[i].kind;
			return 1 + len;
		}
	}
	unsigned long n = len > 0 && len < 4 && text[1] != '0' ? strtoul(text + 1, NULL, 10) : 0;
	if (n > 0 && strspn(text + 1, "0123456789") == len) {
		out->kind = REF_PARAM;
		out->param = (unsigned)n - 1;
		return 1 + len;
	}
	err_set(err, ERR_INVALID, "$%.*s: there are $user, $class, $session, $purpose, $label and $1, $2, ...",
		len < 40 ? (int)len : 40, text + 1);
	return 0;
}

/* The text up to and with the closing quote; a doubled one stands for itself. */
static int copy_quoted(struct sql_reader *r, bool escapes)
{
	char quote = *r->at == '[' ? ']' : *r->at;
	const char *from = r->at++;
	for (;; r->at++) {
		if (!*r->at)
			return err_set(r->err, ERR_INVALID, "a quote (%c) is not closed", *from);
		if (escapes && *r->at == '\\')
			return err_set(r->err, ERR_INVALID, "backslashes in E'...' are not supported");
		if (*r->at != quote)
			continue;
		if (quote != ']' && r->at[1] == quote)
			r->at++;
		else
			break;
	}
	r->at++;
	buf_append(&r->out, from, (size_t)(r->at - from));
	return 0;
}

/* Comments become a space: nothing of them needs to reach the database. */
static int skip_comment(struct sql_reader *r)
{
	if (*r->at == '-') {
		r->at += strcspn(r->at, "\n");
	} else {
		const char *end = strstr(r->at + 2, "*/"), *nested = strstr(r->at + 2, "/*");
		if (!end)
			return err_set(r->err, ERR_INVALID, "a comment is not closed");
		if (nested && nested < end)
			return err_set(r->err, ERR_INVALID, "a comment within a comment is not supported");
		r->at = end + 2;
	}
	buf_puts(&r->out, " ");
	return 0;
}

static int copy_ref(struct sql_reader *r)
{
	struct query_ref ref;
	size_t i = 0, len = query_ref_parse(r->at, &ref, r->err);
	if (!len)
		return -1;
	if (r->at[len] == '$')
		return err_set(r->err, ERR_INVALID, "dollar quotes are not supported");
	if (ref.kind == REF_PARAM && ref.param >= r->params)
		return err_set(r->err, ERR_INVALID, "$%u: only %zu params are declared", ref.param + 1, r->params);
	while (i < r->nrefs && (r->ref[i].kind != ref.kind || r->ref[i].param != ref.param))
		i++;
	if (i == r->nrefs)
		r->ref[r->nrefs++] = ref; /* there are not more different ones than entries */
	r->at += len;
	return buf_printf(&r->out, "%c%zu", r->prefix, i + 1);
}

static int copy_end(struct sql_reader *r)
{
	if (r->at[strspn(r->at, "; \t\r\n")])
		return err_set(r->err, ERR_INVALID, "one statement only: there is something after the semicolon");
	r->at += strlen(r->at);
	return 0;
}

static int read_token(struct sql_reader *r)
{
	const char *at = r->at;
	if (*at == '\'' || *at == '"' || *at == '`')
		return copy_quoted(r, false);
	if ((*at == 'e' || *at == 'E') && at[1] == '\'') {
		buf_append(&r->out, r->at++, 1);
		return copy_quoted(r, true);
	}
	if (*at == '[' && r->prefix == '?') /* an identifier for SQLite; an index of an array for PostgreSQL */
		return copy_quoted(r, false);
	if ((*at == '-' && at[1] == '-') || (*at == '/' && at[1] == '*'))
		return skip_comment(r);
	if (*at == '$')
		return copy_ref(r);
	if (*at == ';')
		return copy_end(r);
	do { /* a whole word at a time, so that a$1 or the e of name'...' is not taken for something else */
		buf_append(&r->out, r->at++, 1);
	} while (is_word(at[0]) && (is_word(*r->at) || *r->at == '$'));
	return 0;
}

int query_sql_parse(const char *sql, enum query_database database, size_t params, char **out, struct query_ref **refs,
		    size_t *nrefs, struct err *err)
{
	struct sql_reader r = { .at = sql,
				.prefix = database == DATABASE_SQLITE ? '?' : '$',
				.params = params < PPCE_VALUES_MAX ? params : PPCE_VALUES_MAX,
				.out = { .cap = SQL_BYTES_MAX },
				.err = err };
	int rc = 0;
	while (rc == 0 && *r.at)
		rc = read_token(&r);
	if (rc == 0) {
		*out = strdup(buf_text(&r.out));
		*refs = calloc(r.nrefs + 1, sizeof **refs);
		if (r.out.failed || !*out || !*refs) {
			free(*out);
			free(*refs);
			rc = err_set(err, ERR_INVALID, "longer than 64 KiB");
		} else {
			memcpy(*refs, r.ref, r.nrefs * sizeof **refs);
			*nrefs = r.nrefs;
		}
	}
	buf_free(&r.out);
	return rc;
}
