/* SPDX-License-Identifier: MIT
 *
 * The flow rules against an independent shadow tracker: two million random operations over random policies. A failing list
 * of operations is shrunk before it is shown. And the other way round: rules with one fault each, which this must find.
 *
 * PPCE_TEST_SEED repeats a run; PPCE_TEST_OPS=N makes it longer or shorter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/policy/labels.h"
#include "tests/policy/shadow_world.h"

#define OPS_DEFAULT 2000000ul /* that came to a decision */
#define OPS_WORLD 400u	      /* operations in one world */
#define OPS_FAULT 400000ul    /* within which a fault must be found */
#define SHRUNK_MAX 12u	      /* operations that show a fault */

struct failure {
	uint64_t world;
	struct op ops[OPS_WORLD];
	size_t n;
	char why[512];
};

/* The list without `cut` operations at `at`, if that fails too. */
static bool leave_out(struct failure *f, const struct rules *rules, size_t at, size_t cut)
{
	struct counts ignored = { { 0 }, { 0 } };
	struct op less[OPS_WORLD];
	char why[512];
	memcpy(less, f->ops, at * sizeof *less);
	memcpy(less + at, f->ops + at + cut, (f->n - at - cut) * sizeof *less);
	int failed = world_run(f->world, rules, less, f->n - cut, &ignored, why);
	if (failed < 0)
		return false;
	f->n = (size_t)failed + 1;
	memcpy(f->ops, less, f->n * sizeof *less);
	memcpy(f->why, why, sizeof why);
	return true;
}

static void leave_out_all(struct failure *f, const struct rules *rules, size_t cut)
{
	for (size_t at = 0; at + cut <= f->n;)
		if (!leave_out(f, rules, at, cut))
			at += cut;
}

/* Leaves out halves first, single operations in the end, until none can be left out. */
static void shrink(struct failure *f, const struct rules *rules)
{
	size_t before;
	for (size_t cut = f->n / 2; cut > 1; cut /= 2)
		leave_out_all(f, rules, cut);
	do {
		before = f->n;
		leave_out_all(f, rules, 1);
	} while (f->n < before);
}

static unsigned long decisions(const struct counts *c)
{
	unsigned long sum = 0;
	for (size_t i = 0; i < OP_COUNT; i++)
		sum += c->allowed[i] + c->denied[i];
	return sum;
}

/* True: one was found, and shrunk. */
static bool find_failure(uint64_t *seed, const struct rules *rules, unsigned long ops, struct counts *counts,
			 struct failure *f)
{
	while (decisions(counts) < ops) {
		f->world = labels_next_random(seed);
		for (size_t i = 0; i < OPS_WORLD; i++)
			f->ops[i] = world_random_op(seed);
		int failed = world_run(f->world, rules, f->ops, OPS_WORLD, counts, f->why);
		if (failed < 0)
			continue;
		f->n = (size_t)failed + 1;
		shrink(f, rules);
		return true;
	}
	return false;
}

static void test_shadow(void **state)
{
	(void)state;
	static struct failure f;
	struct counts counts = { { 0 }, { 0 } };
	const char *text = getenv("PPCE_TEST_OPS");
	uint64_t seed = labels_seed();
	if (find_failure(&seed, &world_rules, text ? strtoul(text, NULL, 0) : OPS_DEFAULT, &counts, &f)) {
		struct buf b = { .cap = 1u << 20 };
		world_describe(f.world, f.ops, f.n, &b);
		print_message("%s\n", buf_text(&b));
		fail_msg("%s", f.why);
	}
	for (size_t i = 0; i < OP_COUNT; i++)
		print_message("%-10s %lu allowed, %lu denied\n", world_op_name((enum op_kind)i), counts.allowed[i],
			      counts.denied[i]);
	for (size_t i = 0; i < OP_COUNT && !text; i++) /* neither outcome is rare */
		if (counts.allowed[i] < 1000 || counts.denied[i] < 1000)
			fail_msg("%s: one outcome is rare", world_op_name((enum op_kind)i));
}

/* Rules with one fault each */

static struct flow_verdict read_without_raise(const struct policy *p, enum flow_mode mode, const struct label *i,
					      const struct label *c, const struct label *d, struct label *after)
{
	struct label ignored;
	*after = *i;
	return flow_read(p, mode, i, c, d, &ignored);
}

static struct flow_verdict read_replaces(const struct policy *p, enum flow_mode mode, const struct label *i,
					 const struct label *c, const struct label *d, struct label *after)
{
	struct flow_verdict v = flow_read(p, mode, i, c, d, after);
	if (v.allowed && mode == FLOW_FLOAT)
		*after = *d;
	return v;
}

static struct flow_verdict read_forgets_axis(const struct policy *p, enum flow_mode mode, const struct label *i,
					     const struct label *c, const struct label *d, struct label *after)
{
	struct flow_verdict v = flow_read(p, mode, i, c, d, after);
	size_t last = policy_axes(p) - 1;
	after->axis[last] = i->axis[last];
	return v;
}

static struct flow_verdict read_forgets_tags(const struct policy *p, enum flow_mode mode, const struct label *i,
					     const struct label *c, const struct label *d, struct label *after)
{
	struct flow_verdict v = flow_read(p, mode, i, c, d, after);
	after->tags_len = i->tags_len;
	memcpy(after->tags, i->tags, i->tags_len);
	return v;
}

static struct flow_verdict read_any(const struct policy *p, enum flow_mode mode, const struct label *i,
				    const struct label *c, const struct label *d, struct label *after)
{
	struct label top;
	(void)c;
	label_top(p, &top);
	return flow_read(p, mode, i, &top, d, after);
}

