/* SPDX-License-Identifier: MIT
 *
 * The policy file: axes of the lattice and classes of users. Parsed once, immutable afterwards.
 *
 *   axes:
 *     level: {chain: [UNCLASSIFIED, SECRET]}     # lowest first
 *     comp:  {subset: [A, B, C]}
 *     dept:  {hasse: {elements: [public, ward, lab, chief], covers: [[public, ward], [public, lab], [ward, chief], [lab, chief]]}}
 *     own:   {owners: [training, medical]}       # categories of tags owner/category
 *   classes:
 *     trainer: {clearance: "level=SECRET,comp={A}"}
 *     medic:   {clearance: "level=SECRET", break_glass: [medical]}   # categories that may be opened in an emergency
 *     officer: {clearance: "level=SECRET", officer: true}            # may sign certificates, reviews break-glass
 *   automata: ...                                 # policy/automaton.h
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "policy/label.h"

enum axis_kind { AXIS_CHAIN, AXIS_SUBSET, AXIS_HASSE, AXIS_OWNERS };

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

/* May the class open this category of somebody's data in an emergency? May it sign certificates and review? */
bool policy_class_breaks_glass(const struct policy *p, const char *class_name, const char *category);
bool policy_class_officer(const struct policy *p, const char *class_name);
/* Categories of the owners axis; 0 if the policy has none. */
size_t policy_categories(const struct policy *p);
const char *policy_category(const struct policy *p, size_t i);

/* The commented policy that `ppce init` writes when none is given. Static text. */
const char *policy_example(void);

#endif
