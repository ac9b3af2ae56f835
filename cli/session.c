/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

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
