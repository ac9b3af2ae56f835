/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/cli.h"
#include "policy/label.h"
#include "policy/policy.h"

/* The file's reader does not know the policy. */
static int check_sinks(const struct config *config, const struct policy *p, struct err *err)
{
	struct label label;
	for (unsigned i = 0; i < config->network.sinks; i++)
		if (label_parse(p, config->network.sink[i].label, &label, err) < 0) {
			err->kind = ERR_CONFIG;
			return err_prefix(err, "network.sinks: %s", config->network.sink[i].name);
		}
	return 0;
}

static int check(struct cli *c, struct err *err)
{
	struct config config;
	char path[512];
	if (config_load(c->dir, &config, err) < 0)
		return -1;
	struct policy *p = policy_load(config_path(&config, "policy.yaml", path, sizeof path), err);
	if (!p)
		return -1;
	json_t *found = json_pack("{s:s, s:s, s:I, s:I}", "dir", config.dir, "listen", config.listen, "axes",
				  (json_int_t)policy_axes(p), "classes", (json_int_t)policy_classes(p));
	int rc = check_sinks(&config, p, err);
	policy_free(p);
	if (rc < 0) {
		json_decref(found);
		return -1;
	}
	cli_print_object(c, found);
	json_decref(found);
	cli_note(c, "ppce.yaml and policy.yaml are valid");
	return 0;
}

static int version(struct cli *c, struct err *err)
{
	(void)err;
	json_t *v = json_pack("{s:s}", "version", PPCE_VERSION);
	if (c->json)
		cli_print_json(v);
	else
		printf("ppce %s\n", PPCE_VERSION);
	json_decref(v);
	return 0;
}

const struct cli_verb cli_config_verbs[] = {
	{ .name = "config check",
	  .args = "",
	  .summary = "Check ppce.yaml and policy.yaml; exit code 78 and the line at fault if one is bad",
	  .detail = "  ppce config check -C /srv/ppce\n",
	  .run = check },
	{ 0 },
};

const struct cli_verb cli_version_verbs[] = {
	{ .name = "version", .args = "", .summary = "Print the version", .run = version },
	{ 0 },
};
