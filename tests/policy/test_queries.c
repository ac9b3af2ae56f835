/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/queries.h"

static const char policy_text[] = "axes:\n"
				  "  level: {chain: [LOW, HIGH]}\n"
				  "  own: {owners: [training]}\n"
				  "automata:\n"
				  "  a:\n"
				  "    start: s\n"
				  "    transitions:\n"
				  "      - {in: s, on: read}\n";
static const char wide_text[] = "axes:\n"
				"  level: {chain: [LOW, MID, HIGH]}\n"
				"  comp: {subset: [A, B]}\n"
				"  own: {owners: [training, medical]}\n";
static struct policy *policy, *wide;

static void check_sql(const char *sql, enum query_database database, const char *want, size_t nrefs)
{
	struct err err = { 0 };
	char *out = NULL;
	struct query_ref *refs = NULL;
	size_t n = 0;
	if (query_sql_parse(sql, database, 3, &out, &refs, &n, &err) < 0)
		fail_msg("%s: %s", sql, err.text);
	assert_string_equal(out, want);
	assert_int_equal(n, nrefs);
	free(out);
	free(refs);
}

static void test_sql(void **state)
{
	(void)state;
	check_sql("SELECT $user, $1, $2, $1, $user", DATABASE_SQLITE, "SELECT ?1, ?2, ?3, ?2, ?1", 3);
	check_sql("SELECT $user, $1, $2, $1, $user", DATABASE_POSTGRESQL, "SELECT $1, $2, $3, $2, $1", 3);
	check_sql("a='$user' AND b=\"$1\" AND c='it''s $2' AND d=$3", DATABASE_SQLITE,
		  "a='$user' AND b=\"$1\" AND c='it''s $2' AND d=?1", 1);
	check_sql("SELECT [$user], `$1`", DATABASE_SQLITE, "SELECT [$user], `$1`", 0);
	check_sql("SELECT a[$1]", DATABASE_POSTGRESQL, "SELECT a[$1]", 1);
	check_sql("SELECT 1 -- $nothing ' \" \n, $1", DATABASE_SQLITE, "SELECT 1  \n, ?1", 1);
	check_sql("SELECT /* $nothing ' */ $1;  ", DATABASE_SQLITE, "SELECT   ?1", 1);
	check_sql("SELECT name$1, E'x', value'$1'", DATABASE_POSTGRESQL, "SELECT name$1, E'x', value'$1'", 0);
	check_sql("SELECT '\\', $1", DATABASE_SQLITE, "SELECT '\\', ?1", 1);
	check_sql("", DATABASE_SQLITE, "", 0);
}

