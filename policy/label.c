/* SPDX-License-Identifier: MIT */
#include "policy/internal.h"

#include <string.h>

#include "lib/rest.h" /* text_nearest */

/* Every function here writes whole labels, with zeros where nothing stands: no stack's bytes travel in a label. */
void label_bottom(const struct policy *p, struct label *out)
{
	(void)p; /* zeros are the bottom of every kind */
	memset(out, 0, sizeof *out);
}

void label_top(const struct policy *p, struct label *out)
{
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < p->naxes; i++)
		axis_ops(&p->axes[i])->top(&p->axes[i], out);
}

const struct axis *label_first_above(const struct policy *p, const struct label *a, const struct label *b)
{
	for (size_t i = 0; i < p->naxes; i++)
		if (!axis_ops(&p->axes[i])->leq(&p->axes[i], a, b))
			return &p->axes[i];
	return NULL;
}

bool label_leq(const struct policy *p, const struct label *a, const struct label *b)
{
	return !label_first_above(p, a, b);
}

/* Each value has one representation, in every kind. */
bool label_equal(const struct policy *p, const struct label *a, const struct label *b)
{
	return !memcmp(a->axis, b->axis, p->naxes * sizeof *a->axis) && a->tags_len == b->tags_len &&
	       !memcmp(a->tags, b->tags, a->tags_len);
}

/* Into a copy first: `out` may be one of the arguments. */
void label_join(const struct policy *p, const struct label *a, const struct label *b, struct label *out)
{
	struct label result = { 0 };
	for (size_t i = 0; i < p->naxes; i++)
		axis_ops(&p->axes[i])->join(&p->axes[i], a, b, &result);
	*out = result;
}

void label_meet(const struct policy *p, const struct label *a, const struct label *b, struct label *out)
{
	struct label result = { 0 };
	for (size_t i = 0; i < p->naxes; i++)
		axis_ops(&p->axes[i])->meet(&p->axes[i], a, b, &result);
	*out = result;
}

static int find_axis(const struct policy *p, const char *name, size_t *out, struct err *err)
{
	const char *names[POLICY_AXES_MAX + 1] = { NULL };
	for (size_t i = 0; i < p->naxes; i++) {
		if (!strcmp(p->axes[i].name, name)) {
			*out = i;
			return 0;
		}
		names[i] = p->axes[i].name;
	}
	const char *near = text_nearest(name, names);
	if (near)
		return err_set(err, ERR_INVALID, "label: no axis %.40s; did you mean %s?", name, near);
	return err_set(err, ERR_INVALID, "label: no axis \"%.40s\" in the policy", name);
}

/* The end of one `axis=value`: the next comma outside braces, or the NUL. */
static char *part_end(char *part)
{
	bool in_set = false;
	for (; *part && (in_set || *part != ','); part++) {
		if (*part == '{')
			in_set = true;
		else if (*part == '}')
			in_set = false;
	}
	return part;
}

/* One `axis=value`, cut out and writable. `seen` has a bit for each axis that was given already. */
static int parse_part(const struct policy *p, char *part, struct label *out, unsigned *seen, struct err *err)
{
	size_t i = 0;
	char *value = strchr(part, '=');
	if (!value)
		return err_set(err, ERR_INVALID, "label: expected axis=value, as in %s=%s, not \"%.40s\"",
			       p->axes[0].name, p->axes[0].values[0], part);
	*value++ = '\0';
	if (find_axis(p, part, &i, err) < 0)
		return -1;
	if (*seen & 1u << i)
		return err_set(err, ERR_INVALID, "label: %s is given twice", p->axes[i].name);
	*seen |= 1u << i;
	return axis_ops(&p->axes[i])->parse(&p->axes[i], value, out, err);
}

int label_parse(const struct policy *p, const char *text, struct label *out, struct err *err)
{
	char copy[PPCE_LABEL_SIZE];
	struct label result = { 0 };
	unsigned seen = 0;
	size_t len = strnlen(text, sizeof copy);
	if (len == sizeof copy)
		return err_set(err, ERR_INVALID, "label: longer than %zu bytes", sizeof copy - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (char *part = copy, *next; part; part = next) {
		char *end = part_end(part);
		next = *end ? end + 1 : NULL;
		*end = '\0';
		if (parse_part(p, part, &result, &seen, err) < 0)
			return -1;
	}
	*out = result;
	return 0;
}

static void format_axis(const struct axis *x, const struct label *l, struct axis_text *t)
{
	if (t->len)
		axis_text_add(t, ",");
	axis_text_add(t, x->name);
	axis_text_add(t, "=");
	axis_ops(x)->format(x, l, t);
}

int label_format(const struct policy *p, const struct label *l, char out[PPCE_LABEL_SIZE], struct err *err)
{
	struct axis_text t = { .out = out, .size = PPCE_LABEL_SIZE };
	out[0] = '\0';
	for (size_t i = 0; i < p->naxes; i++)
		if (!axis_ops(&p->axes[i])->low(&p->axes[i], l))
			format_axis(&p->axes[i], l, &t);
	if (!t.len)
		format_axis(&p->axes[0], l, &t);
	if (t.len < t.size)
		return 0;
	out[0] = '\0';
	return err_set(err, ERR_TOO_LARGE, "label: its text is longer than %d bytes", PPCE_LABEL_SIZE - 1);
}

static uint8_t *put_number(uint8_t *at, uint64_t n, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*at++ = (uint8_t)(n >> 8 * i);
	return at;
}

static uint64_t get_number(const uint8_t *at, size_t bytes)
{
	uint64_t n = 0;
	for (size_t i = 0; i < bytes; i++)
		n |= (uint64_t)at[i] << 8 * i;
	return n;
}

/* A word of 8 bytes per axis, the length of the tags in 2 bytes, the tags; little-endian. */
size_t label_encode(const struct policy *p, const struct label *l, uint8_t out[LABEL_ENCODED_MAX])
{
	uint8_t *at = out;
	for (size_t i = 0; i < p->naxes; i++)
		at = put_number(at, l->axis[i], 8);
	at = put_number(at, l->tags_len, 2);
	memcpy(at, l->tags, l->tags_len);
	return (size_t)(at - out) + l->tags_len;
}

static int check_axes(const struct policy *p, const struct label *l, struct err *err)
{
	for (size_t i = 0; i < p->naxes; i++)
		if (!axis_ops(&p->axes[i])->valid(&p->axes[i], l))
			return err_set(err, ERR_INVALID, "label: the encoded value of %s is none", p->axes[i].name);
	if (l->tags_len && !p->owners)
		return err_set(err, ERR_INVALID, "label: tags, but the policy has no axis of owners");
	return 0;
}

int label_decode(const struct policy *p, const uint8_t *bytes, size_t len, struct label *out, struct err *err)
{
	struct label result = { 0 };
	size_t head = 8 * p->naxes + 2;
	if (len < head || len > head + LABEL_TAGS_SIZE || get_number(bytes + head - 2, 2) != len - head)
		return err_set(err, ERR_INVALID, "label: %zu bytes are not an encoded label", len);
	for (size_t i = 0; i < p->naxes; i++)
		result.axis[i] = get_number(bytes + 8 * i, 8);
	result.tags_len = (uint16_t)(len - head);
	memcpy(result.tags, bytes + head, len - head);
	if (check_axes(p, &result, err) < 0)
		return -1;
	*out = result;
	return 0;
}
