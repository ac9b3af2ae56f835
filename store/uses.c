// SPDX-License-Identifier: MIT
#include "store/uses.h"

#include <stdlib.h>
#include <string.h>

#include "lib/names.h"

#define DAY_S 86400
#define AUTOMATA_MAX 64 /* that one (owner, category) can have */

/* -1 with ERR_CONFIG for an automaton that the policy has no more: the caller denies, it cannot tell. */
static int look(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor_use *use,
		uint64_t group, struct automaton_step *out, unsigned *before, struct err *err)
{
	const struct automaton *a = automaton_find(p, use->automaton);
	if (!a)
		return err_set(err, ERR_CONFIG, "the policy has no automaton %s any more", use->automaton);
	if (state_get(s, a, use->owner, use->category, before, err) < 0)
		return -1;
	struct automaton_use u = { .event = use->event,
				   .class_name = who->class_name,
				   .purpose = who->purpose,
				   .self = !strcmp(who->user, use->owner),
				   .group = group };
	*out = automaton_step(a, *before, &u);
	return 0;
}

int uses_allows(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor_use *use,
		uint64_t group, bool *allowed, struct err *err)
{
	struct automaton_step step;
	unsigned before;
	*allowed = false;
	if (look(s, p, who, use, group, &step, &before, err) < 0)
		return -1;
	*allowed = step.allowed;
	return 0;
}

static int oblige(struct state *s, const struct uses_actor *who, const struct monitor_use *use, const char *kind,
		  unsigned days, struct err *err)
{
	int64_t now = clock_unix();
	struct obligation o = { .kind = kind,
				.owner = use->owner,
				.category = use->category,
				.automaton = use->automaton,
				.event = automaton_event_name(use->event),
				.actor = who->user,
				.object = who->object,
				.request_id = who->request_id,
				.now = now,
				.due = now + (int64_t)days * DAY_S };
	return state_oblige(s, &o, err);
}

/* Takes an allowed step. Within a transaction. */
static int take(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor_use *use,
		uint64_t group, bool *allowed, struct err *err)
{
	struct automaton_step step;
	unsigned before;
	*allowed = false;
	if (look(s, p, who, use, group, &step, &before, err) < 0)
		return -1;
	*allowed = step.allowed;
	if (!step.allowed)
		return 0;
	if (step.state != before &&
	    state_set(s, automaton_find(p, use->automaton), use->owner, use->category, step.state, err) < 0)
		return -1;
	if ((step.notify && oblige(s, who, use, "notify", 0, err) < 0) ||
	    (step.review_days && oblige(s, who, use, "review", step.review_days, err) < 0) ||
	    (step.delete_days && oblige(s, who, use, "delete", step.delete_days, err) < 0))
		return -1;
	return 0;
}

/* All of them or none. */
static int take_all(struct state *s, const struct policy *p, const struct uses_actor *who,
		    const struct monitor_use *use, size_t n, uint64_t group, bool *allowed, struct err *err)
{
	*allowed = true;
	for (size_t i = 0; *allowed && i < n; i++)
		if (take(s, p, who, &use[i], group, allowed, err) < 0)
			return -1;
	return 0;
}

static void copy(char *out, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1); /* names are checked before: nothing is cut here */
	memcpy(out, text, n);
	out[n] = '\0';
}

static void set_use(struct monitor_use *use, const char *automaton, const char *owner, const char *category,
		    enum automaton_event event)
{
	*use = (struct monitor_use){ .event = event };
	copy(use->automaton, sizeof use->automaton, automaton);
	copy(use->owner, sizeof use->owner, owner);
	copy(use->category, sizeof use->category, category);
}

/* ---- Reads ---- */

static int compare_owner(const void *a, const void *b)
{
	const struct monitor_use *x = a, *y = b;
	return strcmp(x->owner, y->owner);
}

/* The different owners among the rows, sorted. */
static size_t collect(const struct rows *rows, struct monitor_use *use)
{
	const struct query_use *u = &rows->rules.query->use;
	size_t n = 0;
	for (size_t i = 0; i < rows->ngroups; i++)
		set_use(&use[i], u->automaton, rows->group[i].owner, u->category, u->event);
	qsort(use, rows->ngroups, sizeof *use, compare_owner);
	for (size_t i = 0; i < rows->ngroups; i++)
		if (!n || strcmp(use[n - 1].owner, use[i].owner) != 0)
			use[n++] = use[i];
	return n;
}

/* Leaves those that may be used, given how many they are: who drops out makes the group smaller for the rest. */
static int filter(struct state *s, const struct policy *p, const struct uses_actor *who, struct monitor_use *use,
		  size_t *n, struct err *err)
{
	size_t before;
	do {
		before = *n;
		*n = 0;
		for (size_t i = 0; i < before; i++) {
			bool allowed;
			if (uses_allows(s, p, who, &use[i], before, &allowed, err) < 0)
				return -1;
			if (allowed)
				use[(*n)++] = use[i];
		}
	} while (*n < before && *n && use[0].event == EVENT_AGGREGATE);
	return 0;
}

static void deny_others(struct rows *rows, const struct monitor_use *use, size_t n)
{
	for (size_t i = 0; i < rows->ngroups; i++) {
		struct monitor_use key;
		set_use(&key, "", rows->group[i].owner, "", EVENT_READ);
		rows->group[i].denied = !n || !bsearch(&key, use, n, sizeof *use, compare_owner);
	}
}

