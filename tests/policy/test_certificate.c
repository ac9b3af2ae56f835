/* SPDX-License-Identifier: MIT
 *
 * Certificates: what is decoded, what is refused, and rule R7 condition by condition.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/guard.h"
#include "tests/policy/certificates.h"
#include "tests/policy/labels.h"

static int decode(const struct policy *p, const char *text, struct certificate *out, struct err *err)
{
	return certificate_decode(p, text, strlen(text), certificates_key(), out, err);
}

static void test_good(void **state)
{
	struct certificate c;
	struct err err = { 0 };
	char officer[PPCE_USER_SIZE], id[PPCE_DIGEST_SIZE];
	unsigned char hash[crypto_hash_sha256_BYTES];
	json_t *inner = certificates_inner();
	json_object_set_new(inner, "expires", json_string("2027-01-01"));
	char *canonical = json_dumps(inner, JSON_COMPACT | JSON_SORT_KEYS), *text = certificates_sign(inner, 0);
	assert_int_equal(certificate_officer(text, strlen(text), officer, &err), 0);
	assert_string_equal(officer, "olga");
	if (decode(*state, text, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.name, "team-load");
	assert_string_equal(c.query, "team_load");
	assert_string_equal(c.officer, "olga");
	assert_int_equal(c.max_bytes, 100);
	assert_int_equal(c.min_group, 5);
	assert_int_equal(c.expires, 1798761600); /* date -u -d 2027-01-01 +%s */
	assert_true(c.epsilon == 0 && c.budget == 0);
	struct label from = labels_parse(*state, "level=HIGH,own=ALL"), to = labels_parse(*state, "level=LOW");
	assert_true(label_equal(*state, &c.from, &from) && label_equal(*state, &c.to, &to));
	crypto_hash_sha256(hash, (unsigned char *)canonical, strlen(canonical));
	sodium_bin2hex(id, sizeof id, hash, sizeof hash);
	assert_string_equal(c.id, id);
	certificate_free(&c);
	assert_null(c.schema);
	free(canonical);
	free(text);
}

/* One member of a right certificate, replaced; signed by the officer all the same. */
static const struct {
	const char *key, *json; /* NULL: taken out */
	const char *part;	/* of the error; NULL: it is right as well */
} edits[] = {
	{ "name", NULL, "name: missing" },
	{ "name", "\"\"", "name: missing or not of the right form" },
	{ "name", "\"../x\"", "name: missing or not of the right form" },
	{ "name", "7", "name: expected a string" },
	{ "name", "\"a23456789012345678901234567890123\"", "name: longer than 32 bytes" },
	{ "image", NULL, "image: missing" },
	{ "image", "\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"", "image: missing or not" },
	{ "image", "\"0123\"", "image: missing or not" },
	{ "query", NULL, "query: missing" },
	{ "query", "\"a b\"", "query: missing or not" },
	{ "from", NULL, "from: expected a label" },
	{ "from", "\"level=HIHG\"", "from: label: level has no value HIHG; did you mean HIGH?" },
	{ "to", "{}", "to: expected a label" },
	{ "to", "\"level=MID\"", NULL },
	{ "from", "\"level=LOW\"", NULL },
	{ "from", "\"level=LOW\"", NULL },
	{ "to", "\"own={p7/training}\"", NULL },
	{ "max_bytes", NULL, "max_bytes: missing" },
	{ "max_bytes", "0", "max_bytes: 0 is not within 1..65536" },
	{ "max_bytes", "65537", "max_bytes: 65537 is not within" },
	{ "max_bytes", "1.5", "max_bytes: expected a whole number" },
	{ "min_group", NULL, "min_group: missing" },
	{ "min_group", "0", "min_group: 0 is not within" },
	{ "min_group", "-5", "min_group: -5 is not within" },
	{ "min_group", "4294967297", "min_group: 4294967297 is not within" },
	{ "schema", NULL, "schema: the outermost type" },
	{ "schema", "[]", "schema: the outermost type" },
	{ "epsilon", "\"0.5\"", "epsilon and budget: expected both" },
	{ "budget", "\"0.5\"", "epsilon and budget: expected both" },
	{ "expires", "\"2027-1-01\"", "expires: expected a date" },
	{ "expires", "\"2027-02-29\"", "expires: expected a date" },
	{ "expires", "\"2028-02-29\"", NULL },
	{ "expires", "\"2100-02-29\"", "expires: expected a date" },
	{ "expires", "\"2027-13-01\"", "expires: expected a date" },
	{ "expires", "\"2027-00-01\"", "expires: expected a date" },
	{ "expires", "\"2027-04-31\"", "expires: expected a date" },
	{ "expires", "\"2027-04-00\"", "expires: expected a date" },
	{ "expires", "\"2027-01-01T00:00\"", "expires: expected a date" },
	{ "expires", "1798761600", "expires: expected a date" },
	{ "expire", "\"2027-01-01\"", "unknown key expire; did you mean expires?" },
	{ "note", "true", "unknown key" },
};

static void test_edits(void **state)
{
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		struct certificate c;
		struct err err = { 0 };
		json_t *inner = certificates_inner();
		json_object_del(inner, edits[i].key);
		if (edits[i].json)
			json_object_set_new(inner, edits[i].key, json_loads(edits[i].json, JSON_DECODE_ANY, NULL));
		char *text = certificates_sign(inner, 0);
		int rc = decode(*state, text, &c, &err);
		if ((rc == 0) != !edits[i].part)
			fail_msg("%s: %s: %s", edits[i].key, edits[i].json, rc ? err.text : "accepted");
		if (rc < 0 && !strstr(err.text, edits[i].part))
			fail_msg("%s: got \"%s\", expected \"%s\"", edits[i].key, err.text, edits[i].part);
		if (rc == 0)
			certificate_free(&c);
		else
			assert_null(c.schema);
		free(text);
	}
}

