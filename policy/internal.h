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
};

struct policy {
	size_t naxes; /* at least 1 */
	struct axis axes[POLICY_AXES_MAX];
	size_t nclasses;
	struct policy_class *classes;
};

/* The first axis on which a is not <= b, or NULL if a <= b. */
const struct axis *label_first_above(const struct policy *p, const struct label *a, const struct label *b);

#endif
