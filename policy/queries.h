/* SPDX-License-Identifier: MIT
 *
 * Named queries of the data gateway: DIR/queries.yaml, parsed and checked against a policy. Pure. The file's keys are
 * explained in docs/store.md and in the commented file that `ppce init` writes (queries_example()).
 *
 * SQL is the operator's. `$user $class $session $purpose $label` and `$1`, `$2`, ... in it become parameters of the
 * database, which are bound and never spliced; what stands in quotes or comments is left alone.
 *
 * A label template is a label's text in which `$name`, `$1` and `@column` stand for one word each. What is put in must
 * have the form of an owner's name, so no value can add an axis or a tag. A template that is exactly "@column" takes the
 * whole label from that column. Templates with a column are per row.
 */
#ifndef POLICY_QUERIES_H
#define POLICY_QUERIES_H

#include <ppce/store.h>

#include "policy/automaton.h"
#include "policy/label.h"
#include "policy/policy.h"

#define QUERIES_MAX 1024
#define QUERY_ROWS_MAX 100000
#define QUERY_COLUMN_SIZE 64 /* name of a column in a template */

enum query_database { DATABASE_SQLITE, DATABASE_POSTGRESQL };

enum query_ref_kind { REF_TEXT, REF_USER, REF_CLASS, REF_SESSION, REF_PURPOSE, REF_LABEL, REF_PARAM, REF_COLUMN };

struct query_ref { /* what is bound to one parameter of the database's statement */
	enum query_ref_kind kind;
	unsigned param; /* REF_PARAM: from 0 */
};

struct query_part { /* of a template */
	enum query_ref_kind kind;
	unsigned param; /* REF_PARAM: from 0 */
	char *text;	/* REF_TEXT: literally; REF_COLUMN: the column's name */
};

struct query_template {
	size_t n; /* 0: none was given */
	struct query_part *part;
	bool per_row; /* has a column */
};

struct query_use { /* the automaton that the rows carry */
	bool set;
	char automaton[PPCE_CLASS_SIZE];
	char category[PPCE_CLASS_SIZE];
	enum automaton_event event;  /* EVENT_READ or EVENT_AGGREGATE */
	struct query_template owner; /* one word */
};

struct query {
	char name[PPCE_NAME_SIZE];
	bool write;
	char *sql;	       /* with the database's own parameters: ?1 or $1 */
	struct query_ref *ref; /* of parameter i + 1 */
	size_t nrefs;
	size_t nparams; /* that the guest gives */
	enum data_type params[PPCE_VALUES_MAX];
	struct query_template label; /* n == 0: writes only: the instance's label */
	char (*apps)[PPCE_NAME_SIZE];
	size_t napps;
	bool aggregate;
	unsigned rows, bytes, ms;
	struct query_use use;
	char object[PPCE_NAME_SIZE]; /* "" or what derived data is recorded and looked up under */
};

struct queries {
	enum query_database database;
	char conninfo[512]; /* DATABASE_POSTGRESQL */
	struct query *query;
	size_t n;
};

/* Errors: ERR_CONFIG, "file:line: ...". The caller frees with queries_free(). */
struct queries *queries_parse(const struct policy *p, const char *name, const char *text, size_t len, struct err *err);
struct queries *queries_load(const struct policy *p, const char *path, struct err *err);
void queries_free(struct queries *q);
const struct query *queries_find(const struct queries *q, const char *name); /* NULL: none of that name */
bool query_app_may(const struct query *q, const char *app);
const char *queries_example(void); /* the commented file that `ppce init` writes; static text */

/* Finds the references of `sql` and writes it anew with the database's parameters. `params`: how many $1.. there are.
 * ERR_INVALID says what is wrong. *out and *refs are the caller's to free. Used by queries.c; pure, for tests. */
int query_sql_parse(const char *sql, enum query_database database, size_t params, char **out, struct query_ref **refs,
		    size_t *nrefs, struct err *err);

/* The reference at `text`, which begins with '$': its length, 0 with ERR_INVALID if there is none of that name. */
size_t query_ref_parse(const char *text, struct query_ref *out, struct err *err);

/* Where the words of a template come from. */
struct query_values {
	const char *user, *class_name, *session, *purpose, *label;
	const char *const *params; /* by number; NULL where a parameter is not a text */
	/* Text of a column of the current row, NULL if it is not text or there is none. */
	const char *(*column)(void *ctx, const char *name);
	void *ctx;
};

int query_template_parse(const char *text, const struct query *q, struct query_template *out, struct err *err);
void query_template_free(struct query_template *t);
/* The text with everything put in. Untrusted values. ERR_INVALID: a value is not one word, or does not fit. */
int query_template_text(const struct query_template *t, const struct query_values *v, char *out, size_t size,
			struct err *err);
/* A template that is per row: *out is at or above the label of every row at or below `ceiling` that there could be,
 * whatever is in the database: axes with a column as in the ceiling (of the tags, those of the column's category), the
 * others as the template says. Bottom if no row can be below the ceiling. */
void query_template_bound(const struct query_template *t, const struct policy *p, const struct query_values *v,
			  const struct label *ceiling, struct label *out);

#endif
