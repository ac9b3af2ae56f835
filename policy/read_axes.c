/* SPDX-License-Identifier: MIT
 *
 * The `axes` of the policy file. */
#include <string.h>

#include "policy/internal.h"

static int read_axis(struct axis *x, const struct yaml_value *key, const struct yaml_value *v, struct err *err)
{
	static const char *const kinds[] = { "chain", "subset", "hasse", "owners", NULL };
	const char *name = yaml_text(key);
	if (!axis_name_valid(name))
		return yaml_error(key, err,
				  "axes: \"%.40s\" is not a name: a letter, then up to 31 letters, digits or _", name);
	memcpy(x->name, name, strlen(name) + 1);
	if (yaml_kind(v) != YAML_MAP || yaml_count(v) != 1)
		return yaml_error(
			v, err,
			"axes: %s: expected one of {chain: [...]}, {subset: [...]}, {hasse: {...}}, {owners: [...]}",
			name);
	if (yaml_check_keys(v, kinds, err) < 0)
		return -1;
	if (!axis_kind_find(yaml_text(yaml_key(v, 0)), &x->kind))
		return yaml_error(v, err, "axes: %s: unknown kind", name);
	return axis_ops(x)->load(x, yaml_member(v, 0), err);
}

/* A label has room for the tags of one axis. */
static int note_owners(struct policy *p, const struct axis *x, const struct yaml_value *key, struct err *err)
{
	if (x->kind != AXIS_OWNERS)
		return 0;
	if (p->owners)
		return yaml_error(key, err, "axes: %s: %s is an owners axis already; there can be one", x->name,
				  p->owners->name);
	p->owners = x;
	return 0;
}

/* Every label must fit its text form, or a label could be computed that cannot be sent. */
static int check_text_size(const struct policy *p, const struct yaml_value *axes, struct err *err)
{
	size_t len = p->naxes - 1; /* commas */
	for (size_t i = 0; i < p->naxes; i++) {
		const struct axis *x = &p->axes[i];
		len += strlen(x->name) + 1 + axis_ops(x)->longest(x);
	}
	if (len >= PPCE_LABEL_SIZE)
		return yaml_error(axes, err,
				  "axes: the longest label would have %zu bytes, more than %d: use shorter names", len,
				  PPCE_LABEL_SIZE - 1);
	return 0;
}

int policy_read_axes(struct policy *p, const struct yaml_value *axes, struct err *err)
{
	if (yaml_kind(axes) != YAML_MAP || !yaml_count(axes))
		return yaml_error(axes, err,
				  "axes: expected at least one axis, as in level: {chain: [PUBLIC, SECRET]}");
	if (yaml_count(axes) > POLICY_AXES_MAX)
		return yaml_error(axes, err, "axes: %zu of them, at most %d", yaml_count(axes), POLICY_AXES_MAX);
	for (size_t i = 0; i < yaml_count(axes); i++) {
		struct axis *x = &p->axes[i];
		x->at = i;
		p->naxes++; /* first, so that policy_free sees a half-read one */
		if (read_axis(x, yaml_key(axes, i), yaml_member(axes, i), err) < 0 ||
		    note_owners(p, x, yaml_key(axes, i), err) < 0)
			return -1;
	}
	return check_text_size(p, axes, err);
}
