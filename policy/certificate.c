/* SPDX-License-Identifier: MIT
 *
 * Decoding certificates. The signature is checked before anything inside it is looked at. */
#include "policy/certificate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "lib/rest.h"
#include "policy/schema.h"

#define MILLIONTHS UINT64_C(1000000)
#define BUDGET_MAX 1000u /* what is no privacy at all long before */
#define GROUP_MAX 1000000000

static int check_keys(const json_t *object, const char *const *keys, struct err *err)
{
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)object, key, member) {
		const char *const *k = keys;
		while (*k && strcmp(*k, key) != 0)
			k++;
		if (*k)
			continue;
		const char *near = text_nearest(key, keys);
		if (near)
			return err_set(err, ERR_INVALID, "certificate: unknown key %.40s; did you mean %s?", key, near);
		return err_set(err, ERR_INVALID, "certificate: unknown key \"%.40s\"", key);
	}
	return 0;
}

/* The outer object; the caller owns it. NULL: not one. */
static json_t *decode_envelope(const char *bytes, size_t len, struct err *err)
{
	static const char *const keys[] = { "certificate", "officer", "signature", NULL };
	if (len > CERTIFICATE_BYTES_MAX) {
		err_set(err, ERR_TOO_LARGE, "certificate: more than %u bytes", CERTIFICATE_BYTES_MAX);
		return NULL;
	}
	json_t *root = json_decode(bytes, len, err);
	if (!root)
		return NULL;
	if (json_is_object(json_object_get(root, keys[0])) && json_is_string(json_object_get(root, keys[1])) &&
	    json_is_string(json_object_get(root, keys[2]))) {
		if (check_keys(root, keys, err) == 0)
			return root;
	} else {
		err_set(err, ERR_INVALID, "certificate: expected {certificate: {...}, officer: NAME, signature: TEXT}");
	}
	json_decref(root);
	return NULL;
}

static int get_text(const json_t *object, const char *key, bool (*valid)(const char *text), char *out, size_t size,
		    struct err *err)
{
	if (json_get_text(object, key, out, size, err) < 0)
		return err_prefix(err, "certificate");
	if (valid(out))
		return 0;
	return err_set(err, ERR_INVALID, "certificate: %s: missing or not of the right form", key);
}

int certificate_officer(const char *bytes, size_t len, char out[PPCE_USER_SIZE], struct err *err)
{
	json_t *root = decode_envelope(bytes, len, err);
	if (!root)
		return -1;
	int rc = get_text(root, "officer", user_valid, out, PPCE_USER_SIZE, err);
	json_decref(root);
	return rc;
}

