/* SPDX-License-Identifier: MIT
 *
 * `ppce audit tail`: the last decisions of DIR/log/audit.jsonl that match the filters. Works without running daemons.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/rest.h"

#define LINES_MAX 100000

struct ring { /* the last `size` matching lines */
	json_t **line;
	size_t size, next, count;
};

/* Option of the command line -> field of the log. */
static const struct {
	const char *option, *field;
} filters[] = { { "user", "actor" },	     { "app", "app" },	   { "event", "event" },
		{ "request", "request_id" }, { "label", "label" }, { "instance", "instance" } };

static bool matches(const struct cli *c, const json_t *line)
{
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
		const char *want = cli_value(c, filters[i].option);
		const char *have = json_string_value(json_object_get(line, filters[i].field));
		if (want && (!have || strcmp(want, have) != 0))
			return false;
	}
	return !cli_value(c, "refused") || json_is_false(json_object_get(line, "allowed"));
}

static void keep(struct ring *r, json_t *line)
{
	json_decref(r->line[r->next]);
	r->line[r->next] = line;
	r->next = (r->next + 1) % r->size;
	r->count += r->count < r->size;
}

/* Returns the number of lines that were no JSON: a torn last line after a crash, or damage. */
static size_t scan(const struct cli *c, FILE *f, struct ring *r)
{
	char *text = NULL;
	size_t size = 0, bad = 0;
	ssize_t len;
	while ((len = getline(&text, &size, f)) >= 0) {
		struct err ignored;
		json_t *line = json_decode(text, (size_t)len, &ignored);
		bad += !line;
		if (line && matches(c, line))
			keep(r, line);
		else
			json_decref(line);
	}
	free(text);
	return bad;
}

static json_t *ring_rows(struct ring *r)
{
	json_t *rows = json_array();
	size_t first = r->count < r->size ? 0 : r->next;
	for (size_t i = 0; i < r->count; i++)
		json_array_append(rows, r->line[(first + i) % r->size]);
	return rows;
}

static void print(const struct cli *c, struct ring *r)
{
	static const struct cli_column columns[] = {
		{ "time", "TIME", 0 },	       { "event", "EVENT", 0 },	       { "actor", "USER", 0 },
		{ "app", "APP", 0 },	       { "label", "LABEL", 0 },	       { "allowed", "ALLOWED", 0 },
		{ "rule", "RULE", 0 },	       { "reason", "REASON", 0 },      { "status", "STATUS", 0 },
		{ "instance", "INSTANCE", 8 }, { "request_id", "REQUEST", 0 }, { NULL, NULL, 0 },
	};
	json_t *rows = ring_rows(r);
	cli_print_rows(c, rows, columns);
	json_decref(rows);
}

static int tail(struct cli *c, struct err *err)
{
	char path[4096];
	long long lines;
	if (cli_number(c, "lines", 1, LINES_MAX, 20, &lines, err) < 0 ||
	    cli_path(c, "log/audit.jsonl", path, sizeof path, err) < 0)
		return -1;
	FILE *f = fopen(path, "re");
	if (!f && errno != ENOENT)
		return err_errno(err, ERR_INTERNAL, "%.300s", path);
	if (!f) {
		struct config config;
		if (config_load(c->dir, &config, err) < 0) /* no platform here at all */
			return -1;
	}
	struct ring r = { .line = calloc((size_t)lines, sizeof *r.line), .size = (size_t)lines };
	if (!r.line) {
		if (f)
			fclose(f);
		return err_set(err, ERR_INTERNAL, "out of memory");
	}
	size_t bad = f ? scan(c, f, &r) : 0;
	if (f)
		fclose(f);
	print(c, &r);
	for (size_t i = 0; i < r.size; i++)
		json_decref(r.line[i]);
	free(r.line);
	return bad ? err_set(err, ERR_INTERNAL, "%zu lines of %.300s are no JSON", bad, path) : 0;
}

const struct cli_verb cli_audit_verbs[] = {
	{ .name = "audit tail",
	  .args = "",
	  .summary = "Show the last decisions, allowed and refused",
	  .detail = "  ppce audit tail --user ann --refused\n"
		    "  ppce audit tail --request 01HZX...      by the PPCE-Request-Id of an answer\n",
	  .options = { { "lines", "N", "so many of the last matching ones; default 20", false },
		       { "user", "NAME", "who asked", false },
		       { "app", "NAME", "which app", false },
		       { "event", "EVENT", "request, login, logout, revoke, register", false },
		       { "request", "ID", "one request", false },
		       { "label", "L", "exactly this label", false },
		       { "instance", "UUID", "one instance", false },
		       { "refused", NULL, "refusals only", false } },
	  .run = tail },
	{ 0 },
};
