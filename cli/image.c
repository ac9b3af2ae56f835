/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const char *const kinds[] = { "ppce", "solo5-hvt", NULL };

#define IMAGE_ADD_MS 620000u /* adding boots the image: as long as vmmd.boot_ms may be at most, and a little */

static int add(struct cli *c, struct err *err)
{
	json_t *answer, *body = json_object();
	const char *kind = cli_value(c, "kind");
	char *path = realpath(c->args[1], NULL);
	int rc = -1;

	if (cli_choice("--kind", kind, kinds, err) < 0) {
		free(path);
		json_decref(body);
		return -1;
	}
	if (!path) {
		json_decref(body);
		return err_errno(err, ERR_NOT_FOUND, "%.300s", c->args[1]);
	}
	if (cli_set_text(body, "name", c->args[0], err) == 0 && cli_set_text(body, "path", path, err) == 0 &&
	    cli_set_text(body, "label", cli_value(c, "label"), err) == 0 &&
	    cli_set_text(body, "kind", kind, err) == 0 &&
	    cli_set_number(c, body, "memory_mib", "memory", 1, 1024, err) == 0)
		rc = cli_rest_timed(c, "vmmd", "POST", "/v1/images", json_incref(body), IMAGE_ADD_MS, &answer, err);
	free(path);
	json_decref(body);
	if (rc < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	if (kind && strcmp(kind, "ppce") != 0)
		cli_note(c, "image %s added: each instance is a boot of it by solo5-hvt", c->args[0]);
	else
		cli_note(c, "image %s added: it was booted once, and instances start from there", c->args[0]);
	json_decref(answer);
	return 0;
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "name", "NAME", 0 },	 { "kind", "KIND", 0 },
						     { "digest", "DIGEST", 12 }, { "label", "LABEL", 0 },
						     { "memory_mib", "MIB", 0 }, { "boot_us", "BOOT_US", 0 },
						     { "state", "STATE", 0 },	 { "reason", "REASON", 0 },
						     { NULL, NULL, 0 } };
	json_t *answer;
	if (cli_rest(c, "vmmd", "GET", "/v1/images", NULL, &answer, err) < 0)
		return -1;
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int forget(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/images/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "vmmd", "DELETE", target, NULL, NULL, err);
}

const struct cli_verb cli_image_verbs[] = {
	{ .name = "image add",
	  .args = "NAME FILE",
	  .summary = "Register a program made by ppce-cc; it is copied and booted once up to its first request",
	  .detail = "  ppce-cc hello.c -o hello\n"
		    "  ppce image add hello hello\n"
		    "  ppce image add tax ./tax --label level=NATO_RESTRICTED\n\n"
		    "Another program under a name that is in use takes its place: instances of the old one end.\n\n"
		    "A unikernel for Solo5 (MirageOS: configure -t hvt) is run by solo5-hvt, which you install "
		    "yourself:\n"
		    "  ppce image add site dist/site.hvt --kind solo5-hvt --memory 32\n",
	  .options = { { "label", "L", "label of instances that are started without one; default: the lowest", false },
		       { "kind", "KIND", "ppce (default) or solo5-hvt", false },
		       { "memory", "MIB", "of each instance; kind solo5-hvt only; default 64", false } },
	  .run = add },
	{ .name = "image ls", .args = "", .summary = "List the images", .run = list },
	{ .name = "image rm",
	  .args = "NAME",
	  .summary = "Remove an image that no app uses",
	  .detail = "  ppce image rm hello\n",
	  .run = forget },
	{ 0 },
};
