/* SPDX-License-Identifier: MIT
 *
 * Results for people (a table) and for programs (JSON). Everything shown may have been chosen by somebody else: names,
 * reasons, log lines; in a table control characters appear as '?', so that they cannot drive the terminal.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void cli_note(const struct cli *c, const char *fmt, ...)
{
	va_list ap;
	if (c->json)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* Control characters (C0, DEL, and C1 in UTF-8) become '?', in place. */
static void make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
}

void cli_print_text(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		return;
	make_printable(copy);
	puts(copy);
	free(copy);
}

void cli_print_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
	if (text)
		puts(text);
	free(text);
}

/* The member named by "a.b". */
static const json_t *member(const json_t *row, const char *path)
{
	char key[64];
	for (;;) {
		size_t len = strcspn(path, ".");
		snprintf(key, sizeof key, "%.*s", (int)len, path);
		row = json_object_get(row, key);
		if (!row || !path[len])
			return row;
		path += len + 1;
	}
}

/* One value as text of the table; malloc'd. */
static char *cell(const json_t *value, unsigned cut)
{
	char *text = NULL;
	if (json_is_string(value))
		text = strdup(*json_string_value(value) ? json_string_value(value) : "-");
	else if (json_is_boolean(value))
		text = strdup(json_is_true(value) ? "yes" : "no");
	else if (json_is_real(value)) {
		if (asprintf(&text, "%.1f", json_real_value(value)) < 0)
			text = NULL;
	} else if (value && !json_is_null(value))
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	else
		text = strdup("-");
	if (!text)
		return NULL;
	make_printable(text);
	if (cut && strlen(text) > cut)
		text[cut] = '\0';
	return text;
}

/* Characters on the screen, counting UTF-8 sequences as one. */
static int width(const char *text)
{
	int n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_padded(const char *text, int to)
{
	fputs(text, stdout);
	for (int i = width(text); i < to; i++)
		putchar(' ');
}

enum { COLUMNS_MAX = 16 };

static size_t measure(json_t *rows, const struct cli_column *columns, int *widths)
{
	size_t n = 0, i;
	json_t *row;
	for (; n < COLUMNS_MAX && columns[n].key; n++) {
		widths[n] = width(columns[n].title);
		json_array_foreach (rows, i, row) {
			char *text = cell(member(row, columns[n].key), columns[n].cut);
			if (text && width(text) > widths[n])
				widths[n] = width(text);
			free(text);
		}
	}
	return n;
}

void cli_print_rows(const struct cli *c, json_t *rows, const struct cli_column *columns)
{
	int widths[COLUMNS_MAX];
	size_t i, n;
	json_t *row;

	if (c->json) {
		cli_print_json(rows);
		return;
	}
	n = measure(rows, columns, widths);
	fputs(cli_color() ? "\033[1m" : "", stdout);
	for (size_t k = 0; k < n; k++)
		print_padded(columns[k].title, k + 1 < n ? widths[k] + 2 : 0);
	puts(cli_color() ? "\033[0m" : "");
	json_array_foreach (rows, i, row) {
		for (size_t k = 0; k < n; k++) {
			char *text = cell(member(row, columns[k].key), columns[k].cut);
			print_padded(text ? text : "?", k + 1 < n ? widths[k] + 2 : 0);
			free(text);
		}
		putchar('\n');
	}
}

void cli_print_object(const struct cli *c, json_t *object)
{
	const char *key;
	json_t *value;
	int longest = 0;

	if (c->json) {
		cli_print_json(object);
		return;
	}
	json_object_foreach (object, key, value)
		longest = width(key) > longest ? width(key) : longest;
	json_object_foreach (object, key, value) {
		char *text = cell(value, 0);
		print_padded(key, longest + 2);
		puts(text ? text : "?");
		free(text);
	}
}
