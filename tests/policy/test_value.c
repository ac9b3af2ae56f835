/* SPDX-License-Identifier: MIT
 *
 * Values that are to be released: the schema subset, the size, and the noise.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "policy/noise.h"
#include "policy/schema.h"
#include "tests/lib/guard.h"
#include "tests/policy/certificates.h"
#include "tests/policy/labels.h"

#define OBJECT(properties) "{\"type\": \"object\", \"properties\": {" properties "}}"
#define ITEMS(schema) "{\"type\": \"array\", \"items\": " schema "}"

static const struct {
	const char *schema, *value;
	bool right;
} values[] = {
	{ OBJECT(""), "{}", true },
	{ OBJECT(""), "[]", false },
	{ OBJECT(""), "{\"a\": 1}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": 1}", true },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"b\": 1}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": 1, \"b\": 1}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": 1, \"a\": 2}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": 1.0}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": \"1\"}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": null}", false },
	{ OBJECT("\"a\": {\"type\": \"integer\"}"), "{\"a\": 9223372036854775808}", false },
	{ ITEMS("{\"type\": \"integer\"}"), "[]", true },
	{ ITEMS("{\"type\": \"integer\"}"), "[1, -2, 3]", true },
	{ ITEMS("{\"type\": \"integer\"}"), "[1, \"2\"]", false },
	{ ITEMS("{\"type\": \"integer\"}"), "{}", false },
	{ ITEMS("{\"type\": \"integer\"}"), "[1] x", false },
	{ ITEMS("{\"type\": \"integer\"}"), "7", false },
	{ ITEMS("{\"type\": \"integer\"}"), "", false },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": 2}", "[null, null]", true },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": 2}", "[null, null, null]", false },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": 0}", "[null]", false },
	{ ITEMS("{\"type\": \"integer\", \"minimum\": -1, \"maximum\": 3}"), "[-1, 3]", true },
	{ ITEMS("{\"type\": \"integer\", \"minimum\": -1, \"maximum\": 3}"), "[-2]", false },
	{ ITEMS("{\"type\": \"integer\", \"minimum\": -1, \"maximum\": 3}"), "[4]", false },
	{ ITEMS("{\"type\": \"integer\", \"maximum\": 9007199254740992}"), "[9007199254740993]", false },
	{ ITEMS("{\"type\": \"integer\", \"enum\": [1, 2]}"), "[1, 2]", true },
	{ ITEMS("{\"type\": \"integer\", \"enum\": [1, 2]}"), "[3]", false },
	{ ITEMS("{\"type\": \"number\"}"), "[1, 1.5, -1e300]", true },
	{ ITEMS("{\"type\": \"number\"}"), "[true]", false },
	{ ITEMS("{\"type\": \"number\", \"minimum\": 0.5, \"maximum\": 2}"), "[0.5, 1, 2]", true },
	{ ITEMS("{\"type\": \"number\", \"minimum\": 0.5, \"maximum\": 2}"), "[0.4]", false },
	{ ITEMS("{\"type\": \"number\", \"minimum\": 0.5, \"maximum\": 2}"), "[2.1]", false },
	{ ITEMS("{\"type\": \"number\", \"minimum\": 0.5, \"maximum\": 2}"), "[3]", false },
	{ ITEMS("{\"type\": \"boolean\"}"), "[true, false]", true },
	{ ITEMS("{\"type\": \"boolean\"}"), "[0]", false },
	{ ITEMS("{\"type\": \"null\"}"), "[false]", false },
	{ ITEMS("{\"type\": \"string\", \"maxLength\": 2}"),
	  "[\"\", \"ab\", \"\xc3\xa9\xe2\x82\xac\", \"\\ud83d\\ude00x\"]", true },
	{ ITEMS("{\"type\": \"string\", \"maxLength\": 2}"), "[\"abc\"]", false },
	{ ITEMS("{\"type\": \"string\", \"maxLength\": 2}"), "[\"\xc3\xa9\xc3\xa9\xc3\xa9\"]", false },
	{ ITEMS("{\"type\": \"string\"}"), "[\"a\\u0000b\"]", false },
	{ ITEMS("{\"type\": \"string\"}"), "[\"\xff\"]", false },
	{ ITEMS("{\"type\": \"string\", \"enum\": [\"low\", \"high\"]}"), "[\"high\"]", true },
	{ ITEMS("{\"type\": \"string\", \"enum\": [\"low\", \"high\"]}"), "[\"hig\"]", false },
	{ ITEMS(OBJECT("\"x\": " ITEMS("{\"type\": \"boolean\"}"))), "[{\"x\": []}, {\"x\": [true]}]", true },
	{ ITEMS(OBJECT("\"x\": " ITEMS("{\"type\": \"boolean\"}"))), "[{\"x\": []}, {\"x\": [1]}]", false },
};

static void test_values(void **state)
{
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct certificate c = certificates_with_schema(*state, values[i].schema, NULL);
		struct err err = { 0 };
		json_t *out;
		int rc = certificate_check_value(&c, values[i].value, strlen(values[i].value), &out, &err);
		if ((rc == 0) != values[i].right)
			fail_msg("%s: %s: %s", values[i].schema, values[i].value, rc ? err.text : "accepted");
		assert_int_equal(out != NULL, rc == 0);
		if (rc < 0)
			assert_int_equal(err.kind, ERR_INVALID);
		json_decref(out);
		certificate_free(&c);
	}
}

static void test_where(void **state)
{
	struct certificate c = certificates_with_schema(
		*state, OBJECT("\"weeks\": " ITEMS(OBJECT("\"load\": {\"type\": \"integer\"}"))), NULL);
	static const char value[] = "{\"weeks\": [{\"load\": 1}, {\"load\": \"secret\"}]}";
	struct err err = { 0 };
	json_t *out;
	assert_int_equal(certificate_check_value(&c, value, strlen(value), &out, &err), -1);
	assert_string_equal(err.text, "the value: weeks: item 1: load: expected a value of type integer");
	certificate_free(&c);
}

/* The limit is on the canonical text: spaces do not count, but must not be endless either. */
static void test_size(void **state)
{
	struct certificate c = certificates_with_schema(*state, ITEMS("{\"type\": \"string\"}"), NULL);
	struct err err = { 0 };
	json_t *out;
	c.max_bytes = 11;
	static const char fits[] = " [ \"1234\" , \"\" ] ", large[] = "[\"12345678\"]";
	assert_int_equal(certificate_check_value(&c, fits, strlen(fits), &out, &err), 0); /* ["1234",""] */
	json_decref(out);
	assert_int_equal(certificate_check_value(&c, large, strlen(large), &out, &err), -1);
	assert_int_equal(err.kind, ERR_TOO_LARGE);
	assert_null(out);
	certificate_free(&c);
}