static bool signature_valid(const char *signature, const char *text, const uint8_t key[CERTIFICATE_KEY_BYTES])
{
	unsigned char bytes[crypto_sign_BYTES] = { 0 };
	size_t n = 0;
	_Static_assert(CERTIFICATE_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");
	return sodium_base642bin(bytes, sizeof bytes, signature, strlen(signature), NULL, &n, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       n == sizeof bytes &&
	       crypto_sign_verify_detached(bytes, (const unsigned char *)text, strlen(text), key) == 0;
}

/* The canonical text of the inner object: its signature, and the id that is made of it. */
static int check_signature(const json_t *root, const uint8_t key[CERTIFICATE_KEY_BYTES], struct certificate *out,
			   struct err *err)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char *text = json_dumps(json_object_get(root, "certificate"), JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return err_set(err, ERR_INTERNAL, "out of memory");
	bool valid = signature_valid(json_string_value(json_object_get(root, "signature")), text, key);
	crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
	sodium_bin2hex(out->id, sizeof out->id, hash, sizeof hash);
	free(text);
	if (!valid)
		return err_set(err, ERR_DENIED, "certificate: the signature is not the officer's");
	return 0;
}

static bool digest_valid(const char *text)
{
	return strlen(text) == PPCE_DIGEST_SIZE - 1 && strspn(text, "0123456789abcdef") == PPCE_DIGEST_SIZE - 1;
}

static int get_label(const struct policy *p, const json_t *inner, const char *key, struct label *out, struct err *err)
{
	const char *text = json_string_value(json_object_get(inner, key));
	if (!text)
		return err_set(err, ERR_INVALID, "certificate: %s: expected a label", key);
	return label_parse(p, text, out, err) < 0 ? err_prefix(err, "certificate: %s", key) : 0;
}

static int get_count(const json_t *inner, const char *key, long long max, unsigned *out, struct err *err)
{
	long long n;
	if (json_get_int(inner, key, 1, max, 0, &n, err) < 0)
		return err_prefix(err, "certificate");
	if (!n)
		return err_set(err, ERR_INVALID, "certificate: %s: missing", key);
	*out = (unsigned)n;
	return 0;
}

/* "0.5": at most four digits, then at most six after the point; in millionths. */
static bool parse_millionths(const char *text, uint64_t *out)
{
	size_t whole = strspn(text, "0123456789"), part = 0;
	if (!whole || whole > 4)
		return false;
	if (text[whole] == '.') {
		part = strspn(text + whole + 1, "0123456789");
		if (!part || part > 6)
			return false;
	}
	if (text[whole + (part ? part + 1 : 0)])
		return false;
	uint64_t n = strtoul(text, NULL, 10);
	for (size_t i = 0; i < 6; i++)
		n = n * 10 + (i < part ? (uint64_t)(text[whole + 1 + i] - '0') : 0);
	*out = n;
	return n > 0 && n <= BUDGET_MAX * MILLIONTHS;
}

static int get_privacy(const json_t *inner, struct certificate *out, struct err *err)
{
	const json_t *epsilon = json_object_get(inner, "epsilon"), *budget = json_object_get(inner, "budget");
	if (!epsilon && !budget)
		return 0;
	if (!json_is_string(epsilon) || !parse_millionths(json_string_value(epsilon), &out->epsilon) ||
	    !json_is_string(budget) || !parse_millionths(json_string_value(budget), &out->budget))
		return err_set(err, ERR_INVALID,
			       "certificate: epsilon and budget: expected both, as text: \"0.5\", at most \"%u\"",
			       BUDGET_MAX);
	if (out->budget < out->epsilon)
		return err_set(err, ERR_INVALID, "certificate: the budget does not last for one release");
	return 0;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1; /* years that begin with March end with the leap day */
	int64_t m = month > 2 ? month - 3 : month + 9;
	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool parse_date(const char *text, int64_t *out)
{
	static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	static const char form[] = "0000-00-00";
	if (strlen(text) != sizeof form - 1)
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	int year = (int)strtol(text, NULL, 10), month = (int)strtol(text + 5, NULL, 10);
	int day = (int)strtol(text + 8, NULL, 10);
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1971 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] ||
	    (month == 2 && day == 29 && !leap))
		return false;
	*out = 86400 * days_of(year, month, day);
	return true;
}

static int get_expiry(const json_t *inner, struct certificate *out, struct err *err)
{
	const json_t *v = json_object_get(inner, "expires");
	if (!v || (json_is_string(v) && parse_date(json_string_value(v), &out->expires)))
		return 0;
	return err_set(err, ERR_INVALID, "certificate: expires: expected a date, as in \"2027-01-01\"");
}

static int get_labels(const struct policy *p, const json_t *inner, struct certificate *out, struct err *err)
{
	if (get_label(p, inner, "from", &out->from, err) < 0 || get_label(p, inner, "to", &out->to, err) < 0)
		return -1;
	if (!label_leq(p, &out->to, &out->from))
		return err_set(err, ERR_INVALID, "certificate: `to` does not lie at or below `from`");
	return 0;
}

static int get_schema(const json_t *inner, struct certificate *out, struct err *err)
{
	json_t *schema = json_object_get(inner, "schema");
	if (schema_check(schema, out->epsilon > 0, err) < 0)
		return err_prefix(err, "certificate");
	out->schema = json_incref(schema);
	return 0;
}

static int decode_inner(const struct policy *p, const json_t *inner, struct certificate *out, struct err *err)
{
	static const char *const keys[] = { "name",	 "image",  "query",   "from",	"to",	   "max_bytes",
					    "min_group", "schema", "epsilon", "budget", "expires", NULL };
	if (check_keys(inner, keys, err) < 0 ||
	    get_text(inner, "name", class_valid, out->name, sizeof out->name, err) < 0 ||
	    get_text(inner, "image", digest_valid, out->image, sizeof out->image, err) < 0 ||
	    get_text(inner, "query", class_valid, out->query, sizeof out->query, err) < 0 ||
	    get_labels(p, inner, out, err) < 0 ||
	    get_count(inner, "max_bytes", CERTIFICATE_BYTES_MAX, &out->max_bytes, err) < 0 ||
	    get_count(inner, "min_group", GROUP_MAX, &out->min_group, err) < 0 || get_privacy(inner, out, err) < 0 ||
	    get_expiry(inner, out, err) < 0)
		return -1;
	return get_schema(inner, out, err); /* last: it is the part that is owned */
}

int certificate_decode(const struct policy *p, const char *bytes, size_t len, const uint8_t key[CERTIFICATE_KEY_BYTES],
		       struct certificate *out, struct err *err)
{
	memset(out, 0, sizeof *out);
	json_t *root = decode_envelope(bytes, len, err);
	if (!root)
		return -1;
	int rc = get_text(root, "officer", user_valid, out->officer, sizeof out->officer, err);
	if (rc == 0)
		rc = check_signature(root, key, out, err);
	if (rc == 0)
		rc = decode_inner(p, json_object_get(root, "certificate"), out, err);
	json_decref(root);
	if (rc < 0)
		certificate_free(out);
	return rc;
}

void certificate_free(struct certificate *c)
{
	json_decref(c->schema);
	memset(c, 0, sizeof *c);
}
