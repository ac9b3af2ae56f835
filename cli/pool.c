/* SPDX-License-Identifier: MIT
 *
 * What is made ahead of requests: empty machines (shells), network devices (taps), and instances of one label.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* --- the listing ---------------------------------------------------------------------------------------------------- */

static void add_row(json_t *rows, const char *kind, const json_t *from, const json_t *want, const json_t *ready)
{
	json_t *row = json_pack("{s:s}", "kind", kind);
	json_object_update(row, (json_t *)(uintptr_t)from);
	json_object_set(row, "want", (json_t *)(uintptr_t)want);
	json_object_set(row, "ready", (json_t *)(uintptr_t)ready);
	json_array_append_new(rows, row);
}

static void add_list(json_t *rows, const char *kind, const json_t *list)
{
	const json_t *one;
	size_t i;
	json_array_foreach (list, i, one)
		add_row(rows, kind, one, json_object_get(one, "want"), json_object_get(one, "ready"));
}

/* The snapshot of an image is in memory once, and shared by all its instances. */
static void add_snapshots(json_t *rows, const json_t *images)
{
	const json_t *one;
	size_t i;
	json_array_foreach (images, i, one)
		json_array_append_new(rows, json_pack("{s:s, s:O, s:O}", "kind", "snapshot", "image",
						      json_object_get(one, "name"), "shared_kib",
						      json_object_get(one, "snapshot_kib")));
}

static json_t *rows_of(const json_t *pools)
{
	json_t *rows = json_array();
	const json_t *taps = json_object_get(pools, "taps");
	add_row(rows, "shell", json_object_get(pools, "shell_memory"), json_object_get(pools, "shells"),
		json_object_get(pools, "shells_ready"));
	if (taps)
		add_row(rows, "tap", taps, json_object_get(taps, "want"), json_object_get(taps, "ready"));
	add_list(rows, "warm", json_object_get(pools, "warm"));
	add_snapshots(rows, json_object_get(pools, "images"));
	return rows;
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "kind", "KIND", 0 },
		{ "app", "APP", 0 },
		{ "image", "IMAGE", 0 },
		{ "label", "LABEL", 0 },
		{ "owner", "OWNER", 0 },
		{ "want", "WANT", 0 },
		{ "ready", "READY", 0 },
		{ "private_kib", "PRIVATE_KIB", 0 },
		{ "shared_kib", "SHARED_KIB", 0 },
		{ "last_failure", "LAST_FAILURE", 0 },
		{ NULL, NULL, 0 },
	};
	json_t *answer;
	if (cli_rest(c, "vmmd", "GET", "/v1/pools", NULL, &answer, err) < 0)
		return -1;
	if (c->json) {
		cli_print_json(answer);
	} else {
		json_t *rows = rows_of(answer);
		const char *missing = json_string_value(json_object_get(answer, "not_counted"));
		cli_print_rows(c, rows, columns);
		cli_note(c, "not counted: %s", missing ? missing : "?");
		json_decref(rows);
	}
	json_decref(answer);
	return 0;
}

/* --- setting -------------------------------------------------------------------------------------------------------- */

static json_t *shells(struct cli *c, struct err *err)
{
	char *end;
	unsigned long n = strtoul(c->args[0], &end, 10);
	if (!*end && end != c->args[0] && c->args[0][0] >= '0' && c->args[0][0] <= '9' && n <= 64)
		return json_pack("{s:I}", "shells", (json_int_t)n);
	err_set(err, ERR_INVALID,
		"`%.60s`: so many shells, a number from 0 to 64; or an app, with --label L and --warm N", c->args[0]);
	return NULL;
}

static json_t *warm(struct cli *c, struct err *err)
{
	json_t *body = json_object();
	if (!cli_value(c, "label") || !cli_value(c, "warm"))
		err_set(err, ERR_INVALID, "instances made ahead need both --label L and --warm N");
	else if (cli_set_text(body, "app", c->args[0], err) == 0 &&
		 cli_set_text(body, "label", cli_value(c, "label"), err) == 0 &&
		 cli_set_text(body, "owner", cli_value(c, "owner"), err) == 0 &&
		 cli_set_number(c, body, "warm", "warm", 0, 4096, err) == 0)
		return body;
	json_decref(body);
	return NULL;
}

static int set(struct cli *c, struct err *err)
{
	bool of_app = cli_value(c, "label") || cli_value(c, "owner") || cli_value(c, "warm");
	json_t *answer = NULL, *body = of_app ? warm(c, err) : shells(c, err);
	if (!body || cli_rest(c, "vmmd", "PUT", "/v1/pools", body, &answer, err) < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	cli_note(c,
		 of_app ? "from now on so many instances of app %s are kept ready: see `ppce pool ls`"
			: "from now on so many empty machines are kept ready, until vmmd starts again: %s",
		 c->args[0]);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_pool_verbs[] = {
	{ .name = "pool ls",
	  .args = "",
	  .summary = "Show what is made ahead of requests, and the memory that it holds",
	  .detail = "  shell     empty machines, for whatever instance is needed next\n"
		    "  tap       network devices, likewise\n"
		    "  warm      instances of one app, label and owner\n"
		    "  snapshot  what an image's instances start from; in memory once, shared by all of them\n\n"
		    "PRIVATE_KIB is what ends with the processes of the row; SHARED_KIB is mapped from snapshots and\n"
		    "program files, which others share.\n\n"
		    "  ppce pool ls -o json    also each process on its own\n",
	  .run = list },
	{ .name = "pool set",
	  .args = "SHELLS|APP",
	  .summary = "Keep so many empty machines, or instances of one label, ready ahead of requests",
	  .detail =
		  "  ppce pool set 4\n"
		  "        four shells, until vmmd starts again (ppce.yaml: vmmd.shells)\n"
		  "  ppce pool set hello --label level=NATO_SECRET --warm 2\n"
		  "        two instances; requests at exactly this label find them. Kept over restarts\n"
		  "  ppce pool set tax --label level=NATO_SECRET --owner ann --warm 1\n"
		  "        an app of lifetime user: an instance for ann\n"
		  "  ppce pool set hello --label level=NATO_SECRET --warm 0\n"
		  "        none any more; those that were made end\n\n"
		  "They do not end by idleness, and one that ends for another reason is made again. All labels of an\n"
		  "app together can have as many as its --max-instances.\n",
	  .options = { { "label", "L", "label of the instances", false },
		       { "owner", "USER", "the one user they serve; needed for apps of lifetime user", false },
		       { "warm", "N", "so many instances, 0 to the app's --max-instances", false } },
	  .run = set },
	{ 0 },
};
