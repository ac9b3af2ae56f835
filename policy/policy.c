/* SPDX-License-Identifier: MIT */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "lib/yaml.h"

/* Kinds of the full design that this version does not have: worth an answer of their own. */
static bool is_planned_kind(const char *key)
{
	return !strcmp(key, "hasse") || !strcmp(key, "owners");
}

static int add_value(struct axis *x, const struct yaml_value *v, struct err *err)
{
	if (yaml_kind(v) != YAML_SCALAR)
		return yaml_error(v, err, "axes: %s: expected a name, not a list or a map", x->name);
	const char *text = yaml_text(v);
	if (!axis_name_valid(text))
		return yaml_error(v, err,
				  "axes: %s: \"%.40s\" is not a name: a letter, then up to 31 letters, digits or _",
				  x->name, text);
	for (size_t i = 0; i < x->size; i++)
		if (!strcmp(x->values[i], text))
			return yaml_error(v, err, "axes: %s: %s is given twice", x->name, text);
	x->values[x->size] = strdup(text);
	if (!x->values[x->size])
		return err_set(err, ERR_INTERNAL, "out of memory");
	x->size++;
	return 0;
}

static int read_values(struct axis *x, const struct yaml_value *list, struct err *err)
{
	const struct axis_ops *ops = axis_ops(x);
	if (yaml_kind(list) != YAML_LIST)
		return yaml_error(list, err, "axes: %s: expected %s: [NAME, NAME, ...]", x->name, ops->key);
	size_t n = yaml_count(list);
	if (!n || n > ops->values_max)
		return yaml_error(list, err, "axes: %s: %zu values; a %s has 1 to %zu", x->name, n, ops->key,
				  ops->values_max);
	x->values = calloc(n + 1, sizeof *x->values);
	if (!x->values)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (add_value(x, yaml_item(list, i), err) < 0)
			return -1;
	return 0;
}

static int read_axis(struct axis *x, const struct yaml_value *key, const struct yaml_value *v, struct err *err)
{
	static const char *const kinds[] = { "chain", "subset", NULL };
	const char *name = yaml_text(key);
	if (!axis_name_valid(name))
		return yaml_error(key, err,
				  "axes: \"%.40s\" is not a name: a letter, then up to 31 letters, digits or _", name);
	memcpy(x->name, name, strlen(name) + 1);
	if (yaml_kind(v) != YAML_MAP || yaml_count(v) != 1)
		return yaml_error(v, err, "axes: %s: expected one of {chain: [...]} and {subset: [...]}", name);
	const struct yaml_value *kind = yaml_key(v, 0);
	if (is_planned_kind(yaml_text(kind)))
		return yaml_error(kind, err,
				  "axes: %s: the kind %s is not supported by this version; use chain or subset", name,
				  yaml_text(kind));
	if (yaml_check_keys(v, kinds, err) < 0)
		return -1;
	if (!axis_kind_find(yaml_text(kind), &x->kind))
		return yaml_error(kind, err, "axes: %s: unknown kind", name);
	return read_values(x, yaml_member(v, 0), err);
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

static int read_axes(struct policy *p, const struct yaml_value *axes, struct err *err)
{
	if (yaml_kind(axes) != YAML_MAP || !yaml_count(axes))
		return yaml_error(axes, err,
				  "axes: expected at least one axis, as in level: {chain: [PUBLIC, SECRET]}");
	if (yaml_count(axes) > POLICY_AXES_MAX)
		return yaml_error(axes, err, "axes: %zu of them, at most %d", yaml_count(axes), POLICY_AXES_MAX);
	for (size_t i = 0; i < yaml_count(axes); i++) {
		p->naxes++; /* first, so that policy_free sees a half-read one */
		if (read_axis(&p->axes[i], yaml_key(axes, i), yaml_member(axes, i), err) < 0)
			return -1;
	}
	return check_text_size(p, axes, err);
}

static int read_class(struct policy *p, const struct yaml_value *key, const struct yaml_value *v, struct err *err)
{
	static const char *const keys[] = { "clearance", NULL };
	struct policy_class *c = &p->classes[p->nclasses];
	const char *name = yaml_text(key);
	struct err why;
	if (!class_valid(name))
		return yaml_error(key, err,
				  "classes: \"%.40s\" is not a name: a letter, then up to 31 letters, digits, _ or -",
				  name);
	if (yaml_check_keys(v, keys, err) < 0)
		return -1;
	const struct yaml_value *clearance = yaml_get(v, "clearance");
	if (!clearance || yaml_kind(clearance) != YAML_SCALAR)
		return yaml_error(v, err, "classes: %s: expected {clearance: \"LABEL\"}", name);
	if (label_parse(p, yaml_text(clearance), &c->clearance, &why) < 0)
		return yaml_error(clearance, err, "classes: %s: %s", name, why.text);
	memcpy(c->name, name, strlen(name) + 1);
	p->nclasses++;
	return 0;
}

static int read_classes(struct policy *p, const struct yaml_value *classes, struct err *err)
{
	if (!classes || (yaml_kind(classes) == YAML_SCALAR && !*yaml_text(classes)))
		return 0;
	if (yaml_kind(classes) != YAML_MAP)
		return yaml_error(classes, err, "classes: expected NAME: {clearance: \"LABEL\"} lines");
	p->classes = calloc(yaml_count(classes) + 1, sizeof *p->classes);
	if (!p->classes)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < yaml_count(classes); i++)
		if (read_class(p, yaml_key(classes, i), yaml_member(classes, i), err) < 0)
			return -1;
	return 0;
}

