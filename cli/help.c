/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char *bold(void)
{
	return cli_color() ? "\033[1m" : "";
}

static const char *plain(void)
{
	return cli_color() ? "\033[0m" : "";
}

static void line(const struct cli_verb *v)
{
	char usage[80];
	snprintf(usage, sizeof usage, "%s%s%s", v->name, v->args && *v->args ? " " : "", v->args ? v->args : "");
	printf("  %-28s %s\n", usage, v->summary);
}

void cli_help_all(void)
{
	printf("%sppce%s runs services so that one person's data cannot reach another: each class, user or\n"
	       "request gets a virtual machine of its own, picked by the label of the data in it.\n\n"
	       "usage: ppce [-C DIR] [-o table|json] VERB ...\n\n"
	       "%sA first platform%s\n"
	       "  ppce init /tmp/p --dev               write ppce.yaml, policy.yaml and the directories\n"
	       "  ppce up -C /tmp/p                    run it; the rest goes into a second terminal\n"
	       "  export PPCE_DIR=/tmp/p\n"
	       "  ppce image add hello build/apps/hello\n"
	       "  ppce app add hello --image hello --lifetime request\n"
	       "  ppce user add ann --clearance level=NATO_SECRET --password-file secret.txt\n"
	       "  curl -d '{\"username\":\"ann\",\"password\":\"...\"}' http://127.0.0.1:8080/login\n"
	       "  curl -H 'Authorization: Bearer TOKEN' http://127.0.0.1:8080/hello/\n\n"
	       "%sVerbs%s (each has --help with an example)\n",
	       bold(), plain(), bold(), plain(), bold(), plain());
	for (const struct cli_verb *const *g = cli_groups; *g; g++)
		for (const struct cli_verb *v = *g; v->name; v++)
			line(v);
	printf("\n%sEverywhere%s\n"
	       "  -C DIR                     directory of the platform; default $PPCE_DIR, else here\n"
	       "  -o table|json              how results are printed; they go to standard output, all else to standard "
	       "error\n"
	       "  NO_COLOR=1                 no colours\n"
	       "  exit code                  0 ok, 1 failed, 2 wrong use, 3 not found, 4 denied, 5 daemon "
	       "unreachable,\n"
	       "                             6 conflict or full, 7 timeout, 78 bad configuration\n",
	       bold(), plain());
}

void cli_help_group(const char *group)
{
	size_t len = strlen(group);
	printf("usage: ppce %s VERB ...\n\n", group);
	for (const struct cli_verb *const *g = cli_groups; *g; g++)
		for (const struct cli_verb *v = *g; v->name; v++)
			if (strncmp(v->name, group, len) == 0 && v->name[len] == ' ')
				line(v);
}

void cli_help_verb(const struct cli_verb *v)
{
	printf("usage: %sppce %s%s%s%s", bold(), v->name, v->args && *v->args ? " " : "", v->args ? v->args : "",
	       plain());
	for (size_t k = 0; k < CLI_OPTIONS_MAX && v->options[k].name; k++) {
		const struct cli_option *o = &v->options[k];
		printf(" %s--%s%s%s%s", o->required ? "" : "[", o->name, o->value ? " " : "", o->value ? o->value : "",
		       o->required ? "" : "]");
	}
	printf("\n\n%s.\n", v->summary);
	if (v->options[0].name)
		printf("\n");
	for (size_t k = 0; k < CLI_OPTIONS_MAX && v->options[k].name; k++) {
		char option[64];
		snprintf(option, sizeof option, "--%s %s", v->options[k].name,
			 v->options[k].value ? v->options[k].value : "");
		printf("  %-26s %s\n", option, v->options[k].help);
	}
	if (v->detail)
		printf("\n%s", v->detail);
}
