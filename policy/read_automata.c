/* SPDX-License-Identifier: MIT
 *
 * The `automata` of the policy file (policy/automaton.h). A state, class or event that does not exist is refused here:
 * a mistyped guard would be one that never, or always, lets pass.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "lib/rest.h" /* text_nearest */
#include "policy/internal.h"

#define DAYS_MAX 36500u
#define GROUP_MAX 1000000000u

/* Everything a reader of one automaton's lines needs. */
struct reader {
	const struct policy *p;
	struct automaton *a;
	struct err *err;
};

static int fail_name(const struct reader *r, const struct yaml_value *v, const char *what, const char *const *names)
{
	const char *near = text_nearest(yaml_text(v), names);
	if (near)
		return yaml_error(v, r->err, "automata: %s: no %s \"%.40s\"; did you mean %s?", r->a->name, what,
				  yaml_text(v), near);
	return yaml_error(v, r->err, "automata: %s: no %s \"%.40s\"", r->a->name, what, yaml_text(v));
}

static int expect_text(const struct reader *r, const struct yaml_value *v, const char *what)
{
	if (yaml_kind(v) == YAML_SCALAR)
		return 0;
	return yaml_error(v, r->err, "automata: %s: expected %s, not a list or a map", r->a->name, what);
}

static int read_bool(const struct reader *r, const struct yaml_value *v, const char *key, bool *out)
{
	const char *text = yaml_kind(v) == YAML_SCALAR ? yaml_text(v) : "";
	*out = !strcmp(text, "true");
	if (*out || !strcmp(text, "false"))
		return 0;
	return yaml_error(v, r->err, "automata: %s: %s: expected true or false", r->a->name, key);
}

static int read_number(const struct reader *r, const struct yaml_value *v, const char *key, unsigned max, unsigned *out)
{
	const char *text = yaml_kind(v) == YAML_SCALAR ? yaml_text(v) : "";
	size_t len = strlen(text);
	if (len && len <= 10 && strspn(text, "0123456789") == len) {
		unsigned long n = strtoul(text, NULL, 10);
		*out = (unsigned)n;
		if (n >= 1 && n <= max)
			return 0;
	}
	return yaml_error(v, r->err, "automata: %s: %s: expected a whole number, 1 to %u", r->a->name, key, max);
}

/* The state's number; it gets one if it is new. */
static int read_state(const struct reader *r, const struct yaml_value *v, unsigned *out)
{
	struct automaton *a = r->a;
	if (expect_text(r, v, "a state") < 0)
		return -1;
	const char *name = yaml_text(v);
	if (!class_valid(name) || !strcmp(name, "any"))
		return yaml_error(v, r->err, "automata: %s: \"%.40s\" is not the name of a state", a->name, name);
	if (automaton_state_find(a, name, out))
		return 0;
	if (a->nstates == AUTOMATON_STATES_MAX)
		return yaml_error(v, r->err, "automata: %s: more than %d states", a->name, AUTOMATON_STATES_MAX);
	*out = a->nstates++;
	memcpy(a->states[*out], name, strlen(name) + 1);
	return 0;
}

/* Only states that something leads to: what stands in `to` was read before. */
static int read_source(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	const char *names[AUTOMATON_STATES_MAX + 1] = { NULL };
	unsigned state;
	if (expect_text(r, v, "a state") < 0)
		return -1;
	for (unsigned i = 0; i < r->a->nstates; i++)
		names[i] = r->a->states[i];
	if (!automaton_state_find(r->a, yaml_text(v), &state))
		return fail_name(r, v, "start or `to` leads to the state", names);
	t->in |= UINT32_C(1) << state;
	return 0;
}

static int read_sources(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	if (yaml_kind(v) == YAML_SCALAR && !strcmp(yaml_text(v), "any")) {
		t->in = UINT32_MAX;
		return 0;
	}
	if (yaml_kind(v) == YAML_SCALAR)
		return read_source(r, v, t);
	if (yaml_kind(v) != YAML_LIST || !yaml_count(v))
		return yaml_error(v, r->err, "automata: %s: in: expected a state, [STATE, ...] or any", r->a->name);
	for (size_t i = 0; i < yaml_count(v); i++)
		if (read_source(r, yaml_item(v, i), t) < 0)
			return -1;
	return 0;
}

static int read_event(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	const char *names[EVENT_COUNT + 1] = { NULL };
	if (expect_text(r, v, "an event") < 0)
		return -1;
	if (automaton_event_find(yaml_text(v), &t->on))
		return 0;
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		names[i] = automaton_event_name((enum automaton_event)i);
	return fail_name(r, v, "event", names);
}

static int read_class(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	if (expect_text(r, v, "a class") < 0)
		return -1;
	const char *name = yaml_text(v);
	if (!policy_class_clearance(r->p, name))
		return fail_name(r, v, "class", (const char *[]){ NULL });
	memcpy(t->class_name, name, strlen(name) + 1);
	return 0;
}

static int read_purpose(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	if (expect_text(r, v, "a purpose") < 0)
		return -1;
	size_t len = strlen(yaml_text(v));
	if (!len || len >= sizeof t->purpose)
		return yaml_error(v, r->err, "automata: %s: purpose: expected 1 to %zu characters", r->a->name,
				  sizeof t->purpose - 1);
	memcpy(t->purpose, yaml_text(v), len + 1);
	return 0;
}

