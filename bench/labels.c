/* SPDX-License-Identifier: MIT
 *
 * What comparing labels costs: random pairs of labels of four axes, one of each kind, half of them comparable.
 *
 *   bench-labels [tags]    how many owner tags a label has, 4 by default (a few dozen fit)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "policy/flow.h"
#include "policy/policy.h"

#define PAIRS 1024u
#define ROUNDS 2000u

static const char policy_text[] =
	"axes:\n"
	"  level: {chain: [UNCLASSIFIED, NATO_RESTRICTED, NATO_CONFIDENTIAL, NATO_SECRET, COSMIC_TOP_SECRET]}\n"
	"  comp:  {subset: [A, B, C, D, E, F, G, H]}\n"
	"  dept:  {hasse: {elements: [public, ward, lab, chief],\n"
	"                  covers: [[public, ward], [public, lab], [ward, chief], [lab, chief]]}}\n"
	"  own:   {owners: [training, medical]}\n";

struct pair {
	struct label low, high;
};

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static struct label random_label(const struct policy *p, unsigned tags, uint64_t *seed)
{
	struct label l = { .axis = { next_random(seed) % 5, next_random(seed) % 256, next_random(seed) % 4 } };
	struct err err;
	for (unsigned i = 0; i < tags; i++) {
		char owner[16];
		snprintf(owner, sizeof owner, "p%u", (unsigned)(next_random(seed) % 100));
		label_add_tag(p, &l, owner, policy_category(p, i % 2), &l,
			      &err); /* one that does not fit is left out */
	}
	return l;
}

static void fill(const struct policy *p, unsigned tags, struct pair pairs[PAIRS])
{
	uint64_t seed = 1;
	for (size_t i = 0; i < PAIRS; i++) {
		pairs[i].low = random_label(p, tags, &seed);
		pairs[i].high = random_label(p, tags, &seed);
		if (i % 2)
			label_join(p, &pairs[i].low, &pairs[i].high, &pairs[i].high);
	}
}

enum work { COMPARE, EQUAL, JOIN, READ };

static unsigned do_one(const struct policy *p, enum work work, const struct pair *pair)
{
	struct label out;
	switch (work) {
	case COMPARE:
		return label_leq(p, &pair->low, &pair->high);
	case EQUAL:
		return label_equal(p, &pair->low, &pair->high);
	case JOIN:
		label_join(p, &pair->low, &pair->high, &out);
		return out.tags_len;
	default:
		return flow_read(p, FLOW_FLOAT, &pair->low, &pair->high, &pair->low, &out).allowed;
	}
}

static void measure(const struct policy *p, const char *name, enum work work, const struct pair pairs[PAIRS])
{
	unsigned long sum = 0;
	uint64_t start = clock_ns();
	for (size_t round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < PAIRS; i++)
			sum += do_one(p, work, &pairs[i]);
	uint64_t ns = clock_ns() - start;
	printf("%-8s %7.1f ns (checksum %lu)\n", name, (double)ns / (ROUNDS * PAIRS), sum);
}

int main(int argc, char **argv)
{
	static struct pair pairs[PAIRS];
	unsigned tags = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4;
	struct err err;
	struct policy *p = policy_parse("bench", policy_text, strlen(policy_text), &err);
	if (!p) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	fill(p, tags, pairs);
	printf("labels of 4 axes with up to %u tags, per operation:\n", tags);
	measure(p, "compare", COMPARE, pairs);
	measure(p, "equal", EQUAL, pairs);
	measure(p, "join", JOIN, pairs);
	measure(p, "read", READ, pairs);
	policy_free(p);
	return 0;
}
