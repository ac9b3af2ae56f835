/* SPDX-License-Identifier: MIT */
#include "tests/policy/shadow_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/policy/labels.h"

#define POOL 10
#define USERS 3
#define SESSIONS 4
#define INSTANCES 4
#define OBJECTS 6

struct both { /* one label, in both models */
	struct facts f;
	struct label l;
};

struct session {
	bool live;
	unsigned user;
	struct both floor, ceiling;
};

struct instance {
	bool live;
	enum flow_mode mode;
	unsigned session;
	unsigned owner; /* user, if it floats */
	struct both label, ceiling;
	bool ceiling_set;
	struct facts knows; /* what has really flowed into it */
};

struct object {
	struct both label;
	struct facts holds;
};

struct world {
	struct shadow_policy shadow;
	struct policy *p;
	const struct rules *rules;
	struct both pool[POOL];
	struct both clearance[USERS];
	struct session sessions[SESSIONS];
	struct instance instances[INSTANCES];
	struct object objects[OBJECTS];
	struct counts *counts;
	enum op_kind kind; /* what is being done */
	char *why;	   /* empty as long as all goes well */
};

const struct rules world_rules = {
	.session = flow_session,
	.request = flow_request,
	.deliver = flow_deliver,
	.read = flow_read,
	.write = flow_write,
	.respond = flow_respond,
	.send = flow_send,
	.egress = flow_egress,
	.revoked = flow_revoked,
	.declassify = certificate_allows,
};