static const struct {
	const char *schema, *part;
	bool noise;
} bad[] = {
	{ "{}", "the outermost type", false },
	{ "{\"type\": \"integer\"}", "the outermost type", false },
	{ "{\"type\": 7}", "the outermost type", false },
	{ "{\"type\": \"object\"}", "an object needs properties", false },
	{ "{\"type\": \"object\", \"properties\": []}", "an object needs properties", false },
	{ OBJECT("\"a\": {}"), "a: schema: type: expected object", false },
	{ OBJECT("\"a\": 1"), "a: schema: type: expected object", false },
	{ OBJECT("\"a\": {\"type\": \"int\"}"), "a: schema: type", false },
	{ "{\"type\": \"object\", \"properties\": {}, \"required\": []}", "required", false },
	{ "{\"type\": \"array\"}", "items: schema: type", false },
	{ "{\"type\": \"array\", \"items\": []}", "items: schema: type", false },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItem\": 3}", "did you mean maxItems?", false },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": -1}", "maxItems", false },
	{ "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": 4097}", "maxItems", false },
	{ ITEMS("{\"type\": \"string\", \"pattern\": \"x\"}"), "pattern", false },
	{ ITEMS("{\"type\": \"string\", \"maxLength\": 1.5}"), "maxLength", false },
	{ ITEMS("{\"type\": \"string\", \"minimum\": 1}"), "minimum", false },
	{ ITEMS("{\"type\": \"string\", \"enum\": []}"), "enum", false },
	{ ITEMS("{\"type\": \"string\", \"enum\": [1]}"), "enum: a value is not of type string", false },
	{ ITEMS("{\"type\": \"integer\", \"enum\": [1.5]}"), "enum: a value is not of type integer", false },
	{ ITEMS("{\"type\": \"integer\", \"minimum\": 1.5}"), "minimum: expected a value of type integer", false },
	{ ITEMS("{\"type\": \"number\", \"maximum\": \"1\"}"), "maximum: expected a value of type number", false },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {\"sensitivity\": 1}}"), "noise without epsilon", false },
	{ ITEMS("{\"type\": \"integer\"}"), "no member has noise", true },
	{ ITEMS("{\"type\": \"number\", \"noise\": {\"sensitivity\": 1}}"), "noise", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": 1}"), "noise: expected", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {}}"), "noise: expected", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {\"sensitivity\": 1, \"scale\": 2}}"), "noise: expected", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {\"sensitivity\": 0}}"), "sensitivity", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {\"sensitivity\": 1000001}}"), "sensitivity", true },
	{ ITEMS("{\"type\": \"integer\", \"noise\": {\"sensitivity\": 1}, \"enum\": [1]}"), "does not go with enum",
	  true },
};