static void refuse(const struct policy *p, const char *text, enum err_kind kind, const char *part)
{
	struct certificate c;
	struct err err = { 0 };
	if (decode(p, text, &c, &err) == 0)
		fail_msg("accepted: %s", text);
	assert_int_equal(err.kind, kind);
	if (!strstr(err.text, part))
		fail_msg("got \"%s\", expected \"%s\"", err.text, part);
}

static void test_labels_order(void **state)
{
	json_t *inner = certificates_inner();
	json_object_set_new(inner, "from", json_string("level=LOW,own={p7/training}"));
	json_object_set_new(inner, "to", json_string("level=MID"));
	char *text = certificates_sign(inner, 0);
	refuse(*state, text, ERR_INVALID, "`to` does not lie at or below `from`");
	free(text);
}

static void test_envelope(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		"[]",
		"{}",
		"7",
		"null",
		"{\"certificate\": {}}",
		"{\"certificate\": [], \"officer\": \"o\", \"signature\": \"\"}",
		"{\"certificate\": {}, \"officer\": 7, \"signature\": \"\"}",
		"{\"certificate\": {}, \"officer\": \"o\", \"signature\": null}",
		"{\"certificate\": {}, \"officer\": \"o\", \"signature\": \"\", \"more\": 1}",
		"{\"certificate\": {}, \"officer\": \"../o\", \"signature\": \"\"}"
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char officer[PPCE_USER_SIZE];
		struct err err = { 0 };
		refuse(*state, texts[i], ERR_INVALID, "");
		assert_int_equal(certificate_officer(texts[i], strlen(texts[i]), officer, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	char *large = malloc(CERTIFICATE_BYTES_MAX + 2);
	memset(large, ' ', CERTIFICATE_BYTES_MAX + 1);
	large[CERTIFICATE_BYTES_MAX + 1] = '\0';
	refuse(*state, large, ERR_TOO_LARGE, "more than 65536 bytes");
	free(large);
}

/* Everything that is signed counts; nothing else than the officer's own signature does. */
static void test_signature(void **state)
{
	struct certificate c;
	struct err err = { 0 };
	static const char denied[] = "the signature is not the officer's";
	char *text = certificates_sign(certificates_inner(), 1);
	refuse(*state, text, ERR_DENIED, denied);
	free(text);

	text = certificates_sign(certificates_inner(), 0);
	char *digit = strstr(text, "\"min_group\": 5");
	assert_non_null(digit);
	digit[strlen("\"min_group\": ")] = '1';
	refuse(*state, text, ERR_DENIED, denied);
	digit[strlen("\"min_group\": ")] = '5';
	char *signature = strstr(text, "\"signature\": \"");
	assert_non_null(signature);
	signature += strlen("\"signature\": \"");
	for (size_t i = 0; i < 80; i += 7) {
		char before = signature[i];
		signature[i] = before == 'A' ? 'B' : 'A';
		refuse(*state, text, ERR_DENIED, denied);
		signature[i] = before;
	}
	assert_int_equal(decode(*state, text, &c, &err), 0); /* all is as it was */
	certificate_free(&c);
	memcpy(signature, "\" ", 2); /* cut: `"" ...` is no JSON any more */
	refuse(*state, text, ERR_INVALID, "bad JSON");
	free(text);
	char zeros[89]; /* 64 bytes, as base64 */
	memset(zeros, 'A', 86);
	memcpy(zeros + 86, "==", 3);
	const char *const signatures[] = { "", "AAAA", "====", "!", zeros, zeros + 4, "\n" };
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
		json_t *file = json_pack("{s:o, s:s, s:s}", "certificate", certificates_inner(), "officer", "olga",
					 "signature", signatures[i]);
		text = json_dumps(file, 0);
		refuse(*state, text, ERR_DENIED, denied);
		free(text);
		json_decref(file);
	}
}

/* Spaces and the order of members change neither signature nor id; any other change makes another id. */
static void test_id(void **state)
{
	struct certificate a, b;
	struct err err = { 0 };
	char *text = certificates_sign(certificates_inner(), 0);
	assert_int_equal(decode(*state, text, &a, &err), 0);
	json_t *file = json_loads(text, 0, NULL);
	free(text);
	text = json_dumps(file, JSON_SORT_KEYS | JSON_INDENT(7));
	assert_int_equal(decode(*state, text, &b, &err), 0);
	assert_string_equal(a.id, b.id);
	certificate_free(&b);
	free(text);
	json_decref(file);
	json_t *inner = certificates_inner();
	json_object_set_new(inner, "min_group", json_integer(6));
	text = certificates_sign(inner, 0);
	assert_int_equal(decode(*state, text, &b, &err), 0);
	assert_string_not_equal(a.id, b.id);
	certificate_free(&a);
	certificate_free(&b);
	free(text);
}

static void test_privacy(void **state)
{
	static const struct {
		const char *epsilon, *budget;
		uint64_t millionths; /* 0: refused */
	} numbers[] = {
		{ "0.5", "2", 500000 },
		{ "1", "1", 1000000 },
		{ "0.000001", "1000", 1 },
		{ "1000", "1000", 1000000000 },
		{ "2.5", "2.50", 2500000 },
		{ "0", "1", 0 },
		{ "0.0000001", "1", 0 },
		{ "1000.000001", "1001", 0 },
		{ "-1", "1", 0 },
		{ "1e3", "1", 0 },
		{ ".5", "1", 0 },
		{ "1.", "1", 0 },
		{ "", "1", 0 },
		{ "1 ", "1", 0 },
		{ "2", "1", 0 },
		{ "1", "", 0 },
		{ "00001", "1", 0 },
	};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct certificate c;
		struct err err = { 0 };
		json_t *inner = certificates_inner();
		json_object_set_new(inner, "epsilon", json_string(numbers[i].epsilon));
		json_object_set_new(inner, "budget", json_string(numbers[i].budget));
		json_object_set_new(inner, "schema",
				    json_loads("{\"type\": \"array\", \"items\": {\"type\": \"integer\", \"noise\": "
					       "{\"sensitivity\": 1}}}",
					       0, NULL));
		char *text = certificates_sign(inner, 0);
		int rc = decode(*state, text, &c, &err);
		if ((rc == 0) != (numbers[i].millionths > 0))
			fail_msg("%s of %s", numbers[i].epsilon, numbers[i].budget);
		if (rc == 0)
			assert_true(c.epsilon == numbers[i].millionths);
		if (rc == 0)
			certificate_free(&c);
		free(text);
	}
}

