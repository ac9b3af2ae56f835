/* SPDX-License-Identifier: MIT
 *
 * The `classes` of the policy file. */
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "policy/internal.h"

static int read_clearance(const struct policy *p, struct policy_class *c, const struct yaml_value *v, struct err *err)
{
	struct err why;
	const struct yaml_value *clearance = yaml_get(v, "clearance");
	if (!clearance || yaml_kind(clearance) != YAML_SCALAR)
		return yaml_error(v, err, "classes: %s: expected {clearance: \"LABEL\"}", c->name);
	if (label_parse(p, yaml_text(clearance), &c->clearance, &why) < 0)
		return yaml_error(clearance, err, "classes: %s: %s", c->name, why.text);
	return 0;
}

static int add_category(const struct policy *p, struct policy_class *c, const struct yaml_value *v, struct err *err)
{
	if (yaml_kind(v) != YAML_SCALAR)
		return yaml_error(v, err, "classes: %s: break_glass: expected a category", c->name);
	for (size_t i = 0; i < policy_categories(p); i++) {
		if (!strcmp(policy_category(p, i), yaml_text(v))) {
			c->break_glass |= UINT64_C(1) << i;
			return 0;
		}
	}
	return yaml_error(v, err, "classes: %s: break_glass: no category \"%.40s\" on the axis of owners", c->name,
			  yaml_text(v));
}

static int read_break_glass(const struct policy *p, struct policy_class *c, const struct yaml_value *v, struct err *err)
{
	if (!v)
		return 0;
	if (yaml_kind(v) != YAML_LIST)
		return yaml_error(v, err, "classes: %s: break_glass: expected [CATEGORY, ...]", c->name);
	if (!p->owners)
		return yaml_error(v, err, "classes: %s: break_glass: the policy has no axis of owners", c->name);
	for (size_t i = 0; i < yaml_count(v); i++)
		if (add_category(p, c, yaml_item(v, i), err) < 0)
			return -1;
	return 0;
}

static int read_officer(struct policy_class *c, const struct yaml_value *v, struct err *err)
{
	if (!v)
		return 0;
	const char *text = yaml_kind(v) == YAML_SCALAR ? yaml_text(v) : "";
	c->officer = !strcmp(text, "true");
	if (!c->officer && strcmp(text, "false") != 0)
		return yaml_error(v, err, "classes: %s: officer: expected true or false", c->name);
	return 0;
}

static int read_class(struct policy *p, const struct yaml_value *key, const struct yaml_value *v, struct err *err)
{
	static const char *const keys[] = { "clearance", "break_glass", "officer", NULL };
	struct policy_class *c = &p->classes[p->nclasses];
	const char *name = yaml_text(key);
	if (!class_valid(name))
		return yaml_error(key, err,
				  "classes: \"%.40s\" is not a name: a letter, then up to 31 letters, digits, _ or -",
				  name);
	memcpy(c->name, name, strlen(name) + 1);
	if (yaml_check_keys(v, keys, err) < 0 || read_clearance(p, c, v, err) < 0 ||
	    read_break_glass(p, c, yaml_get(v, "break_glass"), err) < 0 ||
	    read_officer(c, yaml_get(v, "officer"), err) < 0)
		return -1;
	p->nclasses++;
	return 0;
}

int policy_read_classes(struct policy *p, const struct yaml_value *classes, struct err *err)
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
