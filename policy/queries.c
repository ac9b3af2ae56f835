/* SPDX-License-Identifier: MIT */
#include "policy/queries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "lib/yaml.h"

/* Everything that a query's keys are read with. */
struct query_reader {
	const struct policy *policy;
	const struct queries *all;
	struct query *q;
	const struct yaml_value *map;
	struct err *err;
};

static bool word_valid(const char *text, size_t size, const char *charset)
{
	size_t len = strlen(text);
	return len > 0 && len < size && strspn(text, charset) == len && strchr("0123456789_-", *text) == NULL;
}

/* Names of queries and objects: [a-z][a-z0-9_-]{0,31} */
static bool query_name_valid(const char *text)
{
	return word_valid(text, PPCE_NAME_SIZE, "abcdefghijklmnopqrstuvwxyz0123456789_-");
}

static bool name_word_valid(const char *text)
{
	return word_valid(text, PPCE_CLASS_SIZE, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

/* 1 and the scalar's text; 0 if the key is absent; -1 if it is no scalar. */
static int get_text(const struct query_reader *r, const struct yaml_value *map, const char *key, const char **out)
{
	const struct yaml_value *v = yaml_get(map, key);
	if (!v)
		return 0;
	if (yaml_kind(v) != YAML_SCALAR || !*yaml_text(v))
		return yaml_error(v, r->err, "%s: %s: expected a text", r->q->name, key);
	*out = yaml_text(v);
	return 1;
}

static int get_number(const struct query_reader *r, const char *key, unsigned min, unsigned max, unsigned *out)
{
	const char *text;
	int rc = get_text(r, r->map, key, &text);
	if (rc <= 0)
		return rc;
	size_t len = strlen(text);
	unsigned long n = len <= 9 && strspn(text, "0123456789") == len ? strtoul(text, NULL, 10) : 0;
	if (n < min || n > max)
		return yaml_error(yaml_get(r->map, key), r->err, "%s: %s: expected a whole number, %u..%u", r->q->name,
				  key, min, max);
	*out = (unsigned)n;
	return 0;
}

static int read_params(struct query_reader *r)
{
	static const char *const names[] = {
		[DATA_INT] = "int", [DATA_REAL] = "real", [DATA_TEXT] = "text", [DATA_BLOB] = "blob"
	};
	const struct yaml_value *list = yaml_get(r->map, "params");
	if (!list)
		return 0;
	if (yaml_kind(list) != YAML_LIST || yaml_count(list) > PPCE_VALUES_MAX)
		return yaml_error(list, r->err, "%s: params: expected a list of at most %d types", r->q->name,
				  PPCE_VALUES_MAX);
	for (size_t i = 0; i < yaml_count(list); i++) {
		const struct yaml_value *v = yaml_item(list, i);
		unsigned type = DATA_INT;
		while (type <= DATA_BLOB && (yaml_kind(v) != YAML_SCALAR || strcmp(yaml_text(v), names[type]) != 0))
			type++;
		if (type > DATA_BLOB)
			return yaml_error(v, r->err, "%s: params: the types are int, real, text and blob", r->q->name);
		r->q->params[i] = (enum data_type)type;
	}
	r->q->nparams = yaml_count(list);
	return 0;
}

static int read_apps(struct query_reader *r)
{
	const struct yaml_value *list = yaml_get(r->map, "apps");
	if (!list)
		return yaml_error(r->map, r->err, "%s: apps: missing; which apps may run it?", r->q->name);
	if (yaml_kind(list) != YAML_LIST)
		return yaml_error(list, r->err, "%s: apps: expected [NAME, ...]", r->q->name);
	r->q->apps = calloc(yaml_count(list) + 1, sizeof *r->q->apps);
	if (!r->q->apps)
		return err_set(r->err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < yaml_count(list); i++) {
		const struct yaml_value *v = yaml_item(list, i);
		if (yaml_kind(v) != YAML_SCALAR || !name_valid(yaml_text(v)))
			return yaml_error(v, r->err, "%s: apps: expected names of apps", r->q->name);
		strcpy(r->q->apps[r->q->napps++], yaml_text(v));
	}
	return 0;
}

static int read_sql(struct query_reader *r)
{
	const char *read = NULL, *write = NULL;
	struct err why;
	if (get_text(r, r->map, "read", &read) < 0 || get_text(r, r->map, "write", &write) < 0)
		return -1;
	if (!read == !write)
		return yaml_error(r->map, r->err, "%s: expected one of read: \"SQL\" and write: \"SQL\"", r->q->name);
	r->q->write = write != NULL;
	if (query_sql_parse(read ? read : write, r->all->database, r->q->nparams, &r->q->sql, &r->q->ref, &r->q->nrefs,
			    &why) < 0)
		return yaml_error(yaml_get(r->map, read ? "read" : "write"), r->err, "%s: %s", r->q->name, why.text);
	for (size_t i = 0; read && i < r->q->nrefs; i++)
		if (r->q->ref[i].kind == REF_LABEL)
			return yaml_error(yaml_get(r->map, "read"), r->err,
					  "%s: $label is the label of what is written; a read has none", r->q->name);
	return 0;
}

static const char *sample_column(void *ctx, const char *name)
{
	(void)name;
	return ctx;
}

/* Templates whose references all name owners are tried with a name; where they name levels, only a run can tell. */
static int check_label(const struct query_reader *r, const char *text, struct err *why)
{
	static const char *const one[PPCE_VALUES_MAX] = { "x" };
	const char *params[PPCE_VALUES_MAX];
	char sample[PPCE_LABEL_SIZE];
	struct label l;
	for (size_t i = 0; i < PPCE_VALUES_MAX; i++)
		params[i] = one[0];
	for (const char *at = text; (at = strpbrk(at, "@$")); at++)
		if (at[1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] != '/')
			return 0;
	const struct query_values v = { "x", "x", "x", "x", NULL, params, sample_column, (void *)(uintptr_t) "x" };
	if (query_template_text(&r->q->label, &v, sample, sizeof sample, why) < 0)
		return -1;
	return label_parse(r->policy, sample, &l, why);
}

static int read_label(struct query_reader *r)
{
	const char *text = NULL;
	struct err why;
	int rc = get_text(r, r->map, "label", &text);
	if (rc < 0)
		return -1;
	if (!rc && r->q->write)
		return 0;
	if (!rc)
		return yaml_error(r->map, r->err, "%s: label: missing; what label do the rows have?", r->q->name);
	if (query_template_parse(text, r->q, &r->q->label, &why) < 0 || check_label(r, text, &why) < 0)
		return yaml_error(yaml_get(r->map, "label"), r->err, "%s: label: %s", r->q->name, why.text);
	return 0;
}

static int read_category(struct query_reader *r)
{
	const char *text = "raw";
	if (get_text(r, r->map, "category", &text) < 0)
		return -1;
	r->q->aggregate = !strcmp(text, "aggregate");
	if (!r->q->aggregate && strcmp(text, "raw") != 0)
		return yaml_error(yaml_get(r->map, "category"), r->err, "%s: category: raw or aggregate", r->q->name);
	return 0;
}

static int read_object(struct query_reader *r)
{
	const char *text = "";
	if (get_text(r, r->map, "object", &text) < 0)
		return -1;
	if (*text && !query_name_valid(text))
		return yaml_error(yaml_get(r->map, "object"), r->err,
				  "%s: object: a name has a-z, 0-9, _ and -, at most %d characters", r->q->name,
				  PPCE_NAME_SIZE - 1);
	strcpy(r->q->object, text);
	return 0;
}

static int read_use_event(struct query_reader *r, const struct yaml_value *use)
{
	const char *text = r->q->aggregate ? "aggregate" : "read";
	if (get_text(r, use, "event", &text) < 0)
		return -1;
	if (!automaton_event_find(text, &r->q->use.event) ||
	    (r->q->use.event != EVENT_READ && r->q->use.event != EVENT_AGGREGATE))
		return yaml_error(yaml_get(use, "event"), r->err, "%s: use: event: read or aggregate", r->q->name);
	return 0;
}

static int read_use_owner(struct query_reader *r, const struct yaml_value *use, const char *owner)
{
	struct err why;
	if (query_template_parse(owner, r->q, &r->q->use.owner, &why) < 0)
		return yaml_error(yaml_get(use, "owner"), r->err, "%s: use: owner: %s", r->q->name, why.text);
	if (r->q->use.owner.n != 1 || (r->q->use.owner.part->kind == REF_TEXT && !user_valid(owner)))
		return yaml_error(yaml_get(use, "owner"), r->err,
				  "%s: use: owner: one of @column, $user, $1, ... or a name", r->q->name);
	return 0;
}

static int read_use(struct query_reader *r)
{
	static const char *const keys[] = { "automaton", "owner", "category", "event", NULL };
	const struct yaml_value *use = yaml_get(r->map, "use");
	const char *automaton = "", *owner = "", *category = "";
	if (!use)
		return 0;
	if (r->q->write)
		return yaml_error(use, r->err, "%s: use: only what is read has one; what is written inherits it",
				  r->q->name);
	if (yaml_check_keys(use, keys, r->err) < 0 || get_text(r, use, "automaton", &automaton) < 0 ||
	    get_text(r, use, "owner", &owner) < 0 || get_text(r, use, "category", &category) < 0)
		return -1;
	if (!*automaton || !*owner || !name_word_valid(category))
		return yaml_error(use, r->err, "%s: use: automaton, owner and category are needed", r->q->name);
	if (!automaton_find(r->policy, automaton) || strlen(automaton) >= sizeof r->q->use.automaton)
		return yaml_error(use, r->err, "%s: use: the policy has no automaton %.40s", r->q->name, automaton);
	strcpy(r->q->use.automaton, automaton);
	strcpy(r->q->use.category, category);
	r->q->use.set = true;
	return read_use_event(r, use) < 0 ? -1 : read_use_owner(r, use, owner);
}

static int read_query(struct queries *all, const struct policy *p, const struct yaml_value *key,
		      const struct yaml_value *map, struct err *err)
{
	static const char *const keys[] = { "read", "write", "params", "label", "apps",	  "category",
					    "rows", "bytes", "ms",     "use",	"object", NULL };
	struct query *q = &all->query[all->n];
	struct query_reader r = { p, all, q, map, err };
	if (!query_name_valid(yaml_text(key)))
		return yaml_error(key, err, "queries: %.40s: a name has a-z, 0-9, _ and -, at most %d characters",
				  yaml_text(key), PPCE_NAME_SIZE - 1);
	if (yaml_check_keys(map, keys, err) < 0)
		return -1;
	all->n++; /* first, so that queries_free() sees a half-read one */
	strcpy(q->name, yaml_text(key));
	q->rows = 1000;
	q->bytes = 65536;
	q->ms = 2000;
	if (read_params(&r) < 0 || read_sql(&r) < 0 || read_label(&r) < 0 || read_apps(&r) < 0 ||
	    read_category(&r) < 0 || read_object(&r) < 0 || read_use(&r) < 0)
		return -1;
	if (get_number(&r, "rows", 1, QUERY_ROWS_MAX, &q->rows) < 0 ||
	    get_number(&r, "bytes", 64, PPCE_DATA_BYTES_MAX, &q->bytes) < 0 ||
	    get_number(&r, "ms", 1, 600000, &q->ms) < 0)
		return -1;
	return 0;
}

static int read_database(struct queries *all, const struct yaml_value *root, struct err *err)
{
	static const char postgresql[] = "postgresql:";
	const struct yaml_value *v = yaml_get(root, "database");
	const char *text = v && yaml_kind(v) == YAML_SCALAR ? yaml_text(v) : NULL;
	if (!v || (text && !strcmp(text, "sqlite")))
		return 0;
	if (!text || strncmp(text, postgresql, sizeof postgresql - 1) != 0 ||
	    strlen(text) - sizeof postgresql + 1 >= sizeof all->conninfo)
		return yaml_error(v, err, "database: sqlite, or \"postgresql:host=... dbname=...\"");
	all->database = DATABASE_POSTGRESQL;
	strcpy(all->conninfo, text + sizeof postgresql - 1);
	return 0;
}

static int read_all(struct queries *all, const struct policy *p, const struct yaml_value *root, struct err *err)
{
	static const char *const keys[] = { "database", "queries", NULL };
	if (!root)
		return 0;
	if (yaml_check_keys(root, keys, err) < 0 || read_database(all, root, err) < 0)
		return -1;
	const struct yaml_value *map = yaml_get(root, "queries");
	if (!map || (yaml_kind(map) == YAML_SCALAR && !*yaml_text(map)))
		return 0;
	if (yaml_kind(map) != YAML_MAP || yaml_count(map) > QUERIES_MAX)
		return yaml_error(map, err, "queries: expected NAME: {...} lines, at most %d", QUERIES_MAX);
	all->query = calloc(yaml_count(map) + 1, sizeof *all->query);
	if (!all->query)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < yaml_count(map); i++)
		if (read_query(all, p, yaml_key(map, i), yaml_member(map, i), err) < 0)
			return -1;
	return 0;
}

/* Takes the file over; NULL passes the error of its parse on. */
static struct queries *from_file(const struct policy *p, struct yaml_file *file, struct err *err)
{
	if (!file)
		return NULL;
	struct queries *all = calloc(1, sizeof *all);
	if (!all)
		err_set(err, ERR_INTERNAL, "out of memory");
	if (all && read_all(all, p, yaml_root(file), err) < 0) {
		queries_free(all);
		all = NULL;
	}
	yaml_close(file);
	return all;
}

struct queries *queries_parse(const struct policy *p, const char *name, const char *text, size_t len, struct err *err)
{
	return from_file(p, yaml_parse(name, text, len, err), err);
}

struct queries *queries_load(const struct policy *p, const char *path, struct err *err)
{
	return from_file(p, yaml_load(path, err), err);
}

void queries_free(struct queries *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++) {
		free(q->query[i].sql);
		free(q->query[i].ref);
		free(q->query[i].apps);
		query_template_free(&q->query[i].label);
		query_template_free(&q->query[i].use.owner);
	}
	free(q->query);
	free(q);
}

const struct query *queries_find(const struct queries *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->query[i].name, name))
			return &q->query[i];
	return NULL;
}

bool query_app_may(const struct query *q, const char *app)
{
	for (size_t i = 0; i < q->napps; i++)
		if (!strcmp(q->apps[i], app))
			return true;
	return false;
}
