/* SPDX-License-Identifier: MIT
 *
 * A parsed policy. Internal to policy/. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "policy/axis.h"
#include "policy/label.h"
#include "policy/policy.h"

struct policy_class {
	char name[PPCE_CLASS_SIZE];
	struct label clearance;
	uint64_t break_glass; /* bit i: category i of the owners axis */
	bool officer;
};

struct policy {
	size_t naxes; /* at least 1 */
	struct axis axes[POLICY_AXES_MAX];
	const struct axis *owners; /* one of them, or NULL */
	size_t nclasses;
	struct policy_class *classes;
};

/* The parts of the policy file. Errors: ERR_CONFIG; what was read so far is freed by policy_free. */
int policy_read_axes(struct policy *p, const struct yaml_value *axes, struct err *err);
/* `classes` may be NULL. */
int policy_read_classes(struct policy *p, const struct yaml_value *classes, struct err *err);

/* The first axis on which a is not <= b, or NULL if a <= b. */
const struct axis *label_first_above(const struct policy *p, const struct label *a, const struct label *b);

#endif
