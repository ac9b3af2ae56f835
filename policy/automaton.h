/* SPDX-License-Identifier: MIT
 *
 * Use-based privacy (Birrell, Schneider et al.): a small automaton that an object carries. Besides the label rules it
 * decides which uses of the object are allowed, and how uses and events change what is allowed next. Pure.
 *
 * In the policy file:
 *   automata:
 *     athlete:
 *       start: private
 *       transitions:                                   # first match wins; no match denies
 *         - {in: private, on: read, class: player, self: true}
 *         - {in: private, on: consent, self: true, to: shared}
 *         - {in: shared, on: read, class: trainer, purpose: training, oblige: {notify: true}}
 *         - {in: [private, shared], on: aggregate, class: researcher, min: 5}
 *         - {in: private, on: break-glass, class: medic, to: opened, oblige: {notify: true, review_days: 7}}
 *         - {in: any, on: erase, self: true, to: erased}
 * Without `to` the state stays. Guards: class, purpose, self (the actor is the owner), min (size of the group).
 * Refused when the file is read: a state in `in` that neither start nor any `to` leads to, a class that the policy does
 * not have, min with another event than aggregate. `any` is not the name of a state; state 0 is the start.
 * At most 32 states (those that are named) and 128 transitions.
 */
#ifndef POLICY_AUTOMATON_H
#define POLICY_AUTOMATON_H

#include "policy/policy.h"

#define AUTOMATON_STATES_MAX 32
#define AUTOMATON_TRANSITIONS_MAX 128

enum automaton_event {
	EVENT_READ,
	EVENT_DERIVE,
	EVENT_AGGREGATE,
	EVENT_EXPORT,
	EVENT_CONSENT,
	EVENT_REVOKE,
	EVENT_BREAK_GLASS,
	EVENT_EXPIRE,
	EVENT_ERASE,
	EVENT_COUNT
};
const char *automaton_event_name(enum automaton_event e); /* as in the policy file */
bool automaton_event_find(const char *name, enum automaton_event *out);

struct automaton; /* part of a policy */

struct automaton_use {
	enum automaton_event event;
	const char *class_name, *purpose; /* of the actor; "" none */
	bool self;			  /* the actor owns the object */
	uint64_t group;			  /* members of the group for EVENT_AGGREGATE; else 0 */
};

struct automaton_step {
	bool allowed;
	unsigned state; /* the next one; the same when denied */
	int transition; /* index of the one that matched, -1: none did */
	/* obligations; 0: none */
	bool notify;	      /* tell the owner */
	unsigned review_days; /* an officer has to review it by then */
	unsigned delete_days; /* what was made of it has to be deleted by then */
};

size_t automaton_count(const struct policy *p);
const struct automaton *automaton_find(const struct policy *p, const char *name); /* NULL: none of that name */
const char *automaton_name(const struct automaton *a);
unsigned automaton_start(const struct automaton *a);
unsigned automaton_states(const struct automaton *a);
const char *automaton_state_name(const struct automaton *a, unsigned state);
bool automaton_state_find(const struct automaton *a, const char *name, unsigned *out);
struct automaton_step automaton_step(const struct automaton *a, unsigned state, const struct automaton_use *use);

#endif
