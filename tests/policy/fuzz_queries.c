/* SPDX-License-Identifier: MIT
 *
 * Any bytes as queries.yaml, and as the SQL of a query for both databases. */
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
	free(text);
	return 0;
}
