// SPDX-License-Identifier: MIT
//
// Two-run noninterference over the parts that decide (tests/store/two_runs.h): random policies, stores, users and scripts.
// What differs is shrunk before it is shown. And the other way round: with one thing left out, a difference must be found.
//
// PPCE_TEST_SEED repeats a run; PPCE_TEST_OPS=N: so many scripts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/policy/labels.h"
#include "tests/store/two_runs.h"

#define SCRIPTS_DEFAULT 100000ul /* in each of the two runs */
#define SCRIPTS_FAULT 100000ul	 /* within which a fault must be found */

struct failure {
	uint64_t world;
	struct run_step steps[RUN_STEPS];
	size_t n;
	char why[512];
};

static bool still_fails(struct failure *f, enum run_fault fault, const struct run_step *steps, size_t n)
{
	struct run_counts ignored = { 0 };
	char why[512];
	int failed = run_both(f->world, fault, steps, n, &ignored, why);
	if (failed < 0)
		return false;
	f->n = (size_t)failed + 1;
	memmove(f->steps, steps, f->n * sizeof *steps);
	memcpy(f->why, why, sizeof why);
	return true;
}

/* Leaves out one request, or one operation, as long as it fails without. */
static bool shrink_once(struct failure *f, enum run_fault fault)
{
	struct run_step less[RUN_STEPS];
	for (size_t at = 0; at < f->n; at++) {
		memcpy(less, f->steps, at * sizeof *less);
		memcpy(less + at, f->steps + at + 1, (f->n - at - 1) * sizeof *less);
		if (still_fails(f, fault, less, f->n - 1))
			return true;
	}
	for (size_t at = 0; at < f->n; at++) {
		for (unsigned i = 0; i < RUN_OPS; i++) {
			memcpy(less, f->steps, f->n * sizeof *less);
			if (less[at].op[i].kind == RUN_STATUS)
				continue;
			less[at].op[i] = (struct run_op){ .kind = RUN_STATUS }; /* the most harmless one */
			if (still_fails(f, fault, less, f->n))
				return true;
		}
	}
	return false;
}

/* True: one was found, and shrunk. */
static bool find_difference(uint64_t *seed, enum run_fault fault, unsigned long scripts, struct run_counts *counts,
			    struct failure *f)
{
	while (counts->steps < scripts) {
		f->world = labels_next_random(seed);
		for (size_t i = 0; i < RUN_STEPS; i++)
			run_random_step(seed, &f->steps[i]);
		f->n = RUN_STEPS;
		if (!still_fails(f, fault, f->steps, f->n)) {
			run_both(f->world, fault, f->steps, f->n, counts, f->why);
			continue;
		}
		while (shrink_once(f, fault))
			;
		return true;
	}
	return false;
}

static void show(const struct failure *f)
{
	struct buf b = { .cap = 1u << 20 };
	run_describe(f->world, f->steps, f->n, &b);
	print_message("%s%s\n", buf_text(&b), f->why);
	buf_free(&b);
}

static void test_two_runs(void **state)
{
	(void)state;
	static struct failure f;
	struct run_counts c = { 0 };
	const char *text = getenv("PPCE_TEST_OPS");
	uint64_t seed = labels_seed();
	if (find_difference(&seed, RUN_RIGHT, text ? strtoul(text, NULL, 0) : SCRIPTS_DEFAULT, &c, &f)) {
		show(&f);
		fail_msg("%s", f.why);
	}
	print_message(
		"%lu scripts in each run; below: %lu answers, %lu blocked, %lu released; above: %lu reads; %lu writes "
		"denied\n",
		c.steps, c.low_answers, c.low_blocked, c.releases, c.high_reads, c.denied_writes);
	if (!text && (c.low_answers < 10000 || c.low_blocked < 500 || c.releases < 300 || c.high_reads < 10000 ||
		      c.denied_writes < 10000))
		fail_msg("something is rare");
}

static void test_faults(void **state)
{
	(void)state;
	static const char *const names[] = { "none",	   "no raise",	    "rows only",   "write silent", "write down",
					     "any answer", "failure shown", "not refiled", "lives on" };
	static struct failure f;
	uint64_t seed = labels_seed();
	for (unsigned i = RUN_RIGHT + 1; i < RUN_FAULTS; i++) {
		struct run_counts c = { 0 };
		if (!find_difference(&seed, (enum run_fault)i, SCRIPTS_FAULT, &c, &f))
			fail_msg("not found: %s", names[i]);
		print_message("%s: after %lu scripts, shown by %zu requests\n", names[i], c.steps, f.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_two_runs), cmocka_unit_test(test_faults) };
	return cmocka_run_group_tests_name("two runs", tests, NULL, NULL);
}
