/* SPDX-License-Identifier: MIT
 *
 * Obligations: what uses of people's data have left to do. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "lib/names.h"

/* For people: Unix seconds as local time. */
static void spell_time(json_t *row, const char *key)
{
	char text[32];
	struct tm tm;
	time_t when = (time_t)json_integer_value(json_object_get(row, key));
	if (localtime_r(&when, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
		json_object_set_new(row, key, json_string(text));
}

static void spell_state(json_t *row)
{
	const char *state = json_object_get(row, "done")		    ? "done"
			    : json_is_true(json_object_get(row, "overdue")) ? "overdue"
									    : "open";
	json_object_set_new(row, "state", json_string(state));
	spell_time(row, "due");
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "id", "ID", 0 },		{ "kind", "KIND", 0 },
						     { "state", "STATE", 0 },	{ "due", "DUE", 0 },
						     { "owner", "OWNER", 0 },	{ "category", "CATEGORY", 0 },
						     { "event", "EVENT", 0 },	{ "actor", "ACTOR", 0 },
						     { "object", "OBJECT", 0 }, { "times", "TIMES", 0 },
						     { NULL, NULL, 0 } };
	char target[256];
	const char *owner = cli_value(c, "owner");
	json_t *answer, *row;
	size_t i;
	if (owner && !user_valid(owner))
		return err_set(err, ERR_INVALID, "`%.64s` is not a user's name", owner);
	snprintf(target, sizeof target, "/v1/obligations?owner=%s%s", owner ? owner : "",
		 cli_value(c, "overdue") ? "&overdue=1" : "");
	if (cli_rest(c, "store", "GET", target, NULL, &answer, err) < 0)
		return -1;
	if (!c->json)
		json_array_foreach (cli_list(answer), i, row)
			spell_state(row);
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int done(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/obligations/", c->args[0], "/done", err) < 0)
		return -1;
	return cli_rest(c, "store", "POST", target, NULL, NULL, err);
}

const struct cli_verb cli_obligation_verbs[] = {
	{ .name = "obligation ls",
	  .args = "",
	  .summary = "What uses of people's data have left to do: notify, review, delete",
	  .detail = "  ppce obligation ls --overdue\n",
	  .options = { { "owner", "NAME", "of this person's data only", false },
		       { "overdue", NULL, "only what should have been done by now", false } },
	  .run = list },
	{ .name = "obligation done",
	  .args = "ID",
	  .summary = "Mark an obligation as done",
	  .detail = "  ppce obligation done 12\n",
	  .run = done },
	{ 0 },
};