static void test_bad_schemas(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = { 0 };
		json_t *schema = json_loads(bad[i].schema, 0, NULL);
		assert_non_null(schema);
		if (schema_check(schema, bad[i].noise, &err) == 0)
			fail_msg("accepted: %s", bad[i].schema);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.text, bad[i].part))
			fail_msg("%s: got \"%s\", expected \"%s\"", bad[i].schema, err.text, bad[i].part);
		json_decref(schema);
	}
}

static void test_guard(void **state)
{
	struct guard g;
	struct err err;
	json_t *out;
	uint64_t seed = labels_seed();
	static const char value[] = "[{\"x\": [true, false], \"s\": \"a\\u00e9\"}, {\"s\": \"\", \"x\": []}]";
	struct certificate c = certificates_with_schema(
		*state, ITEMS(OBJECT("\"x\": " ITEMS("{\"type\": \"boolean\"}") ", \"s\": {\"type\": \"string\"}")),
		NULL);
	guard_init(&g);
	for (size_t len = 0; len <= strlen(value); len++) {
		int rc = certificate_check_value(&c, guard_place(&g, value, len), len, &out, &err);
		assert_int_equal(rc == 0, len == strlen(value));
		json_decref(out);
	}
	for (int i = 0; i < 20000; i++) {
		char copy[sizeof value];
		uint64_t w = labels_next_random(&seed);
		memcpy(copy, value, sizeof value);
		copy[w % strlen(value)] = (char)(w >> 32);
		copy[(w >> 8) % strlen(value)] = "[]{}\",:\\ue"[(w >> 40) % 10];
		if (certificate_check_value(&c, guard_place(&g, copy, strlen(value)), strlen(value), &out, &err) == 0)
			assert_int_equal(schema_match(c.schema, out, &err), 0);
		json_decref(out);
	}
	char *deep = malloc(200001);
	memset(deep, '[', 200000);
	deep[200000] = '\0';
	assert_int_equal(certificate_check_value(&c, deep, 60000, &out, &err), -1);
	assert_int_equal(certificate_check_value(&c, deep, 200000, &out, &err), -1);
	assert_int_equal(err.kind, ERR_TOO_LARGE);
	free(deep);
	guard_free(&g);
	certificate_free(&c);
}

