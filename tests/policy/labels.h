/* SPDX-License-Identifier: MIT
 *
 * What the policy tests share: loading a test policy, every label of a small one, random labels of a large one, and the
 * order written down a second time.
 */
#ifndef TESTS_LABELS_H
#define TESTS_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

#define LABELS_MAX 256

struct policy *labels_policy(const char *file); /* of tests/policy/policies; fails the test if it does not parse */
struct policy *labels_policy_text(const char *text);
struct label labels_parse(const struct policy *p, const char *text);
size_t labels_all(const struct policy *p, struct label out[LABELS_MAX]);
/* The definition of the order, member by member, apart from the code under test. A hasse axis is one of those whose covers
 * labels.c knows, by its name. */
bool labels_leq(const struct policy *p, const struct label *a, const struct label *b);

uint64_t labels_seed(void); /* of this run; printed, and taken from PPCE_TEST_SEED if that is set */
uint64_t labels_next_random(uint64_t *seed);
struct label labels_random(const struct policy *p, uint64_t *seed);

#endif
