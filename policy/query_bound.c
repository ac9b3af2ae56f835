/* SPDX-License-Identifier: MIT
 *
 * The least label, of those that can be told without a look at the rows, that is above each row that might be read. */
#include <string.h>

#include "policy/internal.h"
#include "policy/queries.h"

#define MARK "what.the-row_says" /* stands for each column; a value that says the same makes the bound no lower */
#define MARKED_SIZE (4 * PPCE_LABEL_SIZE)

static const char *mark_column(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return MARK;
}

/* Does the set take tags of this category? Members are MARK/category; one of another form takes all. */
static bool takes_category(const char *set, const char *category)
{
	static const char form[] = MARK "/";
	size_t len = strlen(category);
	for (const char *at = set + 1; *at && *at != '}'; at += *at == ',') {
		size_t n = strcspn(at, ",}");
		const char *rest = at + sizeof form - 1;
		if (n < sizeof form || memcmp(at, form, sizeof form - 1) != 0 || !strncmp(rest, MARK, sizeof MARK - 1))
			return true;
		if (n - (sizeof form - 1) == len && !memcmp(rest, category, len))
			return true;
		at += n;
	}
	return false;
}

static void take_tags(const struct policy *p, const char *set, const struct label *ceiling, struct label *out)
{
	struct label_tag tag;
	if (label_all_owners(p, ceiling))
		out->axis[p->owners->at] = ceiling->axis[p->owners->at];
	for (size_t at = 0; label_next_tag(ceiling, &at, &tag);)
		if (*set != '{' || takes_category(set, tag.category))
			label_add_tag(p, out, tag.owner, tag.category, out, NULL); /* fits: it is part of the ceiling */
}

/* Out := the ceiling on the axis of this part of the text; false if there is no such axis. */
static bool take_axis(const struct policy *p, const char *part, const struct label *ceiling, struct label *out)
{
	size_t len = strcspn(part, "=");
	for (size_t i = 0; i < p->naxes; i++) {
		if (strncmp(p->axes[i].name, part, len) != 0 || p->axes[i].name[len] || !part[len])
			continue;
		if (&p->axes[i] == p->owners)
			take_tags(p, part + len + 1, ceiling, out);
		else
			out->axis[i] = ceiling->axis[i];
		return true;
	}
	return false;
}

/* The next `axis=value` of the text, cut out of it; NULL at the end. */
static char *next_part(char **text)
{
	char *part = *text, *end = part;
	bool in_set = false;
	if (!part)
		return NULL;
	for (; *end && (in_set || *end != ','); end++)
		in_set = *end == '{' || (in_set && *end != '}');
	*text = *end ? end + 1 : NULL;
	*end = '\0';
	return part;
}

static int split_text(const struct policy *p, char *text, const struct label *ceiling, struct label *out)
{
	char fixed[MARKED_SIZE] = "";
	struct label constant;
	for (char *part; (part = next_part(&text));) {
		if (!strstr(part, MARK)) {
			strcat(fixed, *fixed ? "," : "");
			strcat(fixed, part); /* not longer than the text */
		} else if (!take_axis(p, part, ceiling, out)) {
			return -1;
		}
	}
	if (!*fixed)
		return 0;
	if (label_parse(p, fixed, &constant, NULL) < 0)
		return -1;
	label_join(p, out, &constant, out);
	return 0;
}

void query_template_bound(const struct query_template *t, const struct policy *p, const struct query_values *v,
			  const struct label *ceiling, struct label *out)
{
	char text[MARKED_SIZE];
	struct query_values values = *v;
	values.column = mark_column;
	label_bottom(p, out);
	if ((t->n == 1 && t->part[0].kind == REF_COLUMN) ||
	    query_template_text(t, &values, text, sizeof text, NULL) < 0 || split_text(p, text, ceiling, out) < 0)
		*out = *ceiling;
	else if (!label_leq(p, out, ceiling)) /* what all rows have is too high already */
		label_bottom(p, out);
}