static int read_policy(struct policy *p, const char *name, const struct yaml_value *root, struct err *err)
{
	static const char *const keys[] = { "axes", "classes", NULL };
	if (!root)
		return err_set(err, ERR_CONFIG, "%s:1: empty; a policy needs axes", name);
	if (yaml_check_keys(root, keys, err) < 0)
		return -1;
	const struct yaml_value *axes = yaml_get(root, "axes");
	if (!axes)
		return yaml_error(root, err, "axes: missing");
	if (read_axes(p, axes, err) < 0)
		return -1;
	return read_classes(p, yaml_get(root, "classes"), err);
}

/* Takes the file over; NULL passes the error of its parse on. */
static struct policy *from_file(const char *name, struct yaml_file *file, struct err *err)
{
	if (!file)
		return NULL;
	struct policy *p = calloc(1, sizeof *p);
	if (!p)
		err_set(err, ERR_INTERNAL, "out of memory");
	if (p && read_policy(p, name, yaml_root(file), err) < 0) {
		policy_free(p);
		p = NULL;
	}
	yaml_close(file);
	return p;
}

struct policy *policy_parse(const char *name, const char *text, size_t len, struct err *err)
{
	return from_file(name, yaml_parse(name, text, len, err), err);
}

struct policy *policy_load(const char *path, struct err *err)
{
	return from_file(path, yaml_load(path, err), err);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->naxes; i++) {
		for (size_t j = 0; j < p->axes[i].size; j++)
			free(p->axes[i].values[j]);
		free(p->axes[i].values);
	}
	free(p->classes);
	free(p);
}

size_t policy_axes(const struct policy *p)
{
	return p->naxes;
}

const char *policy_axis_name(const struct policy *p, size_t axis)
{
	return p->axes[axis].name;
}

enum axis_kind policy_axis_kind(const struct policy *p, size_t axis)
{
	return p->axes[axis].kind;
}

size_t policy_axis_size(const struct policy *p, size_t axis)
{
	return p->axes[axis].size;
}

const char *policy_axis_value(const struct policy *p, size_t axis, size_t i)
{
	return p->axes[axis].values[i];
}

size_t policy_classes(const struct policy *p)
{
	return p->nclasses;
}

const char *policy_class_name(const struct policy *p, size_t i)
{
	return p->classes[i].name;
}

const struct label *policy_class_clearance(const struct policy *p, const char *class_name)
{
	for (size_t i = 0; i < p->nclasses; i++)
		if (!strcmp(p->classes[i].name, class_name))
			return &p->classes[i].clearance;
	return NULL;
}
