/* SPDX-License-Identifier: MIT
 *
 * Use-based privacy: every read of an object with an automaton is a step of it, and so are what is derived from it, what
 * is released, and the events that auth reports. Steps and their obligations are durable before a function returns 0.
 */
#ifndef STORE_USES_H
#define STORE_USES_H

#include "store/monitor.h"
#include "store/owners.h"
#include "store/rows.h"
#include "store/state.h"

struct uses_actor { /* who, for guards and obligations */
	const char *user, *class_name, *purpose, *request_id;
	const char *object; /* name of the query or certificate */
};

/* May one object be used so? Changes nothing. -1: cannot tell. */
int uses_allows(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor_use *use,
		uint64_t group, bool *allowed, struct err *err);

/* What an answer may hold: marks the groups of rows whose automaton says no, and takes the step for the others. Data that
 * was derived into the query's object has to be allowed whole: else *allowed is false. What was used is added to the
 * monitor. For EVENT_AGGREGATE the group is those that remain. */
int uses_read(struct state *s, const struct uses_actor *who, struct rows *rows, struct monitor *m, bool *allowed,
	      struct err *err);
/* May what the instance has read be derived from, into `object`? If so `object` carries their automata from now on. */
int uses_derive(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor *m,
		const char *object, bool *allowed, struct err *err);
/* May a value made of what the instance has read be released? What was read as an aggregate may; the rest is an export. */
int uses_release(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor *m,
		 uint64_t group, bool *allowed, struct err *err);
/* An event of auth's: a step of every automaton that `queries` name for this category, or that has a state for it. One
 * that no transition matches changes nothing. */
int uses_event(struct state *s, const struct policy *p, const struct queries *queries, const struct uses_actor *who,
	       enum automaton_event event, const char *owner, const char *category, struct err *err);

#endif