/* Noise: a fixed generator, so that what is asserted of its samples holds in every run. */

static uint64_t generator;

static void fixed_random(void *out, size_t len)
{
	unsigned char *at = out;
	while (len--)
		*at++ = (unsigned char)(labels_next_random(&generator) >> 24);
}

#define SAMPLES 200000

/* Mean, variance and the frequencies near zero are those of P(x) = (1 - q) / (1 + q) * q^|x| with q = exp(-den/num), each
 * within five standard deviations. */
static void check_scale(uint64_t num, uint64_t den)
{
	enum { NEAR = 4 };
	double q = exp(-(double)den / (double)num), sum = 0, squares = 0;
	double variance = 2 * q / ((1 - q) * (1 - q));
	double fourth = variance * (1 + 10 * q + q * q) / ((1 - q) * (1 - q));
	unsigned near[2 * NEAR + 1] = { 0 };
	for (int i = 0; i < SAMPLES; i++) {
		int64_t x = noise_sample(fixed_random, num, den);
		sum += (double)x;
		squares += (double)x * (double)x;
		if (x >= -NEAR && x <= NEAR)
			near[x + NEAR]++;
	}
	assert_true(fabs(sum / SAMPLES) < 5 * sqrt(variance / SAMPLES) + 1e-9);
	assert_true(fabs(squares / SAMPLES - variance) < 5 * sqrt((fourth - variance * variance) / SAMPLES) + 1e-9);
	for (int x = -NEAR; x <= NEAR; x++) {
		double p = (1 - q) / (1 + q) * pow(q, abs(x)), expected = p * SAMPLES;
		assert_true(fabs(near[x + NEAR] - expected) < 5 * sqrt(expected * (1 - p)) + 1);
	}
}

static void test_moments(void **state)
{
	(void)state;
	generator = 20200611;
	check_scale(1, 1);
	check_scale(2, 1);
	check_scale(1, 2);
	check_scale(3, 2);
	check_scale(10, 1);
	check_scale(1000003, 7919);
	check_scale(1, 50); /* noise that is nearly never there */
}

/* The largest scales there can be: nothing overflows, and the noise has their size. */
static void test_largest_scale(void **state)
{
	(void)state;
	generator = 1;
	double sum = 0;
	const uint64_t num = UINT64_C(4096) * 1000000 * SCHEMA_SENSITIVITY_MAX;
	for (int i = 0; i < 20000; i++)
		sum += fabs((double)noise_sample(fixed_random, num, 1));
	assert_true(fabs(sum / 20000 / (double)num - 1) < 0.05); /* the mean of |x| is the scale */
}

static json_t *noisy(const struct certificate *c, const char *text)
{
	struct err err = { 0 };
	json_t *value;
	if (certificate_check_value(c, text, strlen(text), &value, &err) < 0 ||
	    certificate_add_noise(c, value, fixed_random, &err) < 0)
		fail_msg("%s", err.text);
	return value;
}

#define NOISY(sensitivity) "{\"type\": \"integer\", \"noise\": {\"sensitivity\": " sensitivity "}}"

