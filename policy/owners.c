/* SPDX-License-Identifier: MIT
 *
 * The owners axis: sets of tags owner/category, kept as their own canonical text (policy/label.h says why), plus ALL.
 * Operations are merges of two sorted lists, so that none needs more memory than a label.
 */
#include <string.h>

#include "lib/names.h"
#include "policy/internal.h"

#define ALL 1u /* the axis's word when the set is ALL */

struct span { /* one tag inside a text */
	const char *at;
	size_t len;
};

static bool is_all(const struct axis *x, const struct label *l)
{
	return l->axis[x->at] == ALL;
}

static void set_all(const struct axis *x, struct label *out)
{
	out->axis[x->at] = ALL;
	out->tags_len = 0;
}

/* The tag that starts at *at; false at the end. */
static bool next_span(const struct label *l, size_t *at, struct span *out)
{
	if (*at >= l->tags_len)
		return false;
	out->at = l->tags + *at;
	const char *comma = memchr(out->at, ',', l->tags_len - *at);
	out->len = comma ? (size_t)(comma - out->at) : l->tags_len - *at;
	*at += out->len + 1;
	return true;
}

/* The order of bytes, in which a shorter tag comes before one that continues it. */
static int compare(struct span a, struct span b)
{
	int c = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* False if it does not fit. `t` is above every tag of the set. */
static bool append(struct label *l, struct span t)
{
	size_t len = l->tags_len;
	size_t comma = len ? 1 : 0;
	if (len + comma + t.len > LABEL_TAGS_SIZE)
		return false;
	if (comma)
		l->tags[len++] = ',';
	memcpy(l->tags + len, t.at, t.len);
	l->tags_len = (uint16_t)(len + t.len);
	return true;
}

/* What a merge of two sets meets, in order: a tag of the left only, of the right only, or of both. */
enum side { LEFT, RIGHT, BOTH, END };

struct merge {
	const struct label *a, *b;
	size_t a_at, b_at;
	struct span a_tag, b_tag;
	bool a_more, b_more;
};

static void merge_start(struct merge *m, const struct label *a, const struct label *b)
{
	*m = (struct merge){ .a = a, .b = b };
	m->a_more = next_span(a, &m->a_at, &m->a_tag);
	m->b_more = next_span(b, &m->b_at, &m->b_tag);
}

static enum side merge_next(struct merge *m, struct span *out)
{
	if (!m->a_more && !m->b_more)
		return END;
	int c = !m->a_more ? 1 : !m->b_more ? -1 : compare(m->a_tag, m->b_tag);
	*out = c <= 0 ? m->a_tag : m->b_tag;
	if (c <= 0)
		m->a_more = next_span(m->a, &m->a_at, &m->a_tag);
	if (c >= 0)
		m->b_more = next_span(m->b, &m->b_at, &m->b_tag);
	return c < 0 ? LEFT : c > 0 ? RIGHT : BOTH;
}

static bool owners_leq(const struct axis *x, const struct label *a, const struct label *b)
{
	struct merge m;
	struct span t;
	if (is_all(x, b))
		return true;
	if (is_all(x, a) || a->tags_len > b->tags_len)
		return false;
	merge_start(&m, a, b);
	for (enum side side; (side = merge_next(&m, &t)) != END;)
		if (side == LEFT)
			return false;
	return true;
}

/* A union that does not fit is ALL: no label lies between. */
static void owners_join(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	struct merge m;
	struct span t;
	if (is_all(x, a) || is_all(x, b)) {
		set_all(x, out);
		return;
	}
	merge_start(&m, a, b);
	while (merge_next(&m, &t) != END) {
		if (!append(out, t)) {
			set_all(x, out);
			return;
		}
	}
}

static void copy_tags(const struct label *from, struct label *to)
{
	memcpy(to->tags, from->tags, from->tags_len);
	to->tags_len = from->tags_len;
}

static void owners_meet(const struct axis *x, const struct label *a, const struct label *b, struct label *out)
{
	struct merge m;
	struct span t;
	if (is_all(x, a) || is_all(x, b)) {
		const struct label *low = is_all(x, a) ? b : a;
		out->axis[x->at] = low->axis[x->at];
		copy_tags(low, out);
		return;
	}
	merge_start(&m, a, b);
	for (enum side side; (side = merge_next(&m, &t)) != END;)
		if (side == BOTH)
			append(out, t); /* fits: it is part of a set that does */
}

/* owner/category; sizes and the slash only. */
static bool split(struct span t, struct label_tag *out)
{
	const char *slash = memchr(t.at, '/', t.len);
	if (!slash || memchr(t.at, '\0', t.len))
		return false;
	size_t owner = (size_t)(slash - t.at), category = t.len - owner - 1;
	if (owner >= sizeof out->owner || category >= sizeof out->category)
		return false;
	memcpy(out->owner, t.at, owner);
	out->owner[owner] = '\0';
	memcpy(out->category, slash + 1, category);
	out->category[category] = '\0';
	return true;
}

static bool has_value(const struct axis *x, const char *text)
{
	for (size_t i = 0; i < x->size; i++)
		if (!strcmp(x->values[i], text))
			return true;
	return false;
}

static bool owners_valid(const struct axis *x, const struct label *l)
{
	size_t at = 0;
	struct span t, before = { "", 0 };
	struct label_tag tag;
	if (is_all(x, l))
		return l->tags_len == 0;
	if (l->axis[x->at] || l->tags_len > LABEL_TAGS_SIZE || (l->tags_len && l->tags[l->tags_len - 1] == ','))
		return false;
	while (next_span(l, &at, &t)) {
		if (compare(before, t) >= 0 || !split(t, &tag) || !label_owner_valid(tag.owner) ||
		    !has_value(x, tag.category))
			return false;
		before = t;
	}
	return true;
}

static bool owners_low(const struct axis *x, const struct label *l)
{
	return !is_all(x, l) && l->tags_len == 0;
}

/* Puts a tag, which must not be part of `l`, into its place: 1 put, 0 was there, -1 does not fit. */
static int insert(struct label *l, struct span t)
{
	struct span s = { NULL, 0 };
	size_t at = 0, place = l->tags_len;
	while (next_span(l, &at, &s)) {
		int c = compare(t, s);
		if (!c)
			return 0;
		if (c < 0) {
			place = (size_t)(s.at - l->tags);
			break;
		}
	}
	if (place == l->tags_len)
		return append(l, t) ? 1 : -1;
	if (l->tags_len + t.len + 1 > LABEL_TAGS_SIZE)
		return -1;
	memmove(l->tags + place + t.len + 1, l->tags + place, l->tags_len - place);
	memcpy(l->tags + place, t.at, t.len);
	l->tags[place + t.len] = ',';
	l->tags_len = (uint16_t)(l->tags_len + t.len + 1);
	return 1;
}

static int parse_tag(const struct axis *x, const char *text, struct label *out, struct err *err)
{
	struct span t = { text, strlen(text) };
	struct label_tag tag;
	size_t category;
	if (!split(t, &tag) || !label_owner_valid(tag.owner))
		return err_set(err, ERR_INVALID, "label: %s takes tags owner/category, as in %s={p7/%s}, not \"%.40s\"",
			       x->name, x->name, x->values[0], text);
	if (axis_find_value(x, tag.category, &category, err) < 0)
		return -1;
	switch (insert(out, t)) {
	case 0:
		return err_set(err, ERR_INVALID, "label: %.100s is in %s twice", text, x->name);
	case -1:
		return err_set(err, ERR_INVALID, "label: the tags of %s have more than %d bytes", x->name,
			       LABEL_TAGS_SIZE);
	default:
		return 0;
	}
}

static int owners_parse(const struct axis *x, char *text, struct label *out, struct err *err)
{
	size_t len = strlen(text);
	if (!strcmp(text, "ALL")) {
		set_all(x, out);
		return 0;
	}
	if (len < 2 || text[0] != '{' || text[len - 1] != '}')
		return err_set(err, ERR_INVALID, "label: %s takes ALL or tags in braces, as in %s={p7/%s}", x->name,
			       x->name, x->values[0]);
	text[len - 1] = '\0';
	if (len == 2)
		return 0;
	for (char *tag = text + 1, *next; tag; tag = next) {
		next = strchr(tag, ',');
		if (next)
			*next++ = '\0';
		if (parse_tag(x, tag, out, err) < 0)
			return -1;
	}
	return 0;
}

static void owners_format(const struct axis *x, const struct label *l, struct axis_text *out)
{
	if (is_all(x, l)) {
		axis_text_add(out, "ALL");
		return;
	}
	axis_text_add(out, "{");
	axis_text_add_bytes(out, l->tags, l->tags_len);
	axis_text_add(out, "}");
}

static size_t owners_longest(const struct axis *x)
{
	(void)x; /* whatever the categories are called, owners' names fill the set */
	return strlen("{}") + LABEL_TAGS_SIZE;
}

const struct axis_ops axis_owners = {
	.key = "owners",
	.example = "[CATEGORY, CATEGORY, ...]",
	.values_max = POLICY_SET_MAX,
	.load = axis_read_values,
	.valid = owners_valid,
	.low = owners_low,
	.top = set_all,
	.leq = owners_leq,
	.join = owners_join,
	.meet = owners_meet,
	.parse = owners_parse,
	.format = owners_format,
	.longest = owners_longest,
};

bool label_owner_valid(const char *text)
{
	return user_valid(text);
}

static int check_tag(const struct policy *p, const char *owner, const char *category, struct err *err)
{
	size_t i;
	if (!p->owners)
		return err_set(err, ERR_INVALID, "label: the policy has no axis of owners");
	if (!label_owner_valid(owner))
		return err_set(err, ERR_INVALID, "label: \"%.64s\" is not the name of an owner", owner);
	return axis_find_value(p->owners, category, &i, err);
}

int label_add_tag(const struct policy *p, const struct label *l, const char *owner, const char *category,
		  struct label *out, struct err *err)
{
	struct label result = *l;
	char text[sizeof(struct label_tag)];
	if (check_tag(p, owner, category, err) < 0)
		return -1;
	struct axis_text t = { .out = text, .size = sizeof text };
	axis_text_add(&t, owner);
	axis_text_add(&t, "/");
	axis_text_add(&t, category);
	if (!is_all(p->owners, l) && insert(&result, (struct span){ text, t.len }) < 0)
		return err_set(err, ERR_TOO_LARGE, "label: with %s the tags of %s have more than %d bytes", text,
			       p->owners->name, LABEL_TAGS_SIZE);
	*out = result;
	return 0;
}

int label_add_owner(const struct policy *p, const struct label *l, const char *owner, struct label *out,
		    struct err *err)
{
	struct label result = *l;
	for (size_t i = 0; i < policy_categories(p); i++)
		if (label_add_tag(p, &result, owner, policy_category(p, i), &result, err) < 0)
			return -1;
	*out = result;
	return 0;
}

void label_drop_tags(const struct policy *p, const struct label *l, struct label *out)
{
	*out = *l;
	out->tags_len = 0;
	if (p->owners)
		out->axis[p->owners->at] = 0;
}

bool label_next_tag(const struct label *l, size_t *at, struct label_tag *out)
{
	struct span t;
	return next_span(l, at, &t) && split(t, out);
}

bool label_all_owners(const struct policy *p, const struct label *l)
{
	return p->owners && is_all(p->owners, l);
}
