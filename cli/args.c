/* SPDX-License-Identifier: MIT
 *
 * The command line into struct cli. Global options may stand anywhere; every unknown word is answered with the one
 * that was probably meant.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/rest.h"

#define WORDS_MAX 128

struct words { /* the command line without its global options */
	const char *word[WORDS_MAX];
	unsigned n;
	bool help, version;
};

static int set_output(struct cli *c, const char *format, struct err *err)
{
	static const char *const formats[] = { "table", "json", NULL };
	if (cli_choice("-o", format, formats, err) < 0)
		return -1;
	c->json = strcmp(format, "json") == 0;
	return 0;
}

/* `-C DIR`, `-CDIR`, `-o json`, `--output=json`: returns 1 if argv[*i] was one of these, moving *i over its value. */
static int global_value(struct cli *c, int argc, char **argv, int *i, struct err *err)
{
	static const struct {
		const char *short_name, *long_name;
	} names[] = { { "-C", "--dir" }, { "-o", "--output" } };
	for (size_t k = 0; k < 2; k++) {
		const char *value = NULL, *word = argv[*i];
		size_t len = strlen(names[k].long_name);
		if (strcmp(word, names[k].short_name) == 0 || strcmp(word, names[k].long_name) == 0) {
			if (*i + 1 >= argc)
				return err_set(err, ERR_INVALID, "%s needs a value", word);
			value = argv[++*i];
		} else if (strncmp(word, names[k].long_name, len) == 0 && word[len] == '=') {
			value = word + len + 1;
		} else if (strncmp(word, names[k].short_name, 2) == 0 && word[1] != '-') {
			value = word + 2;
		} else {
			continue;
		}
		if (k == 1)
			return set_output(c, value, err) < 0 ? -1 : 1;
		if (!*value)
			return err_set(err, ERR_INVALID, "-C needs the name of a directory");
		c->dir = value;
		return 1;
	}
	return 0;
}

static int split(struct cli *c, int argc, char **argv, struct words *w, struct err *err)
{
	bool literal = false; /* after "--" everything is an argument */
	for (int i = 1; i < argc; i++) {
		if (!literal) {
			int global = global_value(c, argc, argv, &i, err);
			if (global < 0)
				return -1;
			if (global > 0)
				continue;
			if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
				w->help = true;
				continue;
			}
			if (strcmp(argv[i], "--version") == 0 && w->n == 0) {
				w->version = true;
				continue;
			}
			if (strcmp(argv[i], "--") == 0)
				literal = true; /* kept as a word: options end here for fill() too */
		}
		if (w->n == WORDS_MAX)
			return err_set(err, ERR_INVALID, "too many arguments");
		w->word[w->n++] = argv[i];
	}
	return 0;
}

/* The verb of one or two words at the start of `w`; *used says how many. */
static const struct cli_verb *find_verb(const struct words *w, unsigned *used)
{
	char two[64] = "";
	if (w->n > 1)
		snprintf(two, sizeof two, "%s %s", w->word[0], w->word[1]);
	for (const struct cli_verb *const *g = cli_groups; *g; g++)
		for (const struct cli_verb *v = *g; v->name; v++) {
			*used = strchr(v->name, ' ') ? 2 : 1;
			if (*used <= w->n && strcmp(v->name, *used == 2 ? two : w->word[0]) == 0)
				return v;
		}
	return NULL;
}

static bool is_group(const char *word)
{
	size_t len = strlen(word);
	for (const struct cli_verb *const *g = cli_groups; *g; g++)
		for (const struct cli_verb *v = *g; v->name; v++)
			if (strncmp(v->name, word, len) == 0 && v->name[len] == ' ')
				return true;
	return false;
}

/* Collects the first words (group NULL) or the second words of a group's verbs, for text_nearest(). */
static void collect(const char *group, char names[][32], const char **list, size_t max)
{
	size_t n = 0;
	for (const struct cli_verb *const *g = cli_groups; *g; g++)
		for (const struct cli_verb *v = *g; v->name; v++) {
			const char *space = strchr(v->name, ' ');
			size_t first = space ? (size_t)(space - v->name) : strlen(v->name);
			if (n + 1 >= max)
				break;
			if (!group)
				snprintf(names[n], 32, "%.*s", (int)first, v->name);
			else if (space && strlen(group) == first && strncmp(v->name, group, first) == 0)
				snprintf(names[n], 32, "%s", space + 1);
			else
				continue;
			list[n] = names[n];
			n++;
		}
	list[n] = NULL;
}

static int unknown_verb(const struct words *w, struct err *err)
{
	char names[64][32];
	const char *list[64];
	bool group = is_group(w->word[0]);
	if (group && w->n == 1) {
		cli_help_group(w->word[0]);
		return err_set(err, ERR_INVALID, "`ppce %s` needs one of the verbs above", w->word[0]);
	}
	const char *word = group ? w->word[1] : w->word[0];
	collect(group ? w->word[0] : NULL, names, list, 64);
	const char *near = text_nearest(word, list);
	const char *space = group ? " " : "", *prefix = group ? w->word[0] : "";
	if (near)
		return err_set(err, ERR_INVALID, "no verb `%s%s%s`; did you mean `%s%s%s`?", prefix, space, word,
			       prefix, space, near);
	return err_set(err, ERR_INVALID, "no verb `%s%s%s`; `ppce --help` lists them", prefix, space, word);
}