static int read_rows(struct state *s, const struct uses_actor *who, struct rows *rows, struct monitor *m, bool *allowed,
		     struct err *err)
{
	struct monitor_use *use = calloc(rows->ngroups + 1, sizeof *use);
	if (!use)
		return err_set(err, ERR_INTERNAL, "out of memory");
	size_t n = collect(rows, use);
	int rc = filter(s, m->policy, who, use, &n, err);
	if (rc == 0)
		rc = take_all(s, m->policy, who, use, n, n, allowed, err);
	if (rc == 0)
		deny_others(rows, use, n);
	for (size_t i = 0; rc == 0 && i < n; i++)
		monitor_add_use(m, &use[i]);
	free(use);
	return rc;
}

static int read_derived(struct state *s, const struct uses_actor *who, const struct rows *rows, struct monitor *m,
			bool *allowed, struct err *err)
{
	const struct query *q = rows->rules.query;
	enum automaton_event event = q->aggregate ? EVENT_AGGREGATE : EVENT_READ;
	struct state_derived *derived;
	size_t n;
	if (state_derived(s, q->object, &derived, &n, err) < 0)
		return -1;
	int rc = 0;
	for (size_t i = 0; rc == 0 && *allowed && i < n; i++) {
		struct monitor_use use;
		set_use(&use, derived[i].automaton, derived[i].owner, derived[i].category, event);
		rc = take(s, m->policy, who, &use, n, allowed, err);
		if (rc == 0 && *allowed)
			monitor_add_use(m, &use);
	}
	free(derived);
	return rc;
}

static int finish(struct state *s, int rc, bool *allowed, struct err *err)
{
	if (rc == 0 && *allowed)
		return state_commit(s, err);
	state_rollback(s);
	*allowed = false;
	return rc;
}

int uses_read(struct state *s, const struct uses_actor *who, struct rows *rows, struct monitor *m, bool *allowed,
	      struct err *err)
{
	const struct query *q = rows->rules.query;
	*allowed = true;
	if (!q->use.set && !*q->object)
		return 0;
	if (state_begin(s, err) < 0)
		return -1;
	int rc = q->use.set ? read_rows(s, who, rows, m, allowed, err) : 0;
	if (rc == 0 && *q->object)
		rc = read_derived(s, who, rows, m, allowed, err);
	return finish(s, rc, allowed, err);
}

/* ---- Writes and releases ---- */

int uses_derive(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor *m,
		const char *object, bool *allowed, struct err *err)
{
	*allowed = !m->uses_unknown && (!m->nuses || *object);
	if (!*allowed || !m->nuses)
		return 0;
	if (state_begin(s, err) < 0)
		return -1;
	int rc = 0;
	for (size_t i = 0; rc == 0 && *allowed && i < m->nuses; i++) {
		struct monitor_use use = m->use[i];
		use.event = EVENT_DERIVE;
		rc = take(s, p, who, &use, m->nuses, allowed, err);
		if (rc == 0 && *allowed)
			rc = state_add_derived(s, object, use.automaton, use.owner, use.category, err);
	}
	return finish(s, rc, allowed, err);
}

int uses_release(struct state *s, const struct policy *p, const struct uses_actor *who, const struct monitor *m,
		 uint64_t group, bool *allowed, struct err *err)
{
	*allowed = !m->uses_unknown;
	if (!*allowed || !m->nuses)
		return 0;
	if (state_begin(s, err) < 0)
		return -1;
	int rc = 0;
	for (size_t i = 0; rc == 0 && *allowed && i < m->nuses; i++) {
		struct monitor_use use = m->use[i];
		if (use.event == EVENT_AGGREGATE)
			continue;
		use.event = EVENT_EXPORT;
		rc = take(s, p, who, &use, group, allowed, err);
	}
	return finish(s, rc, allowed, err);
}

/* ---- Events ---- */

struct automata {
	char name[AUTOMATA_MAX][PPCE_CLASS_SIZE];
	size_t n;
	bool too_many;
};

static void add_automaton(void *ctx, const char *name)
{
	struct automata *all = ctx;
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->name[i], name))
			return;
	if (all->n == AUTOMATA_MAX || strlen(name) >= sizeof all->name[0])
		all->too_many = true;
	else
		strcpy(all->name[all->n++], name);
}

int uses_event(struct state *s, const struct policy *p, const struct queries *queries, const struct uses_actor *who,
	       enum automaton_event event, const char *owner, const char *category, struct err *err)
{
	struct automata all = { .n = 0 };
	for (size_t i = 0; i < queries->n; i++)
		if (queries->query[i].use.set && !strcmp(queries->query[i].use.category, category))
			add_automaton(&all, queries->query[i].use.automaton);
	if (state_each_automaton(s, owner, category, add_automaton, &all, err) < 0)
		return -1;
	if (all.too_many)
		return err_set(err, ERR_FULL, "more than %d automata for one category", AUTOMATA_MAX);
	if (!all.n)
		return 0;
	if (state_begin(s, err) < 0)
		return -1;
	int rc = 0;
	bool allowed;
	for (size_t i = 0; rc == 0 && i < all.n; i++) {
		struct monitor_use use;
		set_use(&use, all.name[i], owner, category, event);
		if (automaton_find(p, use.automaton)) /* one that the policy dropped: it denies everything anyway */
			rc = take(s, p, who, &use, 0, &allowed, err);
	}
	allowed = true;
	return finish(s, rc, &allowed, err);
}
