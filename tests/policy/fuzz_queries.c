/* SPDX-License-Identifier: MIT
 *
 * Any bytes as queries.yaml, as the SQL of a query for both databases, and as a label's template with a column. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/queries.h"

static void try_sql(const char *sql, enum query_database database)
{
	struct err err;
	char *out;
	struct query_ref *refs;
	size_t n;
	if (query_sql_parse(sql, database, 9, &out, &refs, &n, &err) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (refs[i].kind == REF_PARAM && refs[i].param >= 9)
			abort();
	free(out);
	free(refs);
}

static const char *column(void *ctx, const char *name)
{
	(void)name;
	return ctx;
}

/* The label of a row that lies at or below the ceiling lies at or below the bound. */
static void check_row(const struct policy *p, const struct query_template *t, const struct label *ceiling,
		      const char *value)
{
	struct query_values v = {
		.user = "p7", .class_name = "trainer", .column = column, .ctx = (void *)(uintptr_t)value
	};
	char text[PPCE_LABEL_SIZE];
	struct label row, bound;
	query_template_bound(t, p, &v, ceiling, &bound);
	if (query_template_text(t, &v, text, sizeof text, NULL) < 0 || label_parse(p, text, &row, NULL) < 0)
		return;
	if (label_leq(p, &row, ceiling) && !label_leq(p, &row, &bound))
		abort();
}

/* As a template, and what stands behind a first line feed as what a column says. */
static void try_template(const struct policy *p, char *text)
{
	struct query q = { .nparams = 0 };
	struct query_template t;
	struct label all, some;
	struct err err;
	char *value = strchr(text, '\n');
	if (value)
		*value++ = '\0';
	if (query_template_parse(text, &q, &t, &err) < 0)
		return;
	label_top(p, &all);
	label_bottom(p, &some);
	if (label_add_owner(p, &some, "p7", &some, &err) < 0)
		abort();
	check_row(p, &t, &all, value ? value : "p7");
	check_row(p, &t, &some, value ? value : "p7");
	query_template_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy *p;
	struct err err;
	if (!p)
		p = policy_parse("example", policy_example(), strlen(policy_example()), &err);
	char *text = malloc(size + 1);
	if (!p || !text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	queries_free(queries_parse(p, "queries.yaml", text, size, &err));
	try_sql(text, DATABASE_SQLITE);
	try_sql(text, DATABASE_POSTGRESQL);
	try_template(p, text);
	free(text);
	return 0;
}
