/* SPDX-License-Identifier: MIT */
#include "policy/schema.h"

#include <string.h>

#include "lib/rest.h" /* text_nearest */

struct checker {
	bool noise;    /* may members carry noise? */
	size_t marked; /* how many do */
};

static int check_schema(struct checker *c, const json_t *schema, struct err *err);
static int match_object(const json_t *schema, const json_t *value, struct err *err);
static int match_array(const json_t *schema, const json_t *value, struct err *err);
static int match_string(const json_t *schema, const json_t *value, struct err *err);
static int match_number(const json_t *schema, const json_t *value, struct err *err);

static bool is_object(const json_t *v)
{
	return json_is_object(v);
}

static bool is_array(const json_t *v)
{
	return json_is_array(v);
}

static bool is_string(const json_t *v)
{
	return json_is_string(v);
}

static bool is_integer(const json_t *v)
{
	return json_is_integer(v);
}

static bool is_number(const json_t *v)
{
	return json_is_number(v);
}

static bool is_boolean(const json_t *v)
{
	return json_is_boolean(v);
}

static bool is_null(const json_t *v)
{
	return json_is_null(v);
}

static const struct type {
	const char *name;
	const char *keys[6]; /* that a schema of this type may have, NULL-terminated */
	bool (*is)(const json_t *value);
	int (*match)(const json_t *schema, const json_t *value, struct err *err); /* NULL: the type says it all */
} types[] = {
	{ "object", { "type", "properties" }, is_object, match_object },
	{ "array", { "type", "items", "maxItems" }, is_array, match_array },
	{ "string", { "type", "maxLength", "enum" }, is_string, match_string },
	{ "integer", { "type", "minimum", "maximum", "enum", "noise" }, is_integer, match_number },
	{ "number", { "type", "minimum", "maximum", "enum" }, is_number, match_number },
	{ "boolean", { "type" }, is_boolean, NULL },
	{ "null", { "type" }, is_null, NULL },
};

static const struct type *find_type(const json_t *schema)
{
	const char *name = json_string_value(json_object_get(schema, "type"));
	for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
		if (!strcmp(types[i].name, name))
			return &types[i];
	return NULL;
}

static int check_keys(const struct type *t, const json_t *schema, struct err *err)
{
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)schema, key, member) {
		const char *const *k = t->keys;
		while (*k && strcmp(*k, key) != 0)
			k++;
		if (*k)
			continue;
		const char *near = text_nearest(key, t->keys);
		if (near)
			return err_set(err, ERR_INVALID, "schema: unknown keyword %.40s; did you mean %s?", key, near);
		return err_set(err, ERR_INVALID, "schema: keyword \"%.40s\" does not go with type %s", key, t->name);
	}
	return 0;
}

static int check_properties(struct checker *c, const json_t *schema, struct err *err)
{
	const json_t *properties = json_object_get(schema, "properties");
	const char *key;
	json_t *member;
	if (!json_is_object(properties))
		return err_set(err, ERR_INVALID, "schema: an object needs properties {NAME: SCHEMA, ...}");
	json_object_foreach ((json_t *)properties, key, member) {
		if (check_schema(c, member, err) < 0)
			return err_prefix(err, "%.40s", key);
	}
	return 0;
}

static int check_enum(const struct type *t, const json_t *schema, struct err *err)
{
	const json_t *list = json_object_get(schema, "enum");
	if (!list)
		return 0;
	if (!json_array_size(list))
		return err_set(err, ERR_INVALID, "schema: enum: expected a list of values");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!t->is(json_array_get(list, i)))
			return err_set(err, ERR_INVALID, "schema: enum: a value is not of type %s", t->name);
	return 0;
}

static int check_range(const struct type *t, const json_t *schema, struct err *err)
{
	static const char *const keys[] = { "minimum", "maximum" };
	for (size_t i = 0; i < 2; i++) {
		const json_t *v = json_object_get(schema, keys[i]);
		if (v && !t->is(v))
			return err_set(err, ERR_INVALID, "schema: %s: expected a value of type %s", keys[i], t->name);
	}
	return 0;
}

static int check_noise(struct checker *c, const json_t *schema, struct err *err)
{
	static const char *const keys[] = { "sensitivity", NULL };
	const json_t *noise = json_object_get(schema, "noise");
	long long sensitivity;
	if (!noise)
		return 0;
	if (!c->noise)
		return err_set(err, ERR_INVALID, "schema: noise without epsilon and budget");
	if (json_object_size(noise) != 1 || !json_object_get(noise, keys[0]))
		return err_set(err, ERR_INVALID, "schema: noise: expected {\"sensitivity\": N}");
	if (json_object_get(schema, "enum"))
		return err_set(err, ERR_INVALID, "schema: noise does not go with enum");
	c->marked++;
	return json_get_int(noise, keys[0], 1, SCHEMA_SENSITIVITY_MAX, 0, &sensitivity, err);
}