static int read_guards(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	const struct yaml_value *class_name = yaml_get(v, "class"), *purpose = yaml_get(v, "purpose");
	const struct yaml_value *self = yaml_get(v, "self"), *min = yaml_get(v, "min");
	bool yes = false;
	unsigned group = 0;
	if (class_name && read_class(r, class_name, t) < 0)
		return -1;
	if (purpose && read_purpose(r, purpose, t) < 0)
		return -1;
	if (self && read_bool(r, self, "self", &yes) < 0)
		return -1;
	t->self = !self ? SELF_FREE : yes ? SELF_YES : SELF_NO;
	if (min && t->on != EVENT_AGGREGATE)
		return yaml_error(min, r->err, "automata: %s: min: only with `on: aggregate`", r->a->name);
	if (min && read_number(r, min, "min", GROUP_MAX, &group) < 0)
		return -1;
	t->min = group;
	return 0;
}

static int read_obligations(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	static const char *const keys[] = { "notify", "review_days", "delete_days", NULL };
	if (!v)
		return 0;
	if (yaml_check_keys(v, keys, r->err) < 0)
		return -1;
	const struct yaml_value *notify = yaml_get(v, keys[0]), *review = yaml_get(v, keys[1]);
	const struct yaml_value *delete = yaml_get(v, keys[2]);
	if (notify && read_bool(r, notify, keys[0], &t->notify) < 0)
		return -1;
	if (review && read_number(r, review, keys[1], DAYS_MAX, &t->review_days) < 0)
		return -1;
	return delete ? read_number(r, delete, keys[2], DAYS_MAX, &t->delete_days) : 0;
}

static int read_transition(const struct reader *r, const struct yaml_value *v, struct transition *t)
{
	const struct yaml_value *in = yaml_get(v, "in"), *on = yaml_get(v, "on");
	if (!in || !on)
		return yaml_error(v, r->err, "automata: %s: a transition needs {in: STATE, on: EVENT}", r->a->name);
	if (read_sources(r, in, t) < 0 || read_event(r, on, t) < 0)
		return -1;
	if (read_guards(r, v, t) < 0)
		return -1;
	return read_obligations(r, yaml_get(v, "oblige"), t);
}

/* First where every transition leads, so that all states are known when `in` is read. */
static int read_targets(const struct reader *r, const struct yaml_value *list)
{
	static const char *const keys[] = { "in", "on", "to", "class", "purpose", "self", "min", "oblige", NULL };
	for (size_t i = 0; i < yaml_count(list); i++) {
		struct transition *t = &r->a->transitions[i];
		unsigned state;
		if (yaml_check_keys(yaml_item(list, i), keys, r->err) < 0)
			return -1;
		const struct yaml_value *to = yaml_get(yaml_item(list, i), "to");
		if (to && read_state(r, to, &state) < 0)
			return -1;
		t->to = to ? (int)state : -1;
	}
	return 0;
}

static int read_transitions(const struct reader *r, const struct yaml_value *list)
{
	struct automaton *a = r->a;
	size_t n = yaml_kind(list) == YAML_LIST ? yaml_count(list) : 0;
	if (!n || n > AUTOMATON_TRANSITIONS_MAX)
		return yaml_error(list, r->err, "automata: %s: expected a list of 1 to %d transitions", a->name,
				  AUTOMATON_TRANSITIONS_MAX);
	a->transitions = calloc(n, sizeof *a->transitions);
	if (!a->transitions)
		return err_set(r->err, ERR_INTERNAL, "out of memory");
	a->ntransitions = n;
	if (read_targets(r, list) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (read_transition(r, yaml_item(list, i), &a->transitions[i]) < 0)
			return -1;
	return 0;
}

static int read_automaton(const struct reader *r, const struct yaml_value *key, const struct yaml_value *v)
{
	static const char *const keys[] = { "start", "transitions", NULL };
	const char *name = yaml_text(key);
	unsigned state;
	if (!class_valid(name))
		return yaml_error(key, r->err,
				  "automata: \"%.40s\" is not a name: a letter, then up to 31 letters, digits, _ or -",
				  name);
	memcpy(r->a->name, name, strlen(name) + 1);
	if (yaml_check_keys(v, keys, r->err) < 0)
		return -1;
	const struct yaml_value *start = yaml_get(v, "start"), *transitions = yaml_get(v, "transitions");
	if (!start || !transitions)
		return yaml_error(v, r->err, "automata: %s: expected {start: STATE, transitions: [...]}", name);
	if (read_state(r, start, &state) < 0)
		return -1;
	return read_transitions(r, transitions);
}

int policy_read_automata(struct policy *p, const struct yaml_value *automata, struct err *err)
{
	if (!automata || (yaml_kind(automata) == YAML_SCALAR && !*yaml_text(automata)))
		return 0;
	if (yaml_kind(automata) != YAML_MAP)
		return yaml_error(automata, err, "automata: expected NAME: {start: STATE, transitions: [...]} lines");
	p->automata = calloc(yaml_count(automata) + 1, sizeof *p->automata);
	if (!p->automata)
		return err_set(err, ERR_INTERNAL, "out of memory");
	for (size_t i = 0; i < yaml_count(automata); i++) {
		struct reader r = { .p = p, .a = &p->automata[p->nautomata++], .err = err };
		if (read_automaton(&r, yaml_key(automata, i), yaml_member(automata, i)) < 0)
			return -1;
	}
	return 0;
}
