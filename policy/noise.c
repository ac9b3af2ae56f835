/* SPDX-License-Identifier: MIT
 *
 * Noise of the discrete Laplace distribution, as in Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential
 * Privacy" (2020), algorithms 1 and 2: whole numbers only, because the low bits of a double tell what the noise was added
 * to (Mironov 2012). How long sampling takes depends on the noise, as it does there; the value itself is not touched
 * until the sample is there.
 */
#include "policy/noise.h"

#include <assert.h>

#include "policy/schema.h"

#define MEMBERS_MAX 4096u
#define MILLIONTHS UINT64_C(1000000)

/* The largest denominator, and so every product below, stays within 64 bits. */
_Static_assert(MEMBERS_MAX *MILLIONTHS *SCHEMA_SENSITIVITY_MAX < UINT64_C(1) << 52, "room for ROUNDS_MAX");
#define ROUNDS_MAX 1024u /* reached with a probability below exp(-1024), that is never */

/* Uniform over 0..n-1; what would favour low numbers is thrown away. */
static uint64_t below(noise_random *random, uint64_t n)
{
	assert(n);
	uint64_t x, limit = UINT64_MAX - UINT64_MAX % n;
	do
		random(&x, sizeof x);
	while (x >= limit);
	return x % n;
}

/* True with probability exp(-a/b), for a <= b. */
static bool bernoulli_exp(noise_random *random, uint64_t a, uint64_t b)
{
	uint64_t k = 1;
	while (k < ROUNDS_MAX && below(random, b * k) < a)
		k++;
	return k % 2;
}

int64_t noise_sample(noise_random *random, uint64_t num, uint64_t den)
{
	for (;;) {
		uint64_t u = below(random, num), v = 0;
		if (!bernoulli_exp(random, u, num))
			continue;
		while (v < ROUNDS_MAX && bernoulli_exp(random, 1, 1))
			v++;
		uint64_t y = (u + num * v) / den;
		bool negative = below(random, 2);
		if (negative && !y) /* or zero would be counted twice */
			continue;
		return negative ? -(int64_t)y : (int64_t)y;
	}
}

/* Calls `act` for each value whose schema has noise. */
struct walk {
	int (*act)(struct walk *w, const json_t *schema, json_t *value);
	uint64_t members;
	uint64_t epsilon;
	noise_random *random;
};

static int walk(struct walk *w, const json_t *schema, json_t *value)
{
	const json_t *properties = json_object_get(schema, "properties"), *items = json_object_get(schema, "items");
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)properties, key, member) {
		if (walk(w, member, json_object_get(value, key)) < 0)
			return -1;
	}
	for (size_t i = 0; items && i < json_array_size(value); i++)
		if (walk(w, items, json_array_get(value, i)) < 0)
			return -1;
	return schema_sensitivity(schema) ? w->act(w, schema, value) : 0;
}

static int count(struct walk *w, const json_t *schema, json_t *value)
{
	(void)schema;
	(void)value;
	w->members++;
	return 0;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* Cut to the schema's range: that needs no privacy, since it looks at the noisy number only. */
static int64_t clamp(const json_t *schema, int64_t n)
{
	const json_t *min = json_object_get(schema, "minimum"), *max = json_object_get(schema, "maximum");
	if (min && n < json_integer_value(min))
		n = json_integer_value(min);
	if (max && n > json_integer_value(max))
		n = json_integer_value(max);
	return n;
}

static int add(struct walk *w, const json_t *schema, json_t *value)
{
	assert(w->members && w->epsilon);
	uint64_t num = (uint64_t)schema_sensitivity(schema) * w->members * MILLIONTHS, den = w->epsilon;
	uint64_t common = divisor(num, den);
	int64_t noise = noise_sample(w->random, num / common, den / common), sum;
	if (__builtin_add_overflow((int64_t)json_integer_value(value), noise, &sum))
		sum = noise < 0 ? INT64_MIN : INT64_MAX;
	return json_integer_set(value, clamp(schema, sum));
}

int noise_add(const json_t *schema, json_t *value, uint64_t epsilon, noise_random *random, struct err *err)
{
	struct walk w = { .act = count, .epsilon = epsilon, .random = random };
	walk(&w, schema, value);
	if (w.members > MEMBERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %u members with noise", MEMBERS_MAX);
	w.act = add;
	if (walk(&w, schema, value) < 0)
		return err_set(err, ERR_INTERNAL, "noise: the value is not of its schema");
	return 0;
}