static int unknown_option(const struct cli_verb *v, const char *word, struct err *err)
{
	const char *list[CLI_OPTIONS_MAX + 4];
	size_t n = 0;
	for (size_t i = 0; i < CLI_OPTIONS_MAX && v->options[i].name; i++)
		list[n++] = v->options[i].name;
	list[n++] = "dir";
	list[n++] = "output";
	list[n++] = "help";
	list[n] = NULL;
	const char *near = text_nearest(word[1] == '-' ? word + 2 : word + 1, list);
	if (near)
		return err_set(err, ERR_INVALID, "no option %s; did you mean --%s?", word, near);
	return err_set(err, ERR_INVALID, "no option %s", word);
}

/* One option word with its value, from `w` at *i. */
static int take_option(struct cli *c, const struct words *w, unsigned *i, struct err *err)
{
	const char *word = w->word[*i], *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->verb->options[k].name; k++) {
		const struct cli_option *o = &c->verb->options[k];
		if (word[1] != '-' || strlen(o->name) != len - 2 || strncmp(o->name, word + 2, len - 2) != 0)
			continue;
		if (c->values[k])
			return err_set(err, ERR_INVALID, "--%s was given twice", o->name);
		if (!o->value && equals)
			return err_set(err, ERR_INVALID, "--%s takes no value", o->name);
		if (!o->value)
			c->values[k] = "";
		else if (equals)
			c->values[k] = equals + 1;
		else if (*i + 1 < w->n && strcmp(w->word[*i + 1], "--") != 0)
			c->values[k] = w->word[++*i];
		else
			return err_set(err, ERR_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->value);
		return 0;
	}
	return unknown_option(c->verb, word, err);
}

/* Are there as many arguments as the verb's "NAME FILE" or "[APP]" says? Names the first one missing. */
static int check_args(const struct cli *c, struct err *err)
{
	const char *p = c->verb->args;
	unsigned max = 0, min = 0;
	while (p && *p) {
		size_t len = strcspn(p, " ");
		if (*p != '[' && min++ == c->nargs)
			return err_set(err, ERR_INVALID, "%.*s is missing: ppce %s %s", (int)len, p, c->verb->name,
				       c->verb->args);
		max++;
		p += len + strspn(p + len, " ");
	}
	if (c->nargs > max)
		return err_set(err, ERR_INVALID, "`%s` is one argument too many", c->args[max]);
	return 0;
}

static int fill(struct cli *c, const struct words *w, unsigned first, struct err *err)
{
	bool literal = false;
	for (unsigned i = first; i < w->n; i++) {
		const char *word = w->word[i];
		if (!literal && strcmp(word, "--") == 0) {
			literal = true;
		} else if (!literal && word[0] == '-' && word[1]) {
			if (take_option(c, w, &i, err) < 0)
				return -1;
		} else if (c->nargs == CLI_ARGS_MAX) {
			return err_set(err, ERR_INVALID, "`%s` is one argument too many", word);
		} else {
			c->args[c->nargs++] = word;
		}
	}
	if (check_args(c, err) < 0)
		return -1;
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->verb->options[k].name; k++)
		if (c->verb->options[k].required && !c->values[k])
			return err_set(err, ERR_INVALID, "--%s %s is missing: %s", c->verb->options[k].name,
				       c->verb->options[k].value, c->verb->options[k].help);
	return 0;
}

int cli_parse(struct cli *c, int argc, char **argv, struct err *err)
{
	struct words w = { 0 };
	const char *dir = getenv("PPCE_DIR");
	unsigned used = 0;

	c->dir = dir && *dir ? dir : ".";
	if (split(c, argc, argv, &w, err) < 0)
		return -1;
	if (w.version) {
		w.word[0] = "version";
		w.n = 1;
	}
	if (w.n > 0 && strcmp(w.word[0], "help") == 0) {
		w.help = true;
		memmove(&w.word[0], &w.word[1], --w.n * sizeof *w.word);
	}
	if (w.n == 0 && w.help) {
		cli_help_all();
		return 1;
	}
	if (w.n == 0)
		return err_set(err, ERR_INVALID, "a verb is missing; `ppce --help` lists them");
	const struct cli_verb *v = find_verb(&w, &used);
	if (w.help && (v || is_group(w.word[0]))) {
		if (v)
			cli_help_verb(v);
		else
			cli_help_group(w.word[0]);
		return 1;
	}
	if (!v)
		return unknown_verb(&w, err);
	c->verb = v;
	return fill(c, &w, used, err);
}

const char *cli_value(const struct cli *c, const char *option)
{
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->verb->options[k].name; k++)
		if (strcmp(c->verb->options[k].name, option) == 0)
			return c->values[k];
	return NULL;
}

int cli_number(const struct cli *c, const char *option, long long min, long long max, long long fallback,
	       long long *out, struct err *err)
{
	const char *text = cli_value(c, option);
	char *end;
	*out = fallback;
	if (!text)
		return 0;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max)
		return err_set(err, ERR_INVALID, "--%s must be a number from %lld to %lld, not `%s`", option, min, max,
			       text);
	*out = n;
	return 0;
}

int cli_choice(const char *what, const char *value, const char *const *choices, struct err *err)
{
	char list[128] = "";
	size_t len = 0;
	if (!value)
		return 0;
	for (const char *const *p = choices; *p; p++) {
		if (strcmp(*p, value) == 0)
			return 0;
		int n = snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", *p);
		if (n > 0 && (size_t)n < sizeof list - len)
			len += (size_t)n;
	}
	const char *near = text_nearest(value, choices);
	if (near)
		return err_set(err, ERR_INVALID, "%s cannot be `%s`; did you mean %s? (%s)", what, value, near, list);
	return err_set(err, ERR_INVALID, "%s cannot be `%s`, only one of %s", what, value, list);
}