static void test_sql_refused(void **state)
{
	static const char *const bad[] = { "SELECT $nothing",
					   "SELECT $",
					   "SELECT $0",
					   "SELECT $01",
					   "SELECT $4",
					   "SELECT $99999999999999999999",
					   "SELECT $$x$$",
					   "SELECT $user$x$user$",
					   "SELECT 'open",
					   "SELECT \"open",
					   "SELECT 'open''",
					   "SELECT E'\\' $1'",
					   "SELECT e'\\n'",
					   "SELECT /* open",
					   "SELECT /* /* nested */ */ $1",
					   "SELECT 1; DROP TABLE x",
					   "SELECT 1;;;x",
					   "SELECT [open",
					   "SELECT $user_name" };
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = { 0 };
		char *out;
		struct query_ref *refs;
		size_t n;
		if (query_sql_parse(bad[i], DATABASE_SQLITE, 3, &out, &refs, &n, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_true(*err.text);
	}
}

static struct queries *parse(const char *text, struct err *err)
{
	return queries_parse(policy, "queries.yaml", text, strlen(text), err);
}

static void test_a_whole_file(void **state)
{
	static const char text[] = "database: \"postgresql:host=/run/postgresql dbname=x\"\n"
				   "queries:\n"
				   "  my_training:\n"
				   "    read: \"SELECT day FROM t WHERE p = $user AND d >= $1\"\n"
				   "    params: [text, int]\n"
				   "    label: \"level=HIGH,own={$user/training,$1/training}\"\n"
				   "    apps: [records, stats]\n"
				   "    rows: 7\n"
				   "    use: {automaton: a, owner: \"@p\", category: training, event: aggregate}\n"
				   "  add: {write: \"INSERT INTO t VALUES ($label)\", apps: [records], object: t}\n";
	struct err err = { 0 };
	(void)state;
	struct queries *q = parse(text, &err);
	if (!q)
		fail_msg("%s", err.text);
	assert_int_equal(q->database, DATABASE_POSTGRESQL);
	assert_string_equal(q->conninfo, "host=/run/postgresql dbname=x");
	const struct query *one = queries_find(q, "my_training");
	assert_non_null(one);
	assert_false(one->write || one->aggregate || one->label.per_row);
	assert_int_equal(one->nparams, 2);
	assert_int_equal(one->params[1], DATA_INT);
	assert_int_equal(one->rows, 7);
	assert_int_equal(one->bytes, 65536);
	assert_int_equal(one->ms, 2000);
	assert_true(query_app_may(one, "stats"));
	assert_false(query_app_may(one, "stat"));
	assert_true(one->use.set && one->use.owner.per_row && one->use.event == EVENT_AGGREGATE);
	const struct query *two = queries_find(q, "add");
	assert_true(two->write && two->ref[0].kind == REF_LABEL && two->label.n == 0);
	assert_string_equal(two->object, "t");
	assert_null(queries_find(q, "nothing"));
	queries_free(q);
}

static void test_the_example_is_valid(void **state)
{
	struct err err = { 0 };
	char *text = strdup(queries_example());
	(void)state;
	struct policy *p = policy_parse("policy.yaml", policy_example(), strlen(policy_example()), &err);
	struct queries *q = queries_parse(p, "queries.yaml", text, strlen(text), &err);
	assert_non_null(q);
	assert_int_equal(q->n, 0);
	queries_free(q);
	/* and so it is when its comments are taken away */
	size_t from = (size_t)(strstr(text, "queries:\n") - text);
	for (char *at = text + from; (at = strstr(at, "\n#"));)
		memmove(at + 1, at + 2, strlen(at + 2) + 1);
	q = queries_parse(p, "queries.yaml", text, strlen(text), &err);
	if (!q)
		fail_msg("%s", err.text);
	assert_int_equal(q->n, 2);
	queries_free(q);
	policy_free(p);
	free(text);
}

static void test_errors_name_the_line(void **state)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "querys: {}", "queries.yaml:1: querys: unknown key; did you mean queries?" },
		{ "database: mysql", "queries.yaml:1: database" },
		{ "queries:\n  q: {reed: x}", "queries.yaml:2: reed: unknown key; did you mean read?" },
		{ "queries:\n  q: {apps: [a]}", "queries.yaml:2: q: expected one of read" },
		{ "queries:\n  q: {read: 'SELECT 1', write: 'x', apps: [a]}",
		  "queries.yaml:2: q: expected one of read" },
		{ "queries:\n  Q: {read: 'SELECT 1', label: 'level=LOW', apps: [a]}", "queries.yaml:2: queries: Q" },
		{ "queries:\n  q:\n    read: 'SELECT $2'\n    params: [int]\n    label: 'level=LOW'\n    apps: [a]",
		  "queries.yaml:3: q: $2: only 1 params" },
		{ "queries:\n  q:\n    read: 'SELECT $label'\n    label: 'level=LOW'\n    apps: [a]",
		  "queries.yaml:3: q: $label" },
		{ "queries:\n  q: {read: 'SELECT 1', apps: [a]}", "queries.yaml:2: q: label: missing" },
		{ "queries:\n  q: {read: 'SELECT 1', label: 'level=LOW'}", "queries.yaml:2: q: apps: missing" },
		{ "queries:\n  q: {read: 'SELECT 1', label: 'level=LOWW', apps: [a]}", "queries.yaml:2: q: label: " },
		{ "queries:\n  q: {read: 'SELECT 1', label: 'own={$user/trainin}', apps: [a]}",
		  "queries.yaml:2: q: label: " },
		{ "queries:\n  q: {read: 'SELECT 1', label: 'own={$nobody/training}', apps: [a]}",
		  "queries.yaml:2: q: label: $nobody" },
		{ "queries:\n  q: {read: 'SELECT 1', label: 'own={$1/training}', apps: [a]}",
		  "queries.yaml:2: q: label: $1" },
		{ "queries:\n  q: {read: 'SELECT $1', params: [int], label: 'own={$1/training}', apps: [a]}",
		  "queries.yaml:2: q: label: $1 is not a parameter of type text" },
		{ "queries:\n  q: {write: 'x', label: 'own={@p/training}', apps: [a]}",
		  "queries.yaml:2: q: label: @p" },
		{ "queries:\n  q: {read: x, params: [date], label: 'level=LOW', apps: [a]}",
		  "queries.yaml:2: q: params" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], rows: 100001}", "queries.yaml:2: q: rows" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], rows: -1}", "queries.yaml:2: q: rows" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], category: rwa}",
		  "queries.yaml:2: q: category" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [A]}", "queries.yaml:2: q: apps" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], use: {automaton: b, owner: p, category: c}}",
		  "queries.yaml:2: q: use: the policy has no automaton b" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], use: {automaton: a, owner: p, category: c, "
		  "event: "
		  "erase}}",
		  "queries.yaml:2: q: use: event" },
		{ "queries:\n  q: {read: x, label: 'level=LOW', apps: [a], use: {automaton: a, owner: 'a@b/c', "
		  "category: c}}",
		  "queries.yaml:2: q: use: owner" },
		{ "queries:\n  q: {write: x, apps: [a], use: {automaton: a, owner: p, category: c}}",
		  "queries.yaml:2: q: use" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = { 0 };
		if (parse(bad[i].text, &err))
			fail_msg("accepted: %s", bad[i].text);
		assert_int_equal(err.kind, ERR_CONFIG);
		if (strncmp(err.text, bad[i].want, strlen(bad[i].want)) != 0)
			fail_msg("%s\n  says: %s\n  want: %s", bad[i].text, err.text, bad[i].want);
	}
}

