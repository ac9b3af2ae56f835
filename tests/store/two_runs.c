/* SPDX-License-Identifier: MIT */
#include "tests/store/two_runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "store/monitor.h"
#include "store/owners.h"
#include "store/permit.h"
#include "store/rows.h"
#include "tests/policy/labels.h"
#include "tests/policy/shadow.h"

#define POOL 7u
#define USERS 3u
#define ROWS_MAX 512u
#define INSTANCES_MAX 64u
#define SLOT_HERE 100u
#define SLOT_OWNED 101u
#define NOW 1000000

enum app { APP_REQUEST, APP_USER, APP_CLASS, APPS };

struct row {
	unsigned slot; /* which query finds it, besides the one for all */
	struct label label;
	char text[PPCE_LABEL_SIZE], owner[PPCE_USER_SIZE];
	int64_t value;
};

struct instance {
	bool live, served;
	enum app app;
	unsigned user, id;
	struct label level; /* where routing finds it */
	struct monitor monitor;
	uint32_t kept;
	uint64_t seq;
	char uuid[PPCE_UUID_SIZE];
};

struct world { /* what both runs share */
	struct shadow_policy shadow;
	struct policy *p;
	struct queries *queries;
	struct facts facts[POOL];
	struct label pool[POOL];
	char text[POOL][PPCE_LABEL_SIZE];
	unsigned clearance[USERS]; /* in the pool */
	bool low_user[USERS];
	unsigned low; /* in the pool: what is at or below it is equal, and looked at */
	struct certificate certificate;
	unsigned certified; /* its query */
	struct authorised authorised;
	enum run_fault fault;
	struct run_counts *counts;
};

struct run {
	struct world *w;
	struct row *row;
	size_t nrows;
	struct instance instance[INSTANCES_MAX];
	size_t ninstances;
};

struct seen { /* of one request */
	int status;
	uint32_t body;
	unsigned instance;
	bool cold, released;
};