/* Only what is marked changes; it is still of the schema; without epsilon nothing does. */
static void test_marked(void **state)
{
	generator = 7;
	struct certificate c = certificates_with_schema(
		*state,
		OBJECT("\"n\": " NOISY("10") ", \"week\": {\"type\": \"integer\"}, \"list\": " ITEMS(
			OBJECT("\"x\": " NOISY("10") ", \"name\": {\"type\": \"string\"}"))),
		"0.1");
	json_t *v = noisy(
		&c, "{\"n\": 100, \"week\": 7, \"list\": [{\"x\": 1, \"name\": \"a\"}, {\"x\": 2, \"name\": \"b\"}]}");
	struct err err = { 0 };
	assert_int_equal(schema_match(c.schema, v, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(v, "week")), 7);
	json_t *first = json_array_get(json_object_get(v, "list"), 0),
	       *second = json_array_get(json_object_get(v, "list"), 1);
	assert_string_equal(json_string_value(json_object_get(second, "name")), "b");
	assert_int_not_equal(json_integer_value(json_object_get(v, "n")), 100); /* scale 300 */
	assert_int_not_equal(json_integer_value(json_object_get(first, "x")), 1);
	assert_int_not_equal(json_integer_value(json_object_get(second, "x")), 2);
	json_decref(v);
	certificate_free(&c);
	c = certificates_with_schema(*state, ITEMS("{\"type\": \"integer\"}"), NULL);
	v = noisy(&c, "[5]");
	assert_int_equal(json_integer_value(json_array_get(v, 0)), 5);
	json_decref(v);
	certificate_free(&c);
}

/* The mean of |noise| is nearly the scale, sensitivity * members / epsilon. */
static double mean_noise(const struct policy *p, const char *schema, const char *epsilon, const char *value)
{
	struct certificate c = certificates_with_schema(p, schema, epsilon);
	double sum = 0;
	generator = 99;
	for (int i = 0; i < 5000; i++) {
		json_t *v = noisy(&c, value);
		sum += fabs((double)json_integer_value(json_array_get(v, 0)));
		json_decref(v);
	}
	certificate_free(&c);
	return sum / 5000;
}

static void test_scales(void **state)
{
	double one = mean_noise(*state, ITEMS(NOISY("100")), "1", "[0]");
	assert_true(fabs(one - 100) < 8);
	double three = mean_noise(*state, ITEMS(NOISY("100")), "1", "[0, 0, 0]"); /* they share epsilon */
	assert_true(fabs(three - 300) < 24);
	double half = mean_noise(*state, ITEMS(NOISY("100")), "0.5", "[0]");
	assert_true(fabs(half - 200) < 16);
	double little = mean_noise(*state, ITEMS(NOISY("1")), "100", "[0]");
	assert_true(little == 0); /* exp(-100) */
}

static void test_range(void **state)
{
	generator = 3;
	struct certificate c = certificates_with_schema(
		*state,
		ITEMS("{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 10, \"noise\": {\"sensitivity\": 1000}}"),
		"1");
	int64_t low = 0, high = 0;
	for (int i = 0; i < 200; i++) {
		json_t *v = noisy(&c, "[5]");
		int64_t n = json_integer_value(json_array_get(v, 0));
		assert_in_range(n, 0, 10);
		low += n == 0;
		high += n == 10;
		json_decref(v);
	}
	assert_true(low > 50 && high > 50);
	certificate_free(&c);
	c = certificates_with_schema(*state, ITEMS(NOISY("1000")), "1");
	for (int i = 0; i < 200; i++) { /* at the ends of the integers it stays there */
		json_t *v = noisy(&c, "[9223372036854775807, -9223372036854775808]");
		assert_true(json_integer_value(json_array_get(v, 0)) > INT64_MAX / 2);
		assert_true(json_integer_value(json_array_get(v, 1)) < INT64_MIN / 2);
		json_decref(v);
	}
	certificate_free(&c);
}

static int load(void **state)
{
	*state = certificates_policy();
	return 0;
}

static int unload(void **state)
{
	policy_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	      cmocka_unit_test(test_where),  cmocka_unit_test(test_size),
		cmocka_unit_test(test_bad_schemas),   cmocka_unit_test(test_guard),  cmocka_unit_test(test_moments),
		cmocka_unit_test(test_largest_scale), cmocka_unit_test(test_marked), cmocka_unit_test(test_scales),
		cmocka_unit_test(test_range),
	};
	return cmocka_run_group_tests_name("value", tests, load, unload);
}