static const char *column(void *ctx, const char *name)
{
	return strcmp(name, "none") ? ctx : NULL;
}

static void test_templates(void **state)
{
	struct query q = { .nparams = 1, .params = { DATA_TEXT } };
	struct query_template t;
	const char *params[] = { "p1" };
	char value[] = "ann", out[64];
	struct err err;
	struct query_values v = { "me@x", "staff", "s", "a purpose", NULL, params, column, value };
	(void)state;
	assert_int_equal(query_template_parse("own={$user/t,$1/t,@who/t}", &q, &t, &err), 0);
	assert_true(t.per_row);
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), 0);
	assert_string_equal(out, "own={me@x/t,p1/t,ann/t}");
	assert_int_equal(query_template_text(&t, &v, out, 23, &err), -1);
	assert_int_equal(query_template_text(&t, &v, out, 24, &err), 0);
	params[0] = "ann"; /* whoever is named twice stands there once */
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), 0);
	assert_string_equal(out, "own={me@x/t,ann/t}");
	v.user = "ann";
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), 0);
	assert_string_equal(out, "own={ann/t}");
	v.user = "an";
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), 0);
	assert_string_equal(out, "own={an/t,ann/t}");
	static const char *const spliced[] = { "x,y", "x}", "x/t,y", "", " ", "a b", "=", "{", "a\n", "\xc3\xbc" };
	for (size_t i = 0; i < sizeof spliced / sizeof *spliced; i++) {
		params[0] = spliced[i];
		assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), -1);
	}
	query_template_free(&t);
	assert_int_equal(query_template_parse("@who", &q, &t, &err), 0); /* alone: a whole label */
	v.ctx = "level=LOW,own={x/training}";
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), 0);
	assert_string_equal(out, "level=LOW,own={x/training}");
	query_template_free(&t);
	assert_int_equal(query_template_parse("own={@none/t}", &q, &t, &err), 0);
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), -1);
	query_template_free(&t);
	assert_int_equal(query_template_parse("level=$purpose", &q, &t, &err), 0);
	assert_int_equal(query_template_text(&t, &v, out, sizeof out, &err), -1);
	query_template_free(&t);
	assert_int_equal(query_template_parse("level=$label", &q, &t, &err), -1);
	assert_int_equal(query_template_parse("level=@", &q, &t, &err), -1);
}

