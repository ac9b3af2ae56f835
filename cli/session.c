/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <time.h>

#include "cli/cli.h"

/* For people: Unix seconds as local time. */
static void spell_time(json_t *row, const char *key)
{
	char text[32];
	struct tm tm;
	time_t when = (time_t)json_integer_value(json_object_get(row, key));
	if (localtime_r(&when, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
		json_object_set_new(row, key, json_string(text));
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "session", "SESSION", 0 },
						     { "user", "USER", 0 },
						     { "class", "CLASS", 0 },
						     { "label", "LABEL", 0 },
						     { "purpose", "PURPOSE", 0 },
						     { "expires", "EXPIRES", 0 },
						     { NULL, NULL, 0 } };
	json_t *answer;
	if (cli_rest(c, "auth", "GET", "/v1/sessions", NULL, &answer, err) < 0)
		return -1;
	json_t *row;
	size_t i;
	if (!c->json)
		json_array_foreach (cli_list(answer), i, row)
			spell_time(row, "expires");
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int end(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/sessions/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "auth", "DELETE", target, NULL, NULL, err);
}

const struct cli_verb cli_session_verbs[] = {
	{ .name = "session ls", .args = "", .summary = "List who is logged in", .run = list },
	{ .name = "session rm",
	  .args = "UUID",
	  .summary = "End a session; its next request is refused",
	  .detail = "  ppce session rm 1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11\n",
	  .run = end },
	{ 0 },
};