static const uint8_t key[TICKET_KEY_BYTES] = { 9 };
static const char image[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static uint64_t pick(uint64_t *seed, uint64_t n)
{
	return labels_next_random(seed) % n;
}

/* --- the world ------------------------------------------------------------------------------------------------ */

/* Which of the pool's labels is at or below which, by the shadow, not by the library. */
static bool below(const struct world *w, unsigned a, unsigned b)
{
	return shadow_within(&w->facts[a], &w->facts[b]);
}

static void fill_pool(struct world *w, uint64_t *seed)
{
	w->facts[0] = shadow_bottom(&w->shadow);
	w->facts[1] = shadow_top(&w->shadow);
	for (unsigned i = 2; i < POOL; i++) {
		w->facts[i] = shadow_random(&w->shadow, seed);
		if (i >= 5) {
			w->facts[i] = shadow_union(&w->facts[i], &w->facts[i - 3]);
			w->facts[i] = shadow_close(&w->shadow, &w->facts[i]);
		}
	}
	for (unsigned i = 0; i < POOL; i++) {
		shadow_format(&w->shadow, &w->facts[i], w->text[i]);
		w->pool[i] = labels_parse(w->p, w->text[i]);
	}
}

static const struct shadow_axis *owners_axis(const struct world *w)
{
	for (size_t i = 0; i < w->shadow.naxes; i++)
		if (w->shadow.axes[i].kind == AXIS_OWNERS)
			return &w->shadow.axes[i];
	return NULL;
}

/* A tag of the policy's, its owner and category. */
static struct label_tag random_tag(const struct world *w, uint64_t *seed)
{
	const struct shadow_axis *x = owners_axis(w);
	struct label_tag tag = { "nobody", "none" };
	if (x)
		sscanf(x->value[pick(seed, x->n)], "%64[^/]/%32s", tag.owner, tag.category);
	return tag;
}

static void make_queries(struct world *w, uint64_t *seed)
{
	char text[8192] = "queries:\n  all: {read: 'SELECT 1', label: '@label', apps: [a], rows: 100000}\n";
	const struct shadow_axis *own = owners_axis(w), *other = &w->shadow.axes[w->shadow.naxes - 1];
	struct err err = { 0 };
	size_t len = strlen(text);
	if (own && other != own && other->kind == AXIS_CHAIN)
		len += (size_t)snprintf(text + len, sizeof text - len,
					"  owned: {read: 'SELECT 1', label: '%s=%s,%s={@owner/%s}', "
					"apps: [a], rows: 100000}\n",
					other->name, other->value[pick(seed, other->n)], own->name,
					random_tag(w, seed).category);
	else if (own)
		snprintf(text + len, sizeof text - len,
			 "  owned: {read: 'SELECT 1', label: '%s={@owner/%s}', apps: [a]}\n", own->name,
			 random_tag(w, seed).category);
	w->queries = queries_parse(w->p, "queries", text, strlen(text), &err);
	if (!w->queries)
		fail_msg("%s\n%s", err.text, text);
}

static void make_certificate(struct world *w, uint64_t *seed)
{
	struct certificate *c = &w->certificate;
	unsigned from = (unsigned)pick(seed, POOL), to = (unsigned)pick(seed, POOL);
	w->certified = pick(seed, 4) ? from : (unsigned)pick(seed, POOL);
	if (!below(w, to, from))
		to = 0;
	strcpy(c->name, "release");
	memcpy(c->image, image, sizeof c->image);
	snprintf(c->query, sizeof c->query, "r%u", w->certified);
	c->from = w->pool[from];
	c->to = w->pool[to];
	c->min_group = 1;
	struct owners all = { 0 };
	owners_add_label(&all, w->p, &c->from);
	w->authorised = (struct authorised){ calloc(all.n + 1, sizeof(struct label_tag)), 0 };
	for (size_t at = 0; label_next_tag(&c->from, &at, &w->authorised.tag[w->authorised.n]);)
		w->authorised.n++;
	owners_free(&all);
}

static void world_make(struct world *w, uint64_t *seed)
{
	struct err err = { 0 };
	shadow_policy_random(&w->shadow, seed);
	w->p = policy_parse("shadow", w->shadow.text, strlen(w->shadow.text), &err);
	if (!w->p)
		fail_msg("%s", err.text);
	fill_pool(w, seed);
	w->low = (unsigned)pick(seed, POOL);
	if (below(w, 1, w->low))
		w->low = 0;
	w->clearance[0] = w->low;
	w->clearance[1] = (unsigned)pick(seed, POOL);
	w->clearance[2] = 1;
	for (unsigned i = 0; i < USERS; i++)
		w->low_user[i] = below(w, w->clearance[i], w->low);
	make_queries(w, seed);
	make_certificate(w, seed);
}

static void world_free(struct world *w)
{
	queries_free(w->queries);
	policy_free(w->p);
	authorised_free(&w->authorised);
}

static void add_row(struct run *r, unsigned slot, const struct label *l, const char *owner, int64_t value)
{
	struct row *row = &r->row[r->nrows];
	if (r->nrows == ROWS_MAX)
		fail_msg("too many rows");
	row->slot = slot;
	row->label = *l;
	row->value = value;
	snprintf(row->owner, sizeof row->owner, "%s", owner);
	if (label_format(r->w->p, l, row->text, NULL) < 0)
		fail_msg("a label cannot be written");
	r->nrows++;
}

/* The label that query `owned` gives to this owner's rows. */
static bool owned_label(const struct world *w, const char *owner, struct label *out)
{
	const struct query *q = queries_find(w->queries, "owned");
	char text[PPCE_LABEL_SIZE] = "";
	if (!q)
		return false;
	for (size_t i = 0; i < q->label.n; i++)
		strcat(text, q->label.part[i].kind == REF_TEXT ? q->label.part[i].text : owner);
	*out = labels_parse(w->p, text);
	return true;
}

/* Rows at or below `low` in both; of the others there may be any number, with any value, in each. */
static void fill_stores(struct run runs[2], uint64_t *seed)
{
	struct world *w = runs[0].w;
	for (unsigned i = 0; i < 12; i++) {
		unsigned slot = (unsigned)pick(seed, POOL + 2);
		struct label_tag tag = random_tag(w, seed);
		struct label l = w->pool[slot % POOL];
		int64_t value = (int64_t)pick(seed, 8);
		if (slot >= POOL && !owned_label(w, tag.owner, &l))
			continue;
		bool low = slot < POOL ? below(w, slot, w->low) : label_leq(w->p, &l, &w->pool[w->low]);
		for (int side = 0; side < 2; side++) {
			if (low || pick(seed, 3))
				add_row(&runs[side], slot < POOL ? slot : SLOT_OWNED, &l, tag.owner,
					low ? value : (int64_t)pick(seed, 8));
		}
	}
}

/* --- the store ------------------------------------------------------------------------------------------------ */

struct script {
	struct run *run;
	struct instance *i;
	uint32_t number;
	int status;
	bool released, low; /* low: on behalf of a user below */
};

static void see(struct script *s, int64_t value)
{
	s->number = s->number * 33u + (uint32_t)value + 1;
}

/* Does the end of the instance, by a crash or because it has read what its session may not see, show to others below?
 * On behalf of somebody who may see more, on a key that is shared: that channel is open, as docs/channels.md says, so it is
 * left out here. */
static bool shows_end(const struct script *s)
{
	const struct world *w = s->run->w;
	return s->i->app == APP_REQUEST && !s->low && label_leq(w->p, &s->i->level, &w->pool[w->low]);
}

static const struct permit *permit_for(const struct script *s, const char *query, struct permit *out)
{
	const struct world *w = s->run->w;
	const struct monitor *m = &s->i->monitor;
	*out = (struct permit){ .certificate = &w->certificate, .authorised = w->authorised };
	if (m->mode != FLOW_FLOAT || shows_end(s) ||
	    !permit_applies(w->p, &w->certificate, image, query, &m->ceiling, NOW))
		return NULL;
	return out;
}

static void raise_to(struct script *s, const char *query, const struct label *data)
{
	static const uint8_t cohort[MONITOR_COHORT_BYTES];
	struct world *w = s->run->w;
	if (w->fault != RUN_NO_RAISE)
		monitor_raise(&s->i->monitor, query, data, 2, cohort);
	w->counts->high_reads += !label_leq(w->p, data, &w->pool[w->low]);
}

/* A label that is known before anything runs. */
static void read_slot(struct script *s, unsigned slot)
{
	const struct world *w = s->run->w;
	const struct label *data = &w->pool[slot];
	struct permit permit;
	char name[PPCE_NAME_SIZE];
	snprintf(name, sizeof name, "r%u", slot);
	const struct permit *more = permit_for(s, name, &permit);
	if (!monitor_read(&s->i->monitor, data).allowed && !(more && permit_allows(w->p, more, data))) {
		see(s, -1);
		return;
	}
	raise_to(s, name, data);
	for (size_t i = 0; i < s->run->nrows; i++)
		if (s->run->row[i].slot == slot)
			see(s, s->run->row[i].value);
}

/* A label that each row decides. */
static void read_rows(struct script *s, const char *name)
{
	static const char *const names[] = { "owner", "label", "value" };
	const struct world *w = s->run->w;
	const struct monitor *m = &s->i->monitor;
	struct rows_rules rules = { .policy = w->p, .query = queries_find(w->queries, name), .bytes = 1u << 20 };
	struct buf answer = { .cap = 1u << 20 };
	struct label data;
	struct rows rows;
	if (!rules.query)
		return;
	rules.mode = m->mode;
	rules.instance = m->label;
	rules.ceiling = m->ceiling;
	rows_init(&rows, &rules);
	rows_begin(&rows, 3, names);
	for (size_t i = 0; i < s->run->nrows; i++) {
		const struct row *row = &s->run->row[i];
		struct call_value v[] = { { .type = DATA_TEXT, .bytes = row->owner, .len = strlen(row->owner) },
					  { .type = DATA_TEXT, .bytes = row->text, .len = strlen(row->text) },
					  { .type = DATA_INT, .integer = row->value } };
		if (!strcmp(name, "all") || row->slot == SLOT_OWNED)
			rows_add(&rows, v);
	}
	if (rows_encode(&rows, &answer) < 0)
		fail_msg("rows_encode");
	w->fault == RUN_ROWS_ONLY ? (void)rows_left(&rows, &data) : rows_label(&rows, &data);
	raise_to(s, name, &data);
	for (size_t i = 0; i < answer.len; i++)
		see(s, answer.data[i]);
	buf_free(&answer);
	rows_free(&rows);
}

/* As store/write.c does. */
static void write_slot(struct script *s, unsigned slot, const struct label *l, bool update, int64_t value)
{
	struct run *r = s->run;
	struct world *w = r->w;
	struct monitor *m = &s->i->monitor;
	int64_t changed = 0;
	if (w->fault != RUN_WRITE_DOWN && !monitor_write(m, l).allowed) {
		w->counts->denied_writes++;
		see(s, -1);
		return;
	}
	bool blind = m->mode == FLOW_FIXED && !label_leq(w->p, l, &m->label);
	if (w->fault != RUN_WRITE_SILENT)
		monitor_join(m, l);
	for (size_t i = 0; update && i < r->nrows; i++) {
		if (r->row[i].slot == slot) {
			r->row[i].value += value;
			changed++;
		}
	}
	if (!update) {
		add_row(r, slot, l, "", value);
		changed = 1;
	}
	see(s, blind ? 0 : changed);
}

static bool everybody(void *ctx, const struct label_tag *tag, const char *id)
{
	(void)id;
	return authorised_has(ctx, tag);
}

static void release(struct script *s)
{
	struct world *w = s->run->w;
	const struct monitor *m = &s->i->monitor;
	struct certificate_use use = { .image = image,
				       .instance = &m->label,
				       .ceiling = &m->ceiling,
				       .now = NOW,
				       .authorised = everybody,
				       .ctx = &w->authorised };
	use.only_query = monitor_only_query(m, w->certificate.query, &w->certificate.to, &use.group);
	if (certificate_allows(w->p, &w->certificate, &use).allowed)
		s->released = true;
	else
		see(s, -1);
}

/* --- a request ------------------------------------------------------------------------------------------------ */

/* Ends the script: 502 to whoever may know that. */
static bool crash(struct script *s)
{
	if (shows_end(s))
		return false;
	s->status = 502;
	s->released = false;
	return true;
}

static void run_op(struct script *s, const struct run_op *op)
{
	const struct world *w = s->run->w;
	unsigned slot = op->a % POOL;
	switch (op->kind) {
	case RUN_READ:
		read_slot(s, op->b % 3 ? slot : w->certified);
		break;
	case RUN_ALL:
		read_rows(s, "all");
		break;
	case RUN_OWNED:
		read_rows(s, "owned");
		break;
	case RUN_INSERT:
	case RUN_UPDATE:
		write_slot(s, slot, &w->pool[slot], op->kind == RUN_UPDATE, op->b % 2 ? s->number % 8 : 1);
		break;
	case RUN_HERE: {
		struct label here = s->i->monitor.label;
		write_slot(s, SLOT_HERE, &here, false, s->number % 8);
		break;
	}
	case RUN_KEEP:
		s->i->kept = s->number;
		break;
	case RUN_RECALL:
		see(s, s->i->kept);
		break;
	case RUN_STATUS:
		s->status = 200 + (int)(s->number % 300);
		break;
	case RUN_RELEASE:
		release(s);
		break;
	default:
		break;
	}
}

static void run_script(struct script *s, const struct run_op *op)
{
	for (unsigned i = 0; i < RUN_OPS; i++) {
		if (op[i].kind == RUN_SKIP)
			i += (s->number ^ s->number >> 7 ^ op[i].b) & 1 ? 1 + op[i].a % 3 : 0;
		else if (op[i].kind == RUN_CRASH && crash(s))
			return;
		else
			run_op(s, &op[i]);
	}
}

static struct instance *find_instance(struct run *r, enum app app, unsigned user, const struct label *level)
{
	for (size_t n = 0; n < r->ninstances; n++) {
		struct instance *i = &r->instance[n];
		if (i->live && i->app == app && (app != APP_USER || i->user == user) &&
		    label_equal(r->w->p, &i->level, level))
			return i;
	}
	return NULL;
}

static struct instance *summon(struct run *r, enum app app, unsigned user, const struct label *level)
{
	struct instance *i = &r->instance[r->ninstances];
	struct taint_value slot = { 0 };
	struct err err = { 0 };
	if (r->ninstances == INSTANCES_MAX)
		fail_msg("too many instances");
	*i = (struct instance){ .live = true, .app = app, .user = user, .level = *level };
	i->id = (unsigned)r->ninstances++;
	snprintf(i->uuid, sizeof i->uuid, "00000000-0000-4000-8000-%012u", i->id);
	memcpy(slot.uuid, i->uuid, sizeof slot.uuid);
	label_format(r->w->p, level, slot.label, NULL);
	if (monitor_init(&i->monitor, r->w->p, i->uuid, "a", &slot, &err) < 0)
		fail_msg("%s", err.text);
	return i;
}

static void give_ticket(struct run *r, struct instance *i, unsigned user, unsigned level, unsigned ceiling)
{
	struct world *w = r->w;
	struct ticket t = { .version = TICKET_VERSION, .seq = ++i->seq, .expires = NOW + 1 };
	t.flags = i->app == APP_REQUEST ? TICKET_PRISTINE : i->app == APP_CLASS ? TICKET_FIXED : 0;
	memcpy(t.instance, i->uuid, sizeof t.instance);
	strcpy(t.app, "a");
	snprintf(t.user, sizeof t.user, "u%u", user);
	memcpy(t.label, w->text[level], sizeof t.label);
	memcpy(t.ceiling, w->text[ceiling], sizeof t.ceiling);
	ticket_seal(&t, key);
	enum ticket_verdict v = monitor_ticket(&i->monitor, key, &t, NOW);
	if (v != TICKET_OK)
		fail_msg("ticket: %s", ticket_verdict_code(v));
}

/* The proxy's part: R4, what is told of failures, the instance's next place. */
static void answer(struct script *s, const struct label *ceiling, struct seen *out)
{
	struct world *w = s->run->w;
	struct label carried = s->released ? w->certificate.to : s->i->monitor.label;
	bool blocked = !flow_respond(w->p, &carried, ceiling, ceiling).allowed;
	bool told = w->fault == RUN_FAILURE_SHOWN && s->status == 502;
	out->status = blocked && w->fault != RUN_ANY_ANSWER && !told ? 403 : s->status;
	out->body = out->status == 403 || s->status == 502 ? 0 : s->number;
	out->released = s->released && out->status != 403 && s->status != 502;
	if (out->released)
		*out = (struct seen){ 200, s->number & 1, out->instance, out->cold, true };
	/* What has read more than its session may see ends, whatever it answered. */
	bool secret = !flow_respond(w->p, &s->i->monitor.label, ceiling, ceiling).allowed;
	s->i->live = s->status != 502 && (!secret || w->fault == RUN_LIVES_ON);
	if (s->i->app == APP_REQUEST)
		s->i->kept = 0;
	else if (w->fault != RUN_NOT_REFILED)
		s->i->level = s->i->monitor.label;
}

static struct seen request(struct run *r, const struct run_step *step)
{
	struct world *w = r->w;
	struct seen seen = { 0 };
	enum app app = step->app % APPS;
	unsigned user = step->user % USERS, ceiling = step->ceiling % POOL, level = step->level % POOL;
	if (!below(w, ceiling, w->clearance[user]))
		ceiling = w->clearance[user];
	if (!below(w, level, ceiling))
		level = app == APP_CLASS ? ceiling : 0;
	struct instance *i = find_instance(r, app, user, &w->pool[level]);
	if (!i)
		i = summon(r, app, user, &w->pool[level]);
	seen.instance = i->id;
	seen.cold = !i->served;
	i->served = true;
	give_ticket(r, i, user, level, ceiling);
	struct script s = { .run = r, .i = i, .status = 200, .low = w->low_user[user] };
	run_script(&s, step->op);
	answer(&s, &w->pool[ceiling], &seen);
	return seen;
}

/* --- two of them ---------------------------------------------------------------------------------------------- */

static bool same_low_rows(const struct run runs[2], char why[512])
{
	const struct world *w = runs[0].w;
	const struct label *low = &w->pool[w->low];
	size_t a = 0, b = 0;
	for (;;) {
		while (a < runs[0].nrows && !label_leq(w->p, &runs[0].row[a].label, low))
			a++;
		while (b < runs[1].nrows && !label_leq(w->p, &runs[1].row[b].label, low))
			b++;
		if (a == runs[0].nrows || b == runs[1].nrows)
			break;
		const struct row *x = &runs[0].row[a++], *y = &runs[1].row[b++];
		if (x->slot == y->slot && x->value == y->value && !strcmp(x->text, y->text))
			continue;
		snprintf(why, 512, "a row below: %u %lld and %u %lld", x->slot, (long long)x->value, y->slot,
			 (long long)y->value);
		return false;
	}
	if (a == runs[0].nrows && b == runs[1].nrows)
		return true;
	snprintf(why, 512, "one store has more rows below");
	return false;
}

/* Instances are known by when this user, or any below, met them first. */
struct names {
	unsigned name[2][INSTANCES_MAX], n;
};

static bool same_seen(struct names *names, const struct seen s[2], char why[512])
{
	unsigned *a = &names->name[0][s[0].instance], *b = &names->name[1][s[1].instance];
	if (!*a && !*b)
		*a = *b = ++names->n;
	if (s[0].status == s[1].status && s[0].body == s[1].body && s[0].cold == s[1].cold && *a == *b)
		return true;
	snprintf(why, 512, "an answer: status %d and %d, body %u and %u, instance %u and %u, cold %d and %d",
		 s[0].status, s[1].status, s[0].body, s[1].body, *a, *b, s[0].cold, s[1].cold);
	return false;
}

static void count(struct world *w, bool low, const struct seen *s)
{
	w->counts->steps++;
	w->counts->low_answers += low && s->status != 403;
	w->counts->low_blocked += low && s->status == 403;
	w->counts->releases += low && s->released;
}

static int compare_runs(struct run runs[2], const struct run_step *steps, size_t n, char why[512])
{
	struct world *w = runs[0].w;
	struct names names = { 0 };
	for (size_t at = 0; at < n; at++) {
		struct seen seen[2] = { request(&runs[0], &steps[at]), request(&runs[1], &steps[at]) };
		bool low = w->low_user[steps[at].user % USERS];
		count(w, low, &seen[0]);
		/* The gate's outputs have to be equal; where they are not, nothing is said about what follows. */
		if (low && (seen[0].released || seen[1].released) &&
		    (seen[0].released != seen[1].released || seen[0].body != seen[1].body))
			return -1;
		if ((low && !same_seen(&names, seen, why)) || !same_low_rows(runs, why))
			return (int)at;
	}
	return -1;
}

int run_both(uint64_t seed, enum run_fault fault, const struct run_step *steps, size_t n, struct run_counts *counts,
	     char why[512])
{
	static struct run runs[2];
	struct world w = { .fault = fault, .counts = counts };
	world_make(&w, &seed);
	for (int side = 0; side < 2; side++) {
		runs[side].w = &w;
		runs[side].nrows = runs[side].ninstances = 0;
		runs[side].row = runs[side].row ? runs[side].row : calloc(ROWS_MAX, sizeof(struct row));
	}
	fill_stores(runs, &seed);
	int failed = compare_runs(runs, steps, n, why);
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < runs[side].ninstances; i++)
			monitor_free(&runs[side].instance[i].monitor);
	world_free(&w);
	return failed;
}

