/* SPDX-License-Identifier: MIT
 *
 * A parsed policy. Internal to policy/. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "policy/automaton.h"
#include "policy/axis.h"
#include "policy/label.h"
#include "policy/policy.h"

struct policy_class {
	char name[PPCE_CLASS_SIZE];
	struct label clearance;
	uint64_t break_glass; /* bit i: category i of the owners axis */
	bool officer;
};

struct transition {
	uint32_t in; /* bit i: from state i */
	enum automaton_event on;
	char class_name[PPCE_CLASS_SIZE]; /* guards: empty, FREE and 0 let everything pass */
	char purpose[PPCE_PURPOSE_SIZE];
	enum { SELF_FREE, SELF_YES, SELF_NO } self;
	uint64_t min;
	int to; /* -1: the state stays */
	bool notify;
	unsigned review_days, delete_days;
};

struct automaton {
	char name[PPCE_CLASS_SIZE];
	unsigned nstates; /* at least 1; state 0 is the start */
	char states[AUTOMATON_STATES_MAX][PPCE_CLASS_SIZE];
	size_t ntransitions;
	struct transition *transitions; /* owned */
};

struct policy {
	size_t naxes; /* at least 1 */
	struct axis axes[POLICY_AXES_MAX];
	const struct axis *owners; /* one of them, or NULL */
	size_t nclasses;
	struct policy_class *classes;
	size_t nautomata;
	struct automaton *automata;
};

/* The parts of the policy file. Errors: ERR_CONFIG; what was read so far is freed by policy_free. */
int policy_read_axes(struct policy *p, const struct yaml_value *axes, struct err *err);
/* `classes` may be NULL. */
int policy_read_classes(struct policy *p, const struct yaml_value *classes, struct err *err);
/* After the classes, which guards name. `automata` may be NULL. */
int policy_read_automata(struct policy *p, const struct yaml_value *automata, struct err *err);

/* The first axis on which a is not <= b, or NULL if a <= b. */
const struct axis *label_first_above(const struct policy *p, const struct label *a, const struct label *b);

#endif
