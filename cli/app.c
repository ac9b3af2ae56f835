/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/cli.h"

static const char *const lifetimes[] = { "class", "user", "request", NULL };
static const char *const transports[] = { "channel", "tap", NULL };
static const char *const modes[] = { "reset", "discard", NULL };
static const char *const starts[] = { "restore", "boot", NULL };
static const char *const pools[] = { "pool", "none", NULL };

/* Options that are one word of a few, by their names in the request too. */
static int describe_words(struct cli *c, json_t *body, struct err *err)
{
	static const struct {
		const char *key, *option;
		const char *const *choices;
	} words[] = {
		{ "lifetime", "--lifetime", lifetimes },
		{ "transport", "--transport", transports },
		{ "mode", "--mode", modes },
		{ "start", "--start", starts },
		{ "shells", "--shells", pools },
		{ "taps", "--taps", pools },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const char *value = cli_value(c, words[i].key);
		if (cli_choice(words[i].option, value, words[i].choices, err) < 0 ||
		    cli_set_text(body, words[i].key, value, err) < 0)
			return -1;
	}
	return 0;
}

/* The request's body from the command line. */
static int describe(struct cli *c, json_t *body, struct err *err)
{
	if (cli_set_text(body, "name", c->args[0], err) < 0 ||
	    cli_set_text(body, "image", cli_value(c, "image"), err) < 0 ||
	    cli_set_text(body, "sinks", cli_value(c, "sinks"), err) < 0 ||
	    cli_set_text(body, "args", cli_value(c, "args"), err) < 0 || describe_words(c, body, err) < 0)
		return -1;
	if (cli_set_number(c, body, "port", "port", 1, 65535, err) < 0 ||
	    cli_set_number(c, body, "max_instances", "max-instances", 1, 4096, err) < 0 ||
	    cli_set_number(c, body, "idle", "idle", 0, 31536000, err) < 0 ||
	    cli_set_number(c, body, "max_age", "max-age", 0, 31536000, err) < 0 ||
	    cli_set_number(c, body, "max_requests", "max-requests", 0, 4294967295, err) < 0 ||
	    cli_set_number(c, body, "deadline_ms", "deadline", 1, 3600000, err) < 0)
		return -1;
	return 0;
}

static int add(struct cli *c, struct err *err)
{
	json_t *answer = NULL, *body = json_object();
	int rc = describe(c, body, err);
	if (rc == 0)
		rc = cli_rest(c, "vmmd", "POST", "/v1/apps", json_incref(body), &answer, err);
	json_decref(body);
	if (rc < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	cli_note(c, "app %s added: it answers at /%s/", c->args[0], c->args[0]);
	json_decref(answer);
	return 0;
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "name", "NAME", 0 },
		{ "image", "IMAGE", 0 },
		{ "lifetime", "LIFETIME", 0 },
		{ "mode", "MODE", 0 },
		{ "transport", "TRANSPORT", 0 },
		{ "sinks", "SINKS", 0 },
		{ "start", "START", 0 },
		{ "max_instances", "MAX", 0 },
		{ "idle", "IDLE_S", 0 },
		{ "deadline_ms", "DEADLINE_MS", 0 },
		{ NULL, NULL, 0 },
	};
	json_t *answer;
	if (cli_rest(c, "vmmd", "GET", "/v1/apps", NULL, &answer, err) < 0)
		return -1;
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int forget(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/apps/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "vmmd", "DELETE", target, NULL, NULL, err);
}

const struct cli_verb cli_app_verbs[] = {
	{ .name = "app add",
	  .args = "NAME",
	  .summary = "Offer an image to users at the URL path /NAME/",
	  .detail =
		  "How long a virtual machine lives, and so who may share one:\n"
		  "  class      everyone whose request runs at the same label shares the app's machines of that label\n"
		  "  user       each user has machines of their own, one kind per label\n"
		  "  request    every request finds a pristine machine: reset to its first state after each answer\n"
		  "             (--mode discard: the whole process is replaced instead of reset)\n\n"
		  "How a request reaches it:\n"
		  "  channel    over a socket of its own; there is no network in the machine\n"
		  "  tap        by HTTP at an address of its own (network.enabled in ppce.yaml); --sinks names what "
		  "of\n"
		  "             network.sinks it may connect to, where its label allows it. Its machines then never "
		  "read\n"
		  "             above the label that they were started with\n\n"
		  "How a machine starts: restored from the image's snapshot, in a shell (a process with an empty "
		  "machine)\n"
		  "and with a tap that were made ahead, if one is left. --start boot, --shells none and --taps none "
		  "do\n"
		  "without, to measure what each saves; what was booted is replaced after a request, never reset.\n\n"
		  "  ppce app add hello --image hello --lifetime request\n"
		  "  ppce app add tax --image tax --lifetime user --max-instances 50 --idle 300\n"
		  "  ppce app add report --image report --lifetime class --transport tap --sinks mail\n\n"
		  "A unikernel made elsewhere (image of kind solo5-hvt) always has a tap and is always booted. --args "
		  "are its\n"
		  "arguments, where {ipv4}, {prefix}, {gateway} and {port} are filled in; default, as MirageOS takes "
		  "them:\n"
		  "--ipv4={ipv4}/{prefix} --ipv4-gateway={gateway}\n"
		  "  ppce app add site --image site --lifetime class --port 8080\n",
	  .options = { { "image", "NAME", "registered by `ppce image add`", true },
		       { "lifetime", "WHEN", "class, user or request; see below", true },
		       { "transport", "HOW", "channel (default) or tap; see below", false },
		       { "port", "N", "where it serves HTTP; default 80; transport tap only", false },
		       { "sinks", "A,B", "of network.sinks in ppce.yaml; default none; transport tap only", false },
		       { "mode", "HOW", "reset (default) or discard; lifetime request only", false },
		       { "max-instances", "N", "over all labels and users", false },
		       { "idle", "SECONDS", "end an instance that was not asked for so long; 0: never", false },
		       { "max-age", "SECONDS", "end an instance of this age; 0: never", false },
		       { "max-requests", "N", "end an instance after so many; 0: never", false },
		       { "deadline", "MS", "longest run of one request", false },
		       { "start", "HOW", "restore (default) or boot", false },
		       { "shells", "HOW", "pool (default): one made ahead if there is one; none: never", false },
		       { "taps", "HOW", "the same for taps; transport tap only", false },
		       { "args", "TEXT", "arguments of a unikernel made elsewhere; see below", false } },
	  .run = add },
	{ .name = "app ls", .args = "", .summary = "List the apps", .run = list },
	{ .name = "app rm",
	  .args = "NAME",
	  .summary = "Stop offering an app; its instances end",
	  .detail = "  ppce app rm hello\n",
	  .run = forget },
	{ 0 },
};
