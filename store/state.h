/* SPDX-License-Identifier: MIT
 *
 * What the store itself has to remember, in DIR/state/store.db: states of automata, obligations, what was derived from
 * whose data, and what was spent of privacy budgets. Used from the loop's thread only. What a function that writes has
 * returned 0 for survives kill -9 and power loss (write-ahead log, synchronous=FULL).
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include <jansson.h>

#include "policy/automaton.h"

struct state;

struct state *state_open(const char *path, struct err *err);
void state_close(struct state *s);
bool state_usable(struct state *s, struct err *why);

/* A group of changes: all of them or none. */
int state_begin(struct state *s, struct err *err);
int state_commit(struct state *s, struct err *err); /* rolled back when it fails */
void state_rollback(struct state *s);

/* State of (automaton, owner, category); its start where nothing was recorded. -1 also when the recorded state is not
 * one of the automaton's any more: the caller denies. */
int state_get(struct state *s, const struct automaton *a, const char *owner, const char *category, unsigned *out,
	      struct err *err);
int state_set(struct state *s, const struct automaton *a, const char *owner, const char *category, unsigned state,
	      struct err *err);
/* Calls `each` for the automata that have a recorded state for (owner, category). */
int state_each_automaton(struct state *s, const char *owner, const char *category,
			 void (*each)(void *ctx, const char *automaton), void *ctx, struct err *err);

struct obligation {
	const char *kind; /* "notify", "review", "delete" */
	const char *owner, *category, *automaton, *event;
	const char *actor, *object; /* who and what caused it */
	const char *request_id;
	int64_t now, due; /* Unix s */
};
/* The same one that is still open only counts up: readers cannot fill the table. */
int state_oblige(struct state *s, const struct obligation *o, struct err *err);
/* A new array of objects, newest first, at most 1000; `owner` "" : all; overdue: open and due before `now`. */
json_t *state_obligations(struct state *s, const char *owner, bool overdue, int64_t now, struct err *err);
/* 0; ERR_NOT_FOUND; ERR_CONFLICT if it was done before. */
int state_oblige_done(struct state *s, int64_t id, int64_t now, struct err *err);

/* What is read as `object` has to satisfy this automaton too. */
int state_add_derived(struct state *s, const char *object, const char *automaton, const char *owner,
		      const char *category, struct err *err);
struct state_derived {
	char automaton[PPCE_CLASS_SIZE], owner[PPCE_USER_SIZE], category[PPCE_CLASS_SIZE];
};
/* A malloc'd array. */
int state_derived(struct state *s, const char *object, struct state_derived **out, size_t *n, struct err *err);

/* Takes `amount` of what a certificate may spend; ERR_FULL if less is left. Millionths. */
int state_debit(struct state *s, const char *certificate, uint64_t amount, uint64_t budget, struct err *err);
int state_spent(struct state *s, const char *certificate, uint64_t *out, struct err *err);

#endif