static void check_bound(const char *template, const char *ceiling, const char *want)
{
	static enum data_type params[] = { DATA_TEXT };
	static const char *const given[] = { "ann" };
	struct query q = { .nparams = 1 };
	struct query_values v = { "me", "staff", "s", "p", NULL, given, NULL, NULL };
	struct query_template t;
	struct label c, l;
	char text[PPCE_LABEL_SIZE];
	struct err err = { 0 };
	memcpy(q.params, params, sizeof params);
	if (query_template_parse(template, &q, &t, &err) < 0 || label_parse(wide, ceiling, &c, &err) < 0)
		fail_msg("%s: %s", template, err.text);
	query_template_bound(&t, wide, &v, &c, &l);
	assert_int_equal(label_format(wide, &l, text, &err), 0);
	assert_string_equal(text, want);
	query_template_free(&t);
}

static void test_bounds(void **state)
{
	static const char c[] = "level=MID,comp={A},own={ann/medical,ann/training,me/training}";
	(void)state;
	check_bound("@who", c, c);
	check_bound("level=@level", c, "level=MID");
	check_bound("level=LOW,comp={@part}", c, "comp={A}");
	check_bound("own={@who/training}", c, "own={ann/training,me/training}");
	check_bound("own={@who/medical}", c, "own={ann/medical}");
	check_bound("own={@who/medical,@other/training},level=MID", c,
		    "level=MID,own={ann/medical,ann/training,me/training}");
	check_bound("own={@who/@category}", c, "own={ann/medical,ann/training,me/training}");
	check_bound("own={$1/@category}", c, "own={ann/medical,ann/training,me/training}");
	check_bound("own={$1/training,@who/medical}", c, "own={ann/medical,ann/training,me/training}");
	check_bound("own=@all", c, "own={ann/medical,ann/training,me/training}");
	check_bound("own={$1/medical},comp={@part}", c, "comp={A},own={ann/medical}");
	check_bound("own={@who/medical}", "level=HIGH,own=ALL", "own=ALL");
	check_bound("level=HIGH,own={@who/medical}", c, "level=LOW"); /* no such row is below the ceiling */
	check_bound("own={$1/medical},level=@level", "level=MID", "level=LOW");
	check_bound("nothing=@who", c, c); /* a label of none: no row has it, and nothing is said too low */
}

static int set_up(void **state)
{
	struct err err;
	(void)state;
	policy = policy_parse("policy", policy_text, strlen(policy_text), &err);
	wide = policy_parse("wide", wide_text, strlen(wide_text), &err);
	return policy && wide ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	policy_free(policy);
	policy_free(wide);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sql),
					    cmocka_unit_test(test_sql_refused),
					    cmocka_unit_test(test_a_whole_file),
					    cmocka_unit_test(test_the_example_is_valid),
					    cmocka_unit_test(test_errors_name_the_line),
					    cmocka_unit_test(test_templates),
					    cmocka_unit_test(test_bounds) };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
