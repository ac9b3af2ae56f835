/* SPDX-License-Identifier: MIT
 *
 * `ppce explain`: what would happen to a request, and by which rule. auth says what the user may see, the proxy says
 * what it would do; nothing is started or counted.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int append(char *out, size_t size, const char *key, const char *value, struct err *err)
{
	char prefix[640];
	size_t len = strlen(out);
	snprintf(prefix, sizeof prefix, "%s=", key);
	return cli_target(out + len, size - len, prefix, value, "", err);
}

/* Asks auth for a user; fills the query of the proxy's endpoint. */
static int make_target(struct cli *c, char *target, size_t size, struct err *err)
{
	char user_target[256];
	const char *label = cli_value(c, "label");
	json_t *user;

	if (cli_target(user_target, sizeof user_target, "/v1/users/", c->args[0], "", err) < 0 ||
	    cli_rest(c, "auth", "GET", user_target, NULL, &user, err) < 0)
		return -1;
	const char *clearance = json_string_value(json_object_get(user, "clearance"));
	snprintf(target, size, "/v1/explain?");
	int rc = append(target, size, "user", c->args[0], err);
	if (rc == 0)
		rc = append(target, size, "&app", c->args[1], err);
	if (rc == 0)
		rc = append(target, size, "&clearance", clearance ? clearance : "", err);
	if (rc == 0 && label)
		rc = append(target, size, "&label", label, err);
	json_decref(user);
	return rc;
}

static void print_answer(const struct cli *c, json_t *answer)
{
	static const struct cli_column columns[] = { { "step", "STEP", 0 },
						     { "rule", "RULE", 0 },
						     { "allowed", "ALLOWED", 0 },
						     { "why", "WHY", 0 },
						     { NULL, NULL, 0 } };
	static const struct cli_column where[] = { { "uuid", "INSTANCE", 0 },
						   { "address", "ADDRESS", 0 },
						   { NULL, NULL, 0 } };
	json_t *steps = json_object_get(answer, "steps"), *instances = json_object_get(answer, "instances");
	if (c->json || !json_is_array(steps)) {
		cli_print_object(c, answer);
		return;
	}
	json_incref(steps);
	json_incref(instances);
	json_object_del(answer, "steps");
	json_object_del(answer, "instances");
	cli_print_object(c, answer);
	putchar('\n');
	cli_print_rows(c, steps, columns);
	if (json_array_size(instances) > 0) {
		putchar('\n');
		cli_print_rows(c, instances, where);
	}
	json_decref(steps);
	json_decref(instances);
}

static int explain(struct cli *c, struct err *err)
{
	char target[4096];
	json_t *answer;
	if (make_target(c, target, sizeof target, err) < 0 ||
	    cli_rest(c, "proxy", "GET", target, NULL, &answer, err) < 0)
		return -1;
	print_answer(c, answer);
	if (json_is_false(json_object_get(answer, "allowed")))
		c->exit_code = err_exit_code(ERR_DENIED);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_explain_verbs[] = {
	{ .name = "explain",
	  .args = "USER APP",
	  .summary = "Say what would happen to a request of USER to APP, and by which rule; exit code 4 if refused",
	  .detail = "  ppce explain ann hello\n"
		    "  ppce explain ann hello --label level=COSMIC_TOP_SECRET\n",
	  .options = { { "label", "L", "run the request at this label; default: the user's clearance", false } },
	  .run = explain },
	{ 0 },
};