static const char *const users[USERS] = { "p7", "p8", "olga" };
static const char image[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void complain(struct world *w, const char *why)
{
	if (!*w->why)
		snprintf(w->why, 512, "%s", why);
}

static void must(struct world *w, bool holds, const char *why)
{
	if (!holds)
		complain(w, why);
}

static bool in(const struct facts *a, const struct facts *b)
{
	return shadow_within(a, b);
}

/* What the library decided, which must be what the shadow expects. */
static bool agree(struct world *w, struct flow_verdict v, bool expected, enum flow_rule rule)
{
	if (v.allowed != expected) {
		char text[512];
		snprintf(text, sizeof text, "%s %s, which the shadow does not: %s", flow_rule_name(rule),
			 v.allowed ? "allowed" : "denied", v.why);
		complain(w, text);
	}
	must(w, v.rule == rule || rule == FLOW_R8_REUSE, "the verdict names another rule");
	v.allowed ? w->counts->allowed[w->kind]++ : w->counts->denied[w->kind]++;
	return v.allowed;
}

static void same(struct world *w, const struct both *b)
{
	char library[PPCE_LABEL_SIZE], shadow[PPCE_LABEL_SIZE], text[512];
	if (label_format(w->p, &b->l, library, NULL) < 0)
		complain(w, "a label cannot be written");
	shadow_format(&w->shadow, &b->f, shadow);
	snprintf(text, sizeof text, "the label is %.200s, in the shadow %.200s", library, shadow);
	must(w, !strcmp(library, shadow), text);
}

static struct both make(struct world *w, const struct facts *f)
{
	char text[PPCE_LABEL_SIZE];
	struct both b = { .f = *f };
	struct err err = { 0 };
	shadow_format(&w->shadow, f, text);
	if (label_parse(w->p, text, &b.l, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return b;
}

/* Labels that are often comparable: the bounds, some, and joins of some. */
static void fill_pool(struct world *w, uint64_t *seed)
{
	struct facts f = shadow_bottom(&w->shadow);
	w->pool[0] = make(w, &f);
	f = shadow_top(&w->shadow);
	w->pool[1] = make(w, &f);
	for (size_t i = 2; i < POOL; i++) {
		f = shadow_random(&w->shadow, seed);
		if (i >= POOL / 2) {
			f = shadow_union(&f, &w->pool[i - POOL / 2 + 2].f);
			f = shadow_close(&w->shadow, &f);
		}
		w->pool[i] = make(w, &f);
	}
}

static void world_make(struct world *w, uint64_t seed)
{
	struct err err = { 0 };
	shadow_policy_random(&w->shadow, &seed);
	w->p = policy_parse("shadow", w->shadow.text, strlen(w->shadow.text), &err);
	if (!w->p)
		fail_msg("%s\n%s", err.text, w->shadow.text);
	fill_pool(w, &seed);
	for (size_t i = 0; i < USERS; i++)
		w->clearance[i] = w->pool[labels_next_random(&seed) % 4 ? 1 : labels_next_random(&seed) % POOL];
	for (size_t i = 0; i < OBJECTS; i++) {
		w->objects[i].label = w->pool[labels_next_random(&seed) % POOL];
		w->objects[i].holds = w->objects[i].label.f;
	}
}

static void login(struct world *w, const struct op *op)
{
	struct session *s = &w->sessions[op->a % SESSIONS];
	unsigned user = op->b % USERS;
	const struct both *floor = &w->pool[op->c % POOL], *ceiling = &w->pool[op->d % POOL];
	bool expected = in(&floor->f, &ceiling->f) && in(&ceiling->f, &w->clearance[user].f);
	if (!agree(w, w->rules->session(w->p, &floor->l, &ceiling->l, &w->clearance[user].l), expected,
		   FLOW_R0_SESSION))
		return;
	for (size_t i = 0; i < INSTANCES; i++)
		if (w->instances[i].session == op->a % SESSIONS)
			w->instances[i].live = false;
	*s = (struct session){ .live = true, .user = user, .floor = *floor, .ceiling = *ceiling };
}

/* R1 and R8: does the request go to the instance that is there? */
static bool deliver(struct world *w, const struct instance *i, unsigned user, const struct both *r)
{
	bool owned = i->mode == FLOW_FLOAT;
	bool exact = in(&r->f, &i->label.f) && in(&i->label.f, &r->f);
	struct flow_verdict v = w->rules->deliver(w->p, &r->l, users[user], &i->label.l, owned ? users[i->owner] : "");
	return agree(w, v, exact && (!owned || i->owner == user), FLOW_R8_REUSE);
}

static void request(struct world *w, const struct op *op)
{
	struct instance *i = &w->instances[op->a % INSTANCES];
	const struct session *s = &w->sessions[op->b % SESSIONS];
	const struct both *r = op->c % 3 ? &s->floor : &w->pool[op->c % POOL];
	if (!s->live || !agree(w, w->rules->request(w->p, &s->floor.l, &s->ceiling.l, &r->l),
			       in(&s->floor.f, &r->f) && in(&r->f, &s->ceiling.f), FLOW_R1_ROUTE))
		return;
	if (!i->live || !deliver(w, i, s->user, r)) {
		if (i->live && op->d % 2) /* it goes elsewhere, or nowhere */
			return;
		*i = (struct instance){
			.live = true, .mode = op->d % 4 < 3 ? FLOW_FLOAT : FLOW_FIXED, .label = *r, .owner = s->user
		};
	}
	if (!i->ceiling_set || op->d & 8) /* an instance may keep the ceiling of the session that it was summoned for */
		i->ceiling = s->ceiling;
	i->ceiling_set = true;
	i->session = op->b % SESSIONS;
}

/* The instance, if it works for a session. */
static struct instance *working(struct world *w, unsigned n)
{
	struct instance *i = &w->instances[n % INSTANCES];
	return i->live && w->sessions[i->session].live ? i : NULL;
}

static void read_object(struct world *w, const struct op *op)
{
	struct instance *i = working(w, op->a);
	const struct object *o = &w->objects[op->b % OBJECTS];
	struct label after;
	if (!i)
		return;
	bool expected = in(&o->label.f, i->mode == FLOW_FIXED ? &i->label.f : &i->ceiling.f);
	struct flow_verdict v = w->rules->read(w->p, i->mode, &i->label.l, &i->ceiling.l, &o->label.l, &after);
	if (agree(w, v, expected, FLOW_R2_READ)) {
		i->knows = shadow_union(&i->knows, &o->holds);
		if (i->mode == FLOW_FLOAT) {
			i->label.f = shadow_union(&i->label.f, &o->label.f);
			i->label.f = shadow_close(&w->shadow, &i->label.f);
		}
	}
	i->label.l = after;
	same(w, &i->label);
	must(w, in(&i->knows, &i->label.f), "R2: the instance knows what its label does not cover");
}

static void write_object(struct world *w, const struct op *op)
{
	struct instance *i = working(w, op->a);
	struct object *o = &w->objects[op->b % OBJECTS];
	if (!i)
		return;
	const struct both label = op->d % 2 ? i->label : w->pool[op->c % POOL];
	bool expected = in(&i->label.f, &label.f) && in(&label.f, &i->ceiling.f);
	if (!agree(w, w->rules->write(w->p, &i->label.l, &i->ceiling.l, &label.l), expected, FLOW_R3_WRITE))
		return;
	o->label = label;
	o->holds = i->knows;
	must(w, in(&o->holds, &o->label.f), "R3: the object holds what its label does not cover");
}

static void respond(struct world *w, const struct op *op)
{
	struct instance *i = working(w, op->a);
	if (!i)
		return;
	const struct session *s = &w->sessions[i->session];
	const struct both *clearance = &w->clearance[s->user];
	bool expected = in(&i->label.f, &s->ceiling.f) && in(&i->label.f, &clearance->f);
	if (!agree(w, w->rules->respond(w->p, &i->label.l, &s->ceiling.l, &clearance->l), expected, FLOW_R4_RESPOND))
		return;
	must(w, in(&i->knows, &clearance->f) && in(&i->knows, &s->ceiling.f),
	     "R4: the user learns what the clearance or the session does not cover");
}

static void send_message(struct world *w, const struct op *op)
{
	struct instance *from = working(w, op->a), *to = working(w, op->b);
	if (!from || !to || from == to ||
	    !agree(w, w->rules->send(w->p, &from->label.l, &to->label.l), in(&from->label.f, &to->label.f),
		   FLOW_R5_SEND))
		return;
	to->knows = shadow_union(&to->knows, &from->knows);
	must(w, in(&to->knows, &to->label.f), "R5: the receiver knows what its label does not cover");
}

static void egress(struct world *w, const struct op *op)
{
	struct instance *i = working(w, op->a);
	const struct both *sink = op->c % 8 ? &w->pool[op->b % POOL] : NULL;
	if (!i || !agree(w, w->rules->egress(w->p, &i->label.l, sink ? &sink->l : NULL),
			 sink && in(&i->label.f, &sink->f), FLOW_R6_EGRESS))
		return;
	must(w, sink && in(&i->knows, &sink->f), "R6: the sink gets what its label does not cover");
}

/* R9: what may not live on ends before the revocation is acknowledged. */
static void revoke(struct world *w, const struct op *op)
{
	unsigned user = op->a % USERS;
	const struct both *now = &w->pool[op->b % POOL];
	w->clearance[user] = *now;
	if (op->c % 2) /* the clearance is another one, but nothing has ended yet: R4 has to hold alone */
		return;
	for (size_t n = 0; n < SESSIONS; n++) {
		struct session *s = &w->sessions[n];
		if (s->live && s->user == user)
			s->live = agree(w, w->rules->revoked(w->p, &s->ceiling.l, &now->l), in(&s->ceiling.f, &now->f),
					FLOW_R9_REVOKE);
	}
	for (size_t n = 0; n < INSTANCES; n++) {
		struct instance *i = &w->instances[n];
		if (!i->live || w->sessions[i->session].user != user)
			continue;
		i->live = agree(w, w->rules->revoked(w->p, &i->label.l, &now->l), in(&i->label.f, &now->f),
				FLOW_R9_REVOKE);
		must(w, !i->live || in(&i->knows, &now->f), "R9: an instance lives on that knows what was revoked");
	}
}

struct authorisation {
	const struct shadow_policy *shadow;
	uint64_t tags; /* by number, on whichever axis has tags */
};

static bool authorised(void *ctx, const struct label_tag *tag, const char *id)
{
	const struct authorisation *a = ctx;
	char text[256];
	(void)id;
	snprintf(text, sizeof text, "%s/%s", tag->owner, tag->category);
	for (size_t axis = 0; axis < a->shadow->naxes; axis++)
		for (size_t i = 0; i < a->shadow->axes[axis].n; i++)
			if (a->shadow->axes[axis].kind == AXIS_OWNERS && !strcmp(a->shadow->axes[axis].value[i], text))
				return a->tags >> i & 1;
	return false;
}

/* The tags, as facts, that stand in `from` and not in `to`. */
static uint64_t lost_tags(const struct world *w, const struct facts *from, const struct facts *to)
{
	for (size_t i = 0; i < w->shadow.naxes; i++)
		if (w->shadow.axes[i].kind == AXIS_OWNERS)
			return from->on[i] & ~to->on[i];
	return 0;
}

static void declassify(struct world *w, const struct op *op)
{
	struct instance *i = working(w, op->a);
	if (!i)
		return;
	const struct both *from = op->d >> 1 & 3 ? &w->pool[1] : &w->pool[op->b % POOL], *to = &w->pool[op->c % POOL];
	const struct session *s = &w->sessions[i->session];
	/* The low bits decide the conditions that have nothing to do with labels, mostly in favour. */
	bool same_image = op->d >> 3 & 7, only_query = op->d >> 6 & 7, large = op->d >> 9 & 7, valid = op->d >> 12 & 7;
	struct authorisation a = { &w->shadow, (uint64_t)(op->d >> 16 & 255) | (op->d & 1 ? 255 : 0) };
	struct certificate c = { .from = from->l, .to = to->l, .min_group = 5, .expires = 1000 };
	memcpy(c.image, image, sizeof image);
	struct certificate_use use = { .image = same_image ? image : image + 1,
				       .instance = &i->label.l,
				       .ceiling = &s->ceiling.l,
				       .only_query = only_query,
				       .group = large ? 5 : 4,
				       .now = valid ? 999 : 1000,
				       .authorised = authorised,
				       .ctx = &a };
	bool expected = same_image && only_query && large && valid && in(&i->label.f, &from->f) &&
			in(&to->f, &s->ceiling.f) && !(lost_tags(w, &i->label.f, &to->f) & ~a.tags);
	if (!agree(w, w->rules->declassify(w->p, &c, &use), expected, FLOW_R7_DECLASSIFY))
		return;
	must(w, in(&i->knows, &from->f), "R7: the value holds what the certificate does not speak of");
	must(w, !(lost_tags(w, &i->knows, &to->f) & ~a.tags), "R7: an owner's data leaves who has not authorised it");
	same(w, &i->label); /* it stays as tainted as it was */
}

static void (*const acts[OP_COUNT])(struct world *w, const struct op *op) = {
	[OP_LOGIN] = login,	   [OP_REQUEST] = request, [OP_READ] = read_object,
	[OP_WRITE] = write_object, [OP_RESPOND] = respond, [OP_SEND] = send_message,
	[OP_EGRESS] = egress,	   [OP_REVOKE] = revoke,   [OP_DECLASSIFY] = declassify,
};

const char *world_op_name(enum op_kind kind)
{
	static const char *const names[OP_COUNT] = { "login", "request", "read",   "write",	"respond",
						     "send",  "egress",	 "revoke", "declassify" };
	return names[kind];
}

struct op world_random_op(uint64_t *seed)
{
	static const enum op_kind often[] = { OP_LOGIN, OP_LOGIN,  OP_REQUEST,	  OP_REQUEST,	OP_REQUEST, OP_READ,
					      OP_READ,	OP_READ,   OP_WRITE,	  OP_WRITE,	OP_RESPOND, OP_RESPOND,
					      OP_SEND,	OP_EGRESS, OP_DECLASSIFY, OP_DECLASSIFY };
	uint64_t w = labels_next_random(seed), x = labels_next_random(seed);
	/* Revocations are rare, or nobody would have a session. */
	enum op_kind kind = w % 64 ? often[w / 64 % (sizeof often / sizeof *often)] : OP_REVOKE;
	return (struct op){ kind, (unsigned)(w >> 32), (unsigned)(w >> 40), (unsigned)x, (unsigned)(x >> 32) };
}

int world_run(uint64_t seed, const struct rules *rules, const struct op *ops, size_t n, struct counts *counts,
	      char why[512])
{
	static struct world w;
	memset(&w, 0, sizeof w);
	w.rules = rules;
	w.counts = counts;
	w.why = why;
	*why = '\0';
	world_make(&w, seed);
	int failed = -1;
	for (size_t i = 0; i < n && failed < 0; i++) {
		w.kind = ops[i].kind;
		acts[ops[i].kind](&w, &ops[i]);
		if (*why)
			failed = (int)i;
	}
	policy_free(w.p);
	return failed;
}

static void describe_label(const struct world *w, unsigned n, const char *what, struct buf *out)
{
	char text[PPCE_LABEL_SIZE];
	shadow_format(&w->shadow, &w->pool[n % POOL].f, text);
	buf_printf(out, " %s(pool %u) %s", what, n % POOL, text);
}

static void describe(const struct world *w, const struct op *op, struct buf *out)
{
	buf_printf(out, "  %s a=%u b=%u c=%u d=0x%x", world_op_name(op->kind), op->a, op->b, op->c, op->d);
	switch (op->kind) {
	case OP_LOGIN:
		buf_printf(out, ": session %u of user %u", op->a % SESSIONS, op->b % USERS);
		describe_label(w, op->c, "floor", out);
		describe_label(w, op->d, "ceiling", out);
		break;
	case OP_REQUEST:
		buf_printf(out, ": instance %u, session %u", op->a % INSTANCES, op->b % SESSIONS);
		break;
	case OP_READ:
	case OP_WRITE:
		buf_printf(out, ": instance %u, object %u", op->a % INSTANCES, op->b % OBJECTS);
		break;
	case OP_REVOKE:
		buf_printf(out, ": user %u", op->a % USERS);
		describe_label(w, op->b, "clearance", out);
		break;
	case OP_DECLASSIFY:
		describe_label(w, op->b, "from", out);
		describe_label(w, op->c, "to", out);
		break;
	default:
		buf_printf(out, ": instance %u", op->a % INSTANCES);
	}
	buf_puts(out, "\n");
}

void world_describe(uint64_t seed, const struct op *ops, size_t n, struct buf *out)
{
	static struct world w;
	char text[PPCE_LABEL_SIZE];
	memset(&w, 0, sizeof w);
	world_make(&w, seed);
	buf_printf(out, "%s", w.shadow.text);
	for (size_t i = 0; i < USERS; i++) {
		shadow_format(&w.shadow, &w.clearance[i].f, text);
		buf_printf(out, "  user %zu: %s\n", i, text);
	}
	for (size_t i = 0; i < OBJECTS; i++) {
		shadow_format(&w.shadow, &w.objects[i].label.f, text);
		buf_printf(out, "  object %zu: %s\n", i, text);
	}
	for (size_t i = 0; i < n; i++)
		describe(&w, &ops[i], out);
	policy_free(w.p);
}
