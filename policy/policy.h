/* SPDX-License-Identifier: MIT
 *
 * The policy file: axes of the lattice and classes of users. Parsed once, immutable afterwards.
 *
 *   axes:
 *     level: {chain: [UNCLASSIFIED, SECRET]}     # lowest first
 *     comp:  {subset: [A, B, C]}
 *   classes:
 *     trainer: {clearance: "level=SECRET,comp={A}"}
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "policy/label.h"

enum axis_kind { AXIS_CHAIN, AXIS_SUBSET };

/* Names are [A-Za-z][A-Za-z0-9_]{0,31}. Errors: ERR_CONFIG, "file:line: ...". The caller frees with policy_free. */
struct policy *policy_parse(const char *name, const char *text, size_t len, struct err *err);
struct policy *policy_load(const char *path, struct err *err);
void policy_free(struct policy *p);

size_t policy_axes(const struct policy *p);
const char *policy_axis_name(const struct policy *p, size_t axis);
enum axis_kind policy_axis_kind(const struct policy *p, size_t axis);
size_t policy_axis_size(const struct policy *p, size_t axis); /* levels of a chain, members of a subset */
const char *policy_axis_value(const struct policy *p, size_t axis, size_t i);

size_t policy_classes(const struct policy *p);
const char *policy_class_name(const struct policy *p, size_t i);
/* NULL if there is no such class. */
const struct label *policy_class_clearance(const struct policy *p, const char *class_name);

/* The commented policy that `ppce init` writes when none is given. Static text. */
const char *policy_example(void);

#endif
