/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/machine.h"
#include "cli/status.h"

#define STATUS_CALL_MS 1000u

static const char *const daemons[] = { "net", "audit", "store", "auth", "vmmd", "proxy", NULL };

/* The first line of DIR/run/NAME, "" if there is none. */
static void run_file(const struct cli *c, const char *name, char *out, size_t size)
{
	char path[4096], tail[64];
	struct err ignored;
	out[0] = '\0';
	snprintf(tail, sizeof tail, "run/%s", name);
	if (cli_path(c, tail, path, sizeof path, &ignored) < 0)
		return;
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(out, (int)size, f))
		out[strcspn(out, "\n")] = '\0';
	else
		out[0] = '\0';
	fclose(f);
}

int status_ready(struct cli *c, const char *daemon, struct err *err)
{
	char *text = NULL;
	if (strcmp(daemon, "net") == 0) /* net.sock is the socket to vmmd */
		daemon = "net-rest";
	int rc = cli_rest_text(c, daemon, "/readyz", STATUS_CALL_MS, &text, err);
	free(text);
	return rc;
}

int status_listen(struct cli *c, char *out, size_t size, struct err *err)
{
	run_file(c, "listen", out, size);
	return *out ? 0 : err_set(err, ERR_UNAVAILABLE, "the proxy has not said where it listens (run/listen)");
}

int status_isolation(struct cli *c, char *out, size_t size, struct err *err)
{
	char kind[64];
	json_t *pools;
	if (cli_rest_timed(c, "vmmd", "GET", "/v1/pools", NULL, STATUS_CALL_MS, &pools, err) < 0)
		return -1;
	const char *backend = json_string_value(json_object_get(pools, "backend"));
	machine_kvm_kind(kind, sizeof kind);
	if (backend && strcmp(backend, "kvm") == 0)
		snprintf(out, size, "kvm, %s", kind);
	else
		snprintf(out, size, "%s", backend ? backend : "unknown");
	json_decref(pools);
	return 0;
}

static json_t *daemon_row(struct cli *c, const char *daemon, bool *all)
{
	char name[64], pid[32];
	struct err err = { 0 };
	int rc = status_ready(c, daemon, &err);
	snprintf(name, sizeof name, "%s.pid", daemon);
	run_file(c, name, pid, sizeof pid);
	*all = *all && rc == 0;
	json_t *row = json_pack("{s:s, s:s}", "name", daemon, "state", rc == 0 ? "ready" : *pid ? "not ready" : "down");
	if (*pid)
		json_object_set_new(row, "pid", json_integer(atoi(pid)));
	if (rc < 0)
		json_object_set_new(row, "why", json_string(err.text));
	return row;
}

static int status(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "name", "DAEMON", 0 },
						     { "state", "STATE", 0 },
						     { "pid", "PID", 0 },
						     { "why", "WHY", 0 },
						     { NULL, NULL, 0 } };
	char listen[64], isolation[128];
	struct config config;
	bool all = true;

	if (config_load(c->dir, &config, err) < 0)
		return -1;
	json_t *rows = json_array();
	for (const char *const *d = daemons + !config.network.enabled; *d; d++)
		json_array_append_new(rows, daemon_row(c, *d, &all));
	json_t *whole = json_pack("{s:b, s:s, s:O}", "ready", all, "dir", config.dir, "daemons", rows);
	if (all && status_listen(c, listen, sizeof listen, err) == 0 &&
	    status_isolation(c, isolation, sizeof isolation, err) == 0) {
		json_object_set_new(whole, "url", json_sprintf("http://%s", listen));
		json_object_set_new(whole, "isolation", json_string(isolation));
		if (!c->json)
			printf("http://%s (isolation: %s)\n", listen, isolation);
	}
	if (c->json)
		cli_print_json(whole);
	else
		cli_print_rows(c, rows, columns);
	json_decref(rows);
	json_decref(whole);
	c->exit_code = all ? 0 : err_exit_code(ERR_UNAVAILABLE);
	return 0;
}

const struct cli_verb cli_status_verbs[] = {
	{ .name = "status",
	  .args = "",
	  .summary = "Say which daemons run and where the platform listens; exit code 5 if one is not ready",
	  .run = status },
	{ 0 },
};
