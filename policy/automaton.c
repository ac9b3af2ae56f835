/* SPDX-License-Identifier: MIT */
#include "policy/automaton.h"

#include <string.h>

#include "policy/internal.h"

static const char *const events[EVENT_COUNT] = {
	[EVENT_READ] = "read",
	[EVENT_DERIVE] = "derive",
	[EVENT_AGGREGATE] = "aggregate",
	[EVENT_EXPORT] = "export",
	[EVENT_CONSENT] = "consent",
	[EVENT_REVOKE] = "revoke",
	[EVENT_BREAK_GLASS] = "break-glass",
	[EVENT_EXPIRE] = "expire",
	[EVENT_ERASE] = "erase",
};

const char *automaton_event_name(enum automaton_event e)
{
	return events[e];
}

bool automaton_event_find(const char *name, enum automaton_event *out)
{
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		if (!strcmp(events[i], name)) {
			*out = (enum automaton_event)i;
			return true;
		}
	}
	return false;
}

size_t automaton_count(const struct policy *p)
{
	return p->nautomata;
}

const struct automaton *automaton_find(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nautomata; i++)
		if (!strcmp(p->automata[i].name, name))
			return &p->automata[i];
	return NULL;
}

const char *automaton_name(const struct automaton *a)
{
	return a->name;
}

unsigned automaton_start(const struct automaton *a)
{
	(void)a;
	return 0; /* states are numbered as they are named, and the start comes first */
}

unsigned automaton_states(const struct automaton *a)
{
	return a->nstates;
}

const char *automaton_state_name(const struct automaton *a, unsigned state)
{
	return a->states[state];
}

bool automaton_state_find(const struct automaton *a, const char *name, unsigned *out)
{
	for (unsigned i = 0; i < a->nstates; i++) {
		if (!strcmp(a->states[i], name)) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool matches(const struct transition *t, unsigned state, const struct automaton_use *use)
{
	if (!(t->in >> state & 1) || t->on != use->event)
		return false;
	if (*t->class_name && strcmp(t->class_name, use->class_name) != 0)
		return false;
	if (*t->purpose && strcmp(t->purpose, use->purpose) != 0)
		return false;
	if (t->self != SELF_FREE && (t->self == SELF_YES) != use->self)
		return false;
	return use->group >= t->min;
}

struct automaton_step automaton_step(const struct automaton *a, unsigned state, const struct automaton_use *use)
{
	struct automaton_step step = { .state = state, .transition = -1 };
	if (state >= a->nstates) /* one of another policy file's: nothing is known about it */
		return step;
	for (size_t i = 0; i < a->ntransitions; i++) {
		const struct transition *t = &a->transitions[i];
		if (!matches(t, state, use))
			continue;
		step.allowed = true;
		step.transition = (int)i;
		step.state = t->to < 0 ? state : (unsigned)t->to;
		step.notify = t->notify;
		step.review_days = t->review_days;
		step.delete_days = t->delete_days;
		return step;
	}
	return step;
}
