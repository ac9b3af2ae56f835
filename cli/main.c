/* SPDX-License-Identifier: MIT
 *
 * `ppce`, the command line: finds the verb, runs it, turns an error into one line and an exit code.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/log.h"

const struct cli_verb *const cli_groups[] = {
	cli_init_verbs,
	cli_up_verbs,
	cli_image_verbs,
	cli_app_verbs,
	cli_user_verbs,
	cli_instance_verbs,
	cli_pool_verbs,
	cli_session_verbs,
	cli_grant_verbs,
	cli_explain_verbs,
	cli_certificate_verbs,
	cli_obligation_verbs,
	cli_status_verbs,
	cli_audit_verbs,
	cli_config_verbs,
	cli_doctor_verbs,
	cli_bench_verbs,
	cli_version_verbs,
	NULL,
};

static int report(const struct cli *c, const struct err *err)
{
	fprintf(stderr, "ppce: %s\n", err->text);
	if (err->kind == ERR_INVALID && c->verb)
		fprintf(stderr, "ppce: see `ppce %s --help`\n", c->verb->name);
	return err_exit_code(err->kind);
}

int main(int argc, char **argv)
{
	struct cli c = { 0 };
	struct err err = { 0 };

	log_init("ppce", LOG_LEVEL_WARN);
	int parsed = cli_parse(&c, argc, argv, &err);
	if (parsed < 0)
		return report(&c, &err);
	if (parsed == 0 && c.verb->run(&c, &err) < 0)
		return report(&c, &err);
	/* A result that did not reach its reader is a failure: a full disk must not look like success. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "ppce: cannot write the result\n");
		return 1;
	}
	return c.exit_code;
}