void run_random_step(uint64_t *seed, struct run_step *out)
{
	static const enum run_op_kind often[] = { RUN_READ, RUN_ALL, RUN_OWNED, RUN_SKIP, RUN_INSERT, RUN_HERE };
	*out = (struct run_step){ (unsigned)pick(seed, 64),
				  (unsigned)pick(seed, 64),
				  (unsigned)pick(seed, 64),
				  (unsigned)pick(seed, 64),
				  { { 0 } } };
	for (unsigned i = 0; i < RUN_OPS; i++) {
		out->op[i].kind = pick(seed, 2) ? often[pick(seed, 6)] : (enum run_op_kind)pick(seed, RUN_OP_COUNT);
		out->op[i].a = (unsigned)pick(seed, 1000);
		out->op[i].b = (unsigned)pick(seed, 1000);
	}
}

void run_describe(uint64_t seed, const struct run_step *steps, size_t n, struct buf *out)
{
	static const char *const names[] = { "read", "all",  "owned",  "insert", "update",  "here",
					     "skip", "keep", "recall", "status", "release", "crash" };
	static const char *const apps[] = { "request", "user", "class" };
	struct run_counts counts;
	struct world w = { .counts = &counts };
	world_make(&w, &seed);
	buf_printf(out, "%slow: %s\n", w.shadow.text, w.text[w.low]);
	for (unsigned i = 0; i < POOL; i++)
		buf_printf(out, "%u: %s\n", i, w.text[i]);
	for (size_t i = 0; i < n; i++) {
		const struct run_step *s = &steps[i];
		buf_printf(out, "user %u (clearance %u), ceiling %u, level %u, %s:", s->user % USERS,
			   w.clearance[s->user % USERS], s->ceiling % POOL, s->level % POOL, apps[s->app % APPS]);
		for (unsigned k = 0; k < RUN_OPS; k++)
			buf_printf(out, " %s %u %u,", names[s->op[k].kind], s->op[k].a % POOL, s->op[k].b % 2);
		buf_puts(out, "\n");
	}
	world_free(&w);
}
