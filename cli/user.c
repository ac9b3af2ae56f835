/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <sodium.h>

#include "cli/cli.h"
#include "cli/secret.h"

static int with_password(struct cli *c, json_t *body, struct err *err)
{
	char password[SECRET_SIZE];
	int rc = secret_read(cli_value(c, "password-file"), password, err);
	if (rc == 0)
		rc = cli_set_text(body, "password", password, err);
	sodium_memzero(password, sizeof password);
	return rc;
}

static int add(struct cli *c, struct err *err)
{
	json_t *answer = NULL, *body = json_object();
	int rc = 0;

	if (!cli_value(c, "clearance") && !cli_value(c, "class"))
		rc = err_set(err, ERR_INVALID, "--clearance L or --class C is missing: what may this user see?");
	if (rc == 0 && (cli_set_text(body, "name", c->args[0], err) < 0 ||
			cli_set_text(body, "clearance", cli_value(c, "clearance"), err) < 0 ||
			cli_set_text(body, "class", cli_value(c, "class"), err) < 0 || with_password(c, body, err) < 0))
		rc = -1;
	if (rc == 0)
		rc = cli_rest(c, "auth", "POST", "/v1/users", json_incref(body), &answer, err);
	json_decref(body);
	if (rc < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	cli_note(c, "user %s added", c->args[0]);
	json_decref(answer);
	return 0;
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "name", "NAME", 0 },
						     { "class", "CLASS", 0 },
						     { "clearance", "CLEARANCE", 0 },
						     { "problem", "PROBLEM", 0 },
						     { NULL, NULL, 0 } };
	json_t *answer;
	if (cli_rest(c, "auth", "GET", "/v1/users", NULL, &answer, err) < 0)
		return -1;
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int passwd(struct cli *c, struct err *err)
{
	char target[256];
	json_t *body = json_object();
	int rc = cli_target(target, sizeof target, "/v1/users/", c->args[0], "", err);
	if (rc == 0)
		rc = with_password(c, body, err);
	if (rc == 0)
		rc = cli_rest(c, "auth", "PATCH", target, json_incref(body), NULL, err);
	json_decref(body);
	return rc;
}

static int forget(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/users/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "auth", "DELETE", target, NULL, NULL, err);
}

#define PASSWORD_FILE                                                                                            \
	{                                                                                                        \
		"password-file", "FILE", "its first line is the password; - reads it from standard input", false \
	}

const struct cli_verb cli_user_verbs[] = {
	{ .name = "user add",
	  .args = "NAME",
	  .summary = "Add a user with a clearance: the highest label their requests may run at",
	  .detail = "  ppce user add ann --clearance level=NATO_SECRET,comp={A} --password-file ann.txt\n"
		    "  echo secret | ppce user add bob --class trainer --password-file -\n\n"
		    "With --class alone the clearance is the class's in policy.yaml. Without --password-file the\n"
		    "password is asked for at the terminal.\n",
	  .options = { { "clearance", "L", "label text, axes as in policy.yaml", false },
		       { "class", "C", "a class of policy.yaml", false },
		       PASSWORD_FILE },
	  .run = add },
	{ .name = "user ls", .args = "", .summary = "List the users", .run = list },
	{ .name = "user passwd",
	  .args = "NAME",
	  .summary = "Set a new password; the user's sessions end",
	  .detail = "  ppce user passwd ann\n",
	  .options = { PASSWORD_FILE },
	  .run = passwd },
	{ .name = "user rm",
	  .args = "NAME",
	  .summary = "Remove a user; their sessions end at once",
	  .detail = "  ppce user rm ann\n",
	  .run = forget },
	{ 0 },
};
