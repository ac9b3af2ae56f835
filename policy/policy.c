/* SPDX-License-Identifier: MIT */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

static int read_policy(struct policy *p, const char *name, const struct yaml_value *root, struct err *err)
{
	static const char *const keys[] = { "axes", "classes", "automata", NULL };
	if (!root)
		return err_set(err, ERR_CONFIG, "%s:1: empty; a policy needs axes", name);
	if (yaml_check_keys(root, keys, err) < 0)
		return -1;
	const struct yaml_value *axes = yaml_get(root, "axes");
	if (!axes)
		return yaml_error(root, err, "axes: missing");
	if (policy_read_axes(p, axes, err) < 0 || policy_read_classes(p, yaml_get(root, "classes"), err) < 0)
		return -1;
	return policy_read_automata(p, yaml_get(root, "automata"), err);
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
	for (size_t i = 0; i < p->naxes; i++)
		axis_free(&p->axes[i]);
	free(p->classes);
	for (size_t i = 0; i < p->nautomata; i++)
		free(p->automata[i].transitions);
	free(p->automata);
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

static const struct policy_class *find_class(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nclasses; i++)
		if (!strcmp(p->classes[i].name, name))
			return &p->classes[i];
	return NULL;
}

const struct label *policy_class_clearance(const struct policy *p, const char *class_name)
{
	const struct policy_class *c = find_class(p, class_name);
	return c ? &c->clearance : NULL;
}

bool policy_class_breaks_glass(const struct policy *p, const char *class_name, const char *category)
{
	const struct policy_class *c = find_class(p, class_name);
	for (size_t i = 0; c && i < policy_categories(p); i++)
		if (!strcmp(policy_category(p, i), category))
			return c->break_glass >> i & 1;
	return false;
}

bool policy_class_officer(const struct policy *p, const char *class_name)
{
	const struct policy_class *c = find_class(p, class_name);
	return c && c->officer;
}

size_t policy_categories(const struct policy *p)
{
	return p->owners ? p->owners->size : 0;
}

const char *policy_category(const struct policy *p, size_t i)
{
	return p->owners->values[i];
}
