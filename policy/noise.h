/* SPDX-License-Identifier: MIT
 *
 * Integer noise for differential privacy. Internal to policy/. */
#ifndef POLICY_NOISE_H
#define POLICY_NOISE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

typedef void noise_random(void *out, size_t len); /* fills bytes, uniformly */

/* A whole number x with probability proportional to exp(-|x| * den / num): scale num/den. 1 <= num < 2^52, 1 <= den. */
int64_t noise_sample(noise_random *random, uint64_t num, uint64_t den);

/* Adds noise to the members of `value` that `schema` marks; `value` has matched it. `epsilon` (in millionths, > 0) is what
 * the whole release may cost: with n marked members each gets epsilon/n, so each scale is sensitivity * n / epsilon. */
int noise_add(const json_t *schema, json_t *value, uint64_t epsilon, noise_random *random, struct err *err);

#endif