static struct flow_verdict read_floats_always(const struct policy *p, enum flow_mode mode, const struct label *i,
					      const struct label *c, const struct label *d, struct label *after)
{
	(void)mode;
	return flow_read(p, FLOW_FLOAT, i, c, d, after);
}

static struct flow_verdict write_down(const struct policy *p, const struct label *i, const struct label *c,
				      const struct label *d)
{
	struct label bottom;
	(void)i;
	label_bottom(p, &bottom);
	return flow_write(p, &bottom, c, d);
}

static struct flow_verdict write_above_ceiling(const struct policy *p, const struct label *i, const struct label *c,
					       const struct label *d)
{
	struct label top;
	(void)c;
	label_top(p, &top);
	return flow_write(p, i, &top, d);
}

static struct flow_verdict respond_without_clearance(const struct policy *p, const struct label *i,
						     const struct label *ceiling, const struct label *clearance)
{
	(void)clearance;
	return flow_respond(p, i, ceiling, ceiling);
}

static struct flow_verdict respond_without_ceiling(const struct policy *p, const struct label *i,
						   const struct label *ceiling, const struct label *clearance)
{
	(void)ceiling;
	return flow_respond(p, i, clearance, clearance);
}

static struct flow_verdict send_down(const struct policy *p, const struct label *from, const struct label *to)
{
	return flow_send(p, to, from);
}

static struct flow_verdict egress_without_sink(const struct policy *p, const struct label *i, const struct label *sink)
{
	struct label top;
	label_top(p, &top);
	return flow_egress(p, i, sink ? sink : &top);
}

static struct flow_verdict revoke_nothing(const struct policy *p, const struct label *l, const struct label *clearance)
{
	(void)clearance;
	return flow_revoked(p, l, l);
}

static struct flow_verdict session_above_clearance(const struct policy *p, const struct label *floor,
						   const struct label *ceiling, const struct label *clearance)
{
	(void)clearance;
	return flow_session(p, floor, ceiling, ceiling);
}

static struct flow_verdict request_below_floor(const struct policy *p, const struct label *floor,
					       const struct label *ceiling, const struct label *r)
{
	(void)floor;
	return flow_request(p, r, ceiling, r);
}

static struct flow_verdict deliver_upwards(const struct policy *p, const struct label *r, const char *user,
					   const struct label *bound, const char *owner)
{
	return flow_deliver(p, label_leq(p, r, bound) ? bound : r, user, bound, owner);
}

static struct flow_verdict deliver_to_anyone(const struct policy *p, const struct label *r, const char *user,
					     const struct label *bound, const char *owner)
{
	(void)owner;
	return flow_deliver(p, r, user, bound, "");
}

static bool everyone(void *ctx, const struct label_tag *tag, const char *id)
{
	(void)ctx;
	(void)tag;
	(void)id;
	return true;
}

static struct flow_verdict declassify_without_owners(const struct policy *p, const struct certificate *c,
						     const struct certificate_use *use)
{
	struct certificate_use other = *use;
	other.authorised = everyone;
	return certificate_allows(p, c, &other);
}

static struct flow_verdict declassify_from_anywhere(const struct policy *p, const struct certificate *c,
						    const struct certificate_use *use)
{
	struct certificate other = *c;
	label_top(p, &other.from);
	return certificate_allows(p, &other, use);
}

static struct flow_verdict declassify_above_ceiling(const struct policy *p, const struct certificate *c,
						    const struct certificate_use *use)
{
	struct certificate_use other = *use;
	struct label top;
	label_top(p, &top);
	other.ceiling = &top;
	return certificate_allows(p, c, &other);
}

static struct flow_verdict declassify_small_groups(const struct policy *p, const struct certificate *c,
						   const struct certificate_use *use)
{
	struct certificate_use other = *use;
	other.group++;
	return certificate_allows(p, c, &other);
}

#define FAULT(member, function)                            \
	{                                                  \
#function, offsetof(struct rules, member), \
		{                                          \
			.member = function                 \
		}                                          \
	}

static const struct {
	const char *name;
	size_t at; /* the rule that is replaced */
	struct rules rules;
} faults[] = {
	FAULT(read, read_without_raise),
	FAULT(read, read_replaces),
	FAULT(read, read_forgets_axis),
	FAULT(read, read_forgets_tags),
	FAULT(read, read_any),
	FAULT(read, read_floats_always),
	FAULT(write, write_down),
	FAULT(write, write_above_ceiling),
	FAULT(respond, respond_without_clearance),
	FAULT(respond, respond_without_ceiling),
	FAULT(send, send_down),
	FAULT(egress, egress_without_sink),
	FAULT(revoked, revoke_nothing),
	FAULT(session, session_above_clearance),
	FAULT(request, request_below_floor),
	FAULT(deliver, deliver_upwards),
	FAULT(deliver, deliver_to_anyone),
	FAULT(declassify, declassify_without_owners),
	FAULT(declassify, declassify_from_anywhere),
	FAULT(declassify, declassify_above_ceiling),
	FAULT(declassify, declassify_small_groups),
};

static void test_faults(void **state)
{
	(void)state;
	static struct failure f;
	uint64_t seed = labels_seed();
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct counts counts = { { 0 }, { 0 } };
		struct rules rules = world_rules;
		memcpy((char *)&rules + faults[i].at, (const char *)&faults[i].rules + faults[i].at,
		       sizeof rules.session);
		if (!find_failure(&seed, &rules, OPS_FAULT, &counts, &f))
			fail_msg("not found: %s", faults[i].name);
		if (f.n > SHRUNK_MAX)
			fail_msg("%s: shown by %zu operations only", faults[i].name, f.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_shadow), cmocka_unit_test(test_faults) };
	return cmocka_run_group_tests_name("flow against a shadow", tests, NULL, NULL);
}