static int check_schema(struct checker *c, const json_t *schema, struct err *err)
{
	const struct type *t = find_type(schema);
	long long n;
	if (!t)
		return err_set(err, ERR_INVALID,
			       "schema: type: expected object, array, string, integer, number, boolean or null");
	if (check_keys(t, schema, err) < 0 || check_enum(t, schema, err) < 0 || check_range(t, schema, err) < 0 ||
	    check_noise(c, schema, err) < 0 || json_get_int(schema, "maxItems", 0, SCHEMA_ITEMS_MAX, 0, &n, err) < 0 ||
	    json_get_int(schema, "maxLength", 0, SCHEMA_LENGTH_MAX, 0, &n, err) < 0)
		return -1;
	if (t->is == is_object)
		return check_properties(c, schema, err);
	if (t->is != is_array)
		return 0;
	return check_schema(c, json_object_get(schema, "items"), err) < 0 ? err_prefix(err, "items") : 0;
}

int schema_check(const json_t *schema, bool noise, struct err *err)
{
	struct checker c = { .noise = noise };
	const struct type *t = find_type(schema);
	if (!t || (t->is != is_object && t->is != is_array))
		return err_set(err, ERR_INVALID, "schema: the outermost type is object or array");
	if (check_schema(&c, schema, err) < 0)
		return -1;
	if (noise && !c.marked)
		return err_set(err, ERR_INVALID, "schema: epsilon is given, but no member has noise");
	return 0;
}

static int match_object(const json_t *schema, const json_t *value, struct err *err)
{
	const json_t *properties = json_object_get(schema, "properties");
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)properties, key, member) {
		const json_t *v = json_object_get(value, key);
		if (!v)
			return err_set(err, ERR_INVALID, "%.40s: missing", key);
		if (schema_match(member, v, err) < 0)
			return err_prefix(err, "%.40s", key);
	}
	if (json_object_size(value) != json_object_size(properties))
		return err_set(err, ERR_INVALID, "members that the schema does not have");
	return 0;
}

static int match_array(const json_t *schema, const json_t *value, struct err *err)
{
	const json_t *items = json_object_get(schema, "items"), *max = json_object_get(schema, "maxItems");
	size_t n = json_array_size(value);
	if (n > (max ? (size_t)json_integer_value(max) : SCHEMA_ITEMS_MAX))
		return err_set(err, ERR_INVALID, "%zu items, too many", n);
	for (size_t i = 0; i < n; i++)
		if (schema_match(items, json_array_get(value, i), err) < 0)
			return err_prefix(err, "item %zu", i);
	return 0;
}

static int match_enum(const json_t *schema, const json_t *value, struct err *err)
{
	const json_t *list = json_object_get(schema, "enum");
	if (!list)
		return 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), value))
			return 0;
	return err_set(err, ERR_INVALID, "not one of the values allowed");
}

static int match_string(const json_t *schema, const json_t *value, struct err *err)
{
	const json_t *max = json_object_get(schema, "maxLength");
	json_int_t length = 0;
	for (const char *at = json_string_value(value); *at; at++)
		length += ((unsigned char)*at & 0xc0) != 0x80; /* jansson has checked the UTF-8 */
	if (max && length > json_integer_value(max))
		return err_set(err, ERR_INVALID, "longer than %lld characters", (long long)json_integer_value(max));
	return match_enum(schema, value, err);
}

/* a < b. Integers as such: above 2^53 a double cannot tell them apart. */
static bool is_less(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) < json_integer_value(b);
	return json_number_value(a) < json_number_value(b);
}

static int match_number(const json_t *schema, const json_t *value, struct err *err)
{
	const json_t *min = json_object_get(schema, "minimum"), *max = json_object_get(schema, "maximum");
	if ((min && is_less(value, min)) || (max && is_less(max, value)))
		return err_set(err, ERR_INVALID, "out of range");
	return match_enum(schema, value, err);
}

int schema_match(const json_t *schema, const json_t *value, struct err *err)
{
	const struct type *t = find_type(schema);
	if (!t || !t->is(value))
		return err_set(err, ERR_INVALID, "expected a value of type %s", t ? t->name : "?");
	return t->match ? t->match(schema, value, err) : 0;
}

json_int_t schema_sensitivity(const json_t *schema)
{
	return json_integer_value(json_object_get(json_object_get(schema, "noise"), "sensitivity"));
}
