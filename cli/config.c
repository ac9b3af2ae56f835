/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "policy/label.h"
#include "policy/queries.h"

/* A platform without queries.yaml has no queries. */
static struct queries *load_queries(const struct policy *p, const char *path, struct err *err)
{
	return access(path, F_OK) < 0 && errno == ENOENT ? queries_parse(p, path, "", 0, err)
							 : queries_load(p, path, err);
}

/* The file's reader does not know the policy. */
static int check_sink(const struct config_sink *sink, const struct policy *p, struct err *err)
{
	struct label label;
	const char *key = label_parse(p, sink->label, &label, err) < 0	   ? "label"
			  : label_parse(p, sink->returns, &label, err) < 0 ? "returns"
									   : NULL;
	if (!key)
		return 0;
	err->kind = ERR_CONFIG;
	return err_prefix(err, "ppce.yaml: network.sinks: %s: %s", sink->name, key);
}

static int check_sinks(const struct config *config, const struct policy *p, struct err *err)
{
	for (unsigned i = 0; i < config->network.sinks; i++)
		if (check_sink(&config->network.sink[i], p, err) < 0)
			return -1;
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
	struct queries *q = NULL;
	if (check_sinks(&config, p, err) == 0)
		q = load_queries(p, config_path(&config, "queries.yaml", path, sizeof path), err);
	if (!q) {
		policy_free(p);
		return -1;
	}
	json_t *found = json_pack("{s:s, s:s, s:I, s:I, s:I}", "dir", config.dir, "listen", config.listen, "axes",
				  (json_int_t)policy_axes(p), "classes", (json_int_t)policy_classes(p), "queries",
				  (json_int_t)q->n);
	queries_free(q);
	policy_free(p);
	cli_print_object(c, found);
	json_decref(found);
	cli_note(c, "ppce.yaml, policy.yaml and queries.yaml are valid");
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
	  .summary = "Check ppce.yaml, policy.yaml and queries.yaml; exit code 78 and the line at fault if one is bad",
	  .detail = "  ppce config check -C /srv/ppce\n",
	  .run = check },
	{ 0 },
};

const struct cli_verb cli_version_verbs[] = {
	{ .name = "version", .args = "", .summary = "Print the version", .run = version },
	{ 0 },
};
