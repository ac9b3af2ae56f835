/* SPDX-License-Identifier: MIT
 *
 * The JSON helpers and text_nearest() of lib/rest.h: pure functions, apart from the HTTP layer.
 */
#include "lib/rest.h"

#include <ctype.h>
#include <string.h>

#define JSON_DEPTH_MAX 16
#define NEAREST_DISTANCE 3
#define NEAREST_WORD_MAX 64 /* longer words come from nobody's mistyping */

/* Counts brackets outside strings. Jansson has a depth limit too, but a fixed one of 2048. On text that is not JSON the
 * count may be wrong; jansson refuses such text anyway. */
static int check_depth(const char *bytes, size_t len, struct err *err)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return err_set(err, ERR_INVALID, "JSON is nested deeper than %d", JSON_DEPTH_MAX);
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return 0;
}

json_t *json_decode(const char *bytes, size_t len, struct err *err)
{
	if (!len) {
		err_set(err, ERR_INVALID, "empty where JSON was expected");
		return NULL;
	}
	if (check_depth(bytes, len, err) < 0)
		return NULL;
	json_error_t why;
	json_t *value = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &why);
	if (!value)
		err_set(err, ERR_INVALID, "bad JSON, line %d, column %d: %s", why.line, why.column, why.text);
	return value;
}

int json_get_text(const json_t *object, const char *key, char *out, size_t size, struct err *err)
{
	out[0] = '\0';
	const json_t *value = json_object_get(object, key);
	if (!value)
		return 0;
	if (!json_is_string(value))
		return err_set(err, ERR_INVALID, "%s: expected a string", key);
	size_t len = json_string_length(value);
	if (len >= size)
		return err_set(err, ERR_INVALID, "%s: longer than %zu bytes", key, size - 1);
	memcpy(out, json_string_value(value), len + 1);
	return 0;
}

int json_get_int(const json_t *object, const char *key, long long min, long long max, long long fallback,
		 long long *out, struct err *err)
{
	*out = fallback;
	const json_t *value = json_object_get(object, key);
	if (!value)
		return 0;
	if (!json_is_integer(value))
		return err_set(err, ERR_INVALID, "%s: expected a whole number", key);
	long long n = json_integer_value(value);
	if (n < min || n > max)
		return err_set(err, ERR_INVALID, "%s: %lld is not within %lld..%lld", key, n, min, max);
	*out = n;
	return 0;
}

int json_get_bool(const json_t *object, const char *key, bool fallback, bool *out, struct err *err)
{
	*out = fallback;
	const json_t *value = json_object_get(object, key);
	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return err_set(err, ERR_INVALID, "%s: expected true or false", key);
	*out = json_is_true(value);
	return 0;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;
	return m < c ? m : c;
}

/* Levenshtein distance, letters of either case being equal; both words at most NEAREST_WORD_MAX long. */
static unsigned distance(const char *a, size_t alen, const char *b, size_t blen)
{
	unsigned row[NEAREST_WORD_MAX + 1];
	for (unsigned j = 0; j <= blen; j++)
		row[j] = j;
	for (unsigned i = 1; i <= alen; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= blen; j++) {
			int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
			unsigned above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (same ? 0u : 1u));
			diagonal = above;
		}
	}
	return row[blen];
}

/* Words that share less than half of their letters are not near, however short they are: "D" is not a mistyped "A". */
const char *text_nearest(const char *word, const char *const *names)
{
	const char *best = NULL;
	unsigned best_distance = NEAREST_DISTANCE + 1;
	size_t len = strnlen(word, NEAREST_WORD_MAX + 1);
	if (!len || len > NEAREST_WORD_MAX)
		return NULL;
	for (; *names; names++) {
		size_t name_len = strnlen(*names, NEAREST_WORD_MAX + 1);
		if (name_len > NEAREST_WORD_MAX)
			continue;
		unsigned d = distance(word, len, *names, name_len);
		if (d < best_distance && 2 * d <= (len > name_len ? len : name_len)) {
			best_distance = d;
			best = *names;
		}
	}
	return best;
}

int json_get_word(const json_t *object, const char *key, const char *const *words, uint32_t fallback, uint32_t *out,
		  struct err *err)
{
	char text[32];
	*out = fallback;
	if (json_get_text(object, key, text, sizeof text, err) < 0)
		return -1;
	if (!text[0] && !json_object_get(object, key))
		return 0;
	for (*out = 0; words[*out]; ++*out)
		if (strcmp(words[*out], text) == 0)
			return 0;
	const char *near = text_nearest(text, words);
	if (near)
		return err_set(err, ERR_INVALID, "%s: unknown value; did you mean '%s'?", key, near);
	return err_set(err, ERR_INVALID, "%s: expected %s%s%s%s%s", key, words[0], words[1] ? " or " : "",
		       words[1] ? words[1] : "", words[1] && words[2] ? " or " : "",
		       words[1] && words[2] ? words[2] : "");
}