/* R7 */

struct owners {
	const char *agreed[4]; /* tags */
	const char *id;
};

static bool authorised(void *ctx, const struct label_tag *tag, const char *id)
{
	const struct owners *o = ctx;
	char text[sizeof *tag + 1];
	snprintf(text, sizeof text, "%s/%s", tag->owner, tag->category);
	assert_string_equal(id, o->id);
	for (size_t i = 0; i < 4 && o->agreed[i]; i++)
		if (!strcmp(o->agreed[i], text))
			return true;
	return false;
}

static const char image[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct scene {
	struct certificate c;
	struct label instance, ceiling;
	struct owners owners;
	struct certificate_use use;
};

static void scene_set(struct scene *s, const struct policy *p)
{
	struct err err = { 0 };
	char *text = certificates_sign(certificates_inner(), 0);
	assert_int_equal(decode(p, text, &s->c, &err), 0);
	free(text);
	s->c.expires = 1000;
	s->instance = labels_parse(p, "level=MID,own={p7/training,p8/training}");
	s->ceiling = labels_parse(p, "level=LOW");
	s->owners = (struct owners){ { "p7/training", "p8/training" }, s->c.id };
	s->use = (struct certificate_use){ .image = image,
					   .instance = &s->instance,
					   .ceiling = &s->ceiling,
					   .only_query = true,
					   .group = 5,
					   .now = 999,
					   .authorised = authorised,
					   .ctx = &s->owners };
}

static void expect(struct scene *s, const struct policy *p, const char *part)
{
	struct flow_verdict v = certificate_allows(p, &s->c, &s->use);
	assert_int_equal(v.rule, FLOW_R7_DECLASSIFY);
	if (v.allowed != !part || (part && !strstr(v.why, part)))
		fail_msg("%s: %s", v.allowed ? "allowed" : "denied", v.why);
	certificate_free(&s->c);
	scene_set(s, p);
}

static void test_allows(void **state)
{
	const struct policy *p = *state;
	struct scene s;
	scene_set(&s, p);
	expect(&s, p, NULL);
	s.use.image = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee";
	expect(&s, p, "another image");
	s.use.image = "";
	expect(&s, p, "another image");
	s.use.now = 1000;
	expect(&s, p, "expired");
	s.use.now = INT64_MAX;
	s.c.expires = 0;
	expect(&s, p, NULL);
	s.use.only_query = false;
	expect(&s, p, "something else");
	s.use.group = 4;
	expect(&s, p, "group is smaller");
	s.c.from = labels_parse(p, "level=LOW,own=ALL");
	expect(&s, p, "`from`");
	s.c.from = labels_parse(p, "level=HIGH,own={p7/training}");
	expect(&s, p, "`from`");
	s.c.to = labels_parse(p, "level=MID");
	expect(&s, p, "`to`");
	s.ceiling = labels_parse(p, "level=MID");
	s.c.to = labels_parse(p, "level=MID");
	expect(&s, p, NULL);
	certificate_free(&s.c);
}

static void test_allows_owners(void **state)
{
	const struct policy *p = *state;
	struct scene s;
	static const char denied[] = "has not authorised";
	scene_set(&s, p);
	s.owners.agreed[1] = NULL;
	expect(&s, p, denied);
	s.owners.agreed[1] = "p8/medical"; /* the owner's, but another category */
	expect(&s, p, denied);
	s.owners.agreed[1] = "p7/training";
	expect(&s, p, denied);
	s.use.authorised = NULL;
	expect(&s, p, denied);
	s.instance = labels_parse(p, "level=MID"); /* nobody's: nobody need be asked */
	s.use.authorised = NULL;
	expect(&s, p, NULL);
	s.instance = labels_parse(p, "own=ALL");
	expect(&s, p, denied);
	s.c.to = labels_parse(p, "own={p8/training}"); /* who keeps a tag loses nothing */
	s.ceiling = labels_parse(p, "own={p8/training}");
	s.owners.agreed[1] = NULL;
	expect(&s, p, NULL);
	s.c.to = labels_parse(p, "own={p8/medical}");
	s.ceiling = labels_parse(p, "own={p8/medical}");
	s.owners.agreed[1] = NULL;
	expect(&s, p, denied);
	s.instance = labels_parse(p, "level=HIGH,own=ALL");
	s.c.to = s.ceiling = labels_parse(p, "own=ALL");
	s.use.authorised = NULL;
	expect(&s, p, NULL);
	certificate_free(&s.c);
}

/* Prefixes and random changes, each input ending at an unreadable page. Nothing that was changed is believed. */
static void test_guard(void **state)
{
	struct guard g;
	struct certificate c;
	struct err err;
	char officer[PPCE_USER_SIZE], *text = certificates_sign(certificates_inner(), 0);
	size_t len = strlen(text);
	uint64_t seed = labels_seed();
	guard_init(&g);
	for (size_t cut = 0; cut < len; cut++) {
		const char *at = guard_place(&g, text, cut);
		assert_int_equal(certificate_decode(*state, at, cut, certificates_key(), &c, &err), -1);
		assert_int_equal(certificate_officer(at, cut, officer, &err), -1);
	}
	char *copy = malloc(len);
	for (int i = 0; i < 3000; i++) {
		uint64_t w = labels_next_random(&seed);
		memcpy(copy, text, len);
		copy[w % len] = (char)(w >> 32);
		copy[(w >> 8) % len] ^= (char)(1 << (w >> 40) % 8);
		if (certificate_decode(*state, guard_place(&g, copy, len), len, certificates_key(), &c, &err) < 0)
			continue;
		/* Only what is not signed can have changed: spaces, the officer's name. */
		assert_int_equal(c.min_group, 5);
		assert_string_equal(c.name, "team-load");
		certificate_free(&c);
	}
	free(copy);
	free(text);
	guard_free(&g);
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
		cmocka_unit_test(test_good),	 cmocka_unit_test(test_edits),	   cmocka_unit_test(test_labels_order),
		cmocka_unit_test(test_envelope), cmocka_unit_test(test_signature), cmocka_unit_test(test_id),
		cmocka_unit_test(test_privacy),	 cmocka_unit_test(test_allows),	   cmocka_unit_test(test_allows_owners),
		cmocka_unit_test(test_guard),
	};
	return cmocka_run_group_tests_name("certificate", tests, load, unload);
}
