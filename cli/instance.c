/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define START_MS 60000u

static int start(struct cli *c, struct err *err)
{
	json_t *answer = NULL, *body = json_object();
	int rc = -1;
	if (cli_set_text(body, "app", c->args[0], err) == 0 &&
	    cli_set_text(body, "label", cli_value(c, "label"), err) == 0 &&
	    cli_set_text(body, "owner", cli_value(c, "owner"), err) == 0)
		rc = cli_rest_timed(c, "vmmd", "POST", "/v1/instances", json_incref(body), START_MS, &answer, err);
	json_decref(body);
	if (rc < 0)
		return -1;
	const char *uuid = json_string_value(json_object_get(answer, "uuid"));
	if (c->json)
		cli_print_json(answer);
	else
		cli_print_text(uuid ? uuid : "?");
	json_decref(answer);
	return uuid ? 0 : err_set(err, ERR_BAD_GATEWAY, "vmmd named no instance");
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "uuid", "INSTANCE", 0 },
		{ "app", "APP", 0 },
		{ "label", "LABEL", 0 },
		{ "owner", "OWNER", 0 },
		{ "state", "STATE", 0 },
		{ "isolation", "ISOLATION", 0 },
		{ "pid", "PID", 0 },
		{ "age_s", "AGE_S", 0 },
		{ "requests", "REQUESTS", 0 },
		{ "failures", "FAILED", 0 },
		{ "private_kib", "PRIVATE_KIB", 0 },
		{ "start", "START", 0 },
		{ "address", "ADDRESS", 0 },
		{ "sinks", "SINKS", 0 },
		{ NULL, NULL, 0 },
	};
	json_t *answer;
	if (cli_rest(c, "vmmd", "GET", "/v1/instances", NULL, &answer, err) < 0)
		return -1;
	json_t *all = cli_list(answer), *rows = json_array(), *row;
	size_t i;
	json_array_foreach (all, i, row) {
		const char *app = json_string_value(json_object_get(row, "app"));
		if (!c->args[0] || (app && strcmp(app, c->args[0]) == 0))
			json_array_append(rows, row);
	}
	cli_print_rows(c, rows, columns);
	json_decref(rows);
	json_decref(answer);
	return 0;
}

static int stop(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/instances/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "vmmd", "DELETE", target, NULL, NULL, err);
}

static int logs(struct cli *c, struct err *err)
{
	char target[256], suffix[32];
	long long lines;
	json_t *answer;
	if (cli_number(c, "lines", 1, 10000, 100, &lines, err) < 0)
		return -1;
	snprintf(suffix, sizeof suffix, "?lines=%lld", lines);
	if (cli_target(target, sizeof target, "/v1/logs/", c->args[0], suffix, err) < 0)
		return -1;
	if (cli_rest(c, "vmmd", "GET", target, NULL, &answer, err) < 0)
		return -1;
	if (c->json) {
		cli_print_json(answer);
	} else {
		json_t *list = cli_list(answer), *line;
		size_t i;
		json_array_foreach (list, i, line)
			if (json_is_string(line))
				cli_print_text(json_string_value(line));
	}
	json_decref(answer);
	return 0;
}

static int events(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "time", "TIME", 0 },	   { "type", "EVENT", 0 }, { "name", "NAME", 0 },
		{ "uuid", "INSTANCE", 0 }, { "text", "TEXT", 0 },  { NULL, NULL, 0 },
	};
	json_t *answer;
	if (cli_rest(c, "vmmd", "GET", "/v1/events", NULL, &answer, err) < 0)
		return -1;
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_instance_verbs[] = {
	{ .name = "start",
	  .args = "APP",
	  .summary = "Start an instance ahead of any request and print its UUID",
	  .detail = "  ppce start hello --label level=NATO_SECRET\n\n"
		    "Instances also start by themselves when a request needs one.\n",
	  .options = { { "label", "L", "label the instance is bound to; default: the image's", false },
		       { "owner", "USER", "the one user it serves; needed for apps of lifetime user", false } },
	  .run = start },
	{ .name = "ps", .args = "[APP]", .summary = "List the running instances", .run = list },
	{ .name = "stop",
	  .args = "UUID",
	  .summary = "End an instance",
	  .detail = "  ppce stop 1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11\n",
	  .run = stop },
	{ .name = "logs",
	  .args = "APP",
	  .summary = "Show what an app logged, and why its instances ended",
	  .detail = "  ppce logs hello --lines 20\n",
	  .options = { { "lines", "N", "so many of the last lines; default 100", false } },
	  .run = logs },
	{ .name = "events", .args = "", .summary = "Show the last starts and ends of instances", .run = events },
	{ 0 },
};
