/* SPDX-License-Identifier: MIT
 *
 * `ppce bench`: hands over to a Python program that stands in ../bench beside our own directory, with the same options.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define PYTHON "/usr/bin/python3" /* else the one in PATH */

static int program_path(const char *name, char *out, size_t size, struct err *err)
{
	char own[2048];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
	if (n < 0)
		return err_errno(err, ERR_INTERNAL, "/proc/self/exe");
	own[n] = '\0';
	*strrchr(own, '/') = '\0';
	if ((size_t)snprintf(out, size, "%s/../bench/%s", own, name) >= size)
		return err_set(err, ERR_INTERNAL, "the path of our own executable is too long");
	return access(out, R_OK) < 0 ? err_errno(err, ERR_NOT_FOUND, "%.1000s, which belongs beside ppce", out) : 0;
}

/* Does not return if it succeeds: signals then go to the program itself. */
static int run(struct cli *c, const char *name, struct err *err)
{
	static char python[] = "python3", as_json[] = "--json=-";
	char program[4096], *argv[CLI_OPTIONS_MAX + 4] = { python, program };
	size_t n = 2;

	if (program_path(name, program, sizeof program, err) < 0)
		return -1;
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->verb->options[k].name; k++) {
		const char *option = c->verb->options[k].name, *value = c->values[k];
		if (value && asprintf(&argv[n++], "--%s%s%s", option, *value ? "=" : "", value) < 0)
			return err_set(err, ERR_INTERNAL, "out of memory");
	}
	if (c->json)
		argv[n++] = as_json;
	fflush(NULL);
	execv(PYTHON, argv);
	execvp(python, argv);
	return err_errno(err, ERR_NOT_FOUND, "python3, which measures,");
}

static int thesis(struct cli *c, struct err *err)
{
	if (c->json && cli_value(c, "json"))
		return err_set(err, ERR_INVALID, "either -o json or --json FILE");
	return run(c, "thesis", err);
}

const struct cli_verb cli_bench_verbs[] = {
	{ .name = "bench thesis",
	  .args = "",
	  .summary = "Repeat the measurements of the thesis on this machine, beside its figures",
	  .detail = "  ppce bench thesis --quick\n"
		    "  ppce bench thesis --samples 50 --json figures.json --plots plots\n"
		    "  ppce bench thesis --rows channel\n\n"
		    "Runs platforms of its own in a temporary directory and, as root, in a network namespace; ends and "
		    "starts\n"
		    "them again between samples. Groups of rows: system (initial, hybrid, AOT), boot, taps, tap, "
		    "channel. Where\n"
		    "there can be no taps, their rows are left out, with the reason. A sample that fails is told, and "
		    "the exit\n"
		    "code is 1 then. docs/evaluation.md says what is timed and what the comparison is worth.\n",
	  .options = { { "samples", "N", "of each experiment; default 20", false },
		       { "quick", NULL, "2 samples, 100 taps: under a minute, and rough", false },
		       { "rows", "LIST", "only these groups of rows, with commas; default: all", false },
		       { "backend", "HOW", "kvm, process or auto (default): kvm where it works", false },
		       { "json", "FILE", "write everything, with each sample", false },
		       { "csv", "FILE", "write the table", false },
		       { "markdown", "FILE", "write the table, into the place that FILE marks for it", false },
		       { "plots", "DIR", "write SVG plots; needs gnuplot", false },
		       { "keep", NULL, "keep the platform's directory, and name it", false } },
	  .run = thesis },
	{ 0 },
};
