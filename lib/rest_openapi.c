/* SPDX-License-Identifier: MIT */
#include "lib/rest_openapi.h"

#include <ctype.h>
#include <string.h>

static json_t *parameters(const char *pattern)
{
	json_t *list = json_array();
	for (const char *p = strchr(pattern, '{'); p; p = strchr(p + 1, '{')) {
		size_t len = strcspn(p + 1, "}");
		json_array_append_new(list, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", p + 1, len, "in", "path",
						      "required", 1, "schema", "type", "string"));
	}
	return list;
}

static json_t *request_body(const char *const *keys)
{
	json_t *properties = json_object(), *required = json_array();
	for (; *keys; keys++) {
		size_t len = strlen(*keys);
		bool must = len && (*keys)[len - 1] == '!';
		json_t *name = json_stringn(*keys, len - must);
		json_object_set_new(properties, json_string_value(name), json_object());
		if (must)
			json_array_append(required, name);
		json_decref(name);
	}
	bool must = json_array_size(required) > 0;
	json_t *schema = json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
				   required, "additionalProperties", 0);
	return json_pack("{s:b, s:{s:{s:o}}}", "required", must, "content", "application/json", "schema", schema);
}

static json_t *operation(const struct rest_route *r)
{
	json_t *op = json_pack("{s:s, s:o, s:{s:{s:s}, s:{s:s, s:{s:{s:{s:s}}}}}}", "summary",
			       r->summary ? r->summary : "", "parameters", parameters(r->pattern), "responses", "2XX",
			       "description", "Done", "default", "description", "A problem (RFC 9457)", "content",
			       "application/problem+json", "schema", "type", "object");
	if (op && r->keys)
		json_object_set_new(op, "requestBody", request_body(r->keys));
	return op;
}

static void add_route(json_t *paths, const struct rest_route *r)
{
	char method[16] = "";
	for (size_t i = 0; i < sizeof(method) - 1 && r->method[i]; i++)
		method[i] = (char)tolower((unsigned char)r->method[i]);
	json_t *path = json_object_get(paths, r->pattern);
	if (!path) {
		path = json_object();
		json_object_set_new(paths, r->pattern, path);
	}
	json_object_set_new(path, method, operation(r));
}

char *rest_openapi(const struct rest_config *config)
{
	static const struct rest_route own[] = {
		{ "GET", "/livez", NULL, "Is the process alive?", NULL },
		{ "GET", "/readyz", NULL, "Is it ready for work?", NULL },
		{ "GET", "/metrics", NULL, "Counters in the Prometheus text format", NULL },
		{ "GET", "/openapi.json", NULL, "This description", NULL },
		{ 0 },
	};
	json_t *paths = json_object();
	for (const struct rest_route *r = config->routes; r->method; r++)
		add_route(paths, r);
	for (const struct rest_route *r = own; r->method; r++)
		add_route(paths, r);
	json_t *doc = json_pack("{s:s, s:{s:s, s:s}, s:o}", "openapi", "3.1.0", "info", "title", config->title,
				"version", "1", "paths", paths);
	char *text = json_dumps(doc, JSON_INDENT(1));
	json_decref(doc);
	return text;
}
