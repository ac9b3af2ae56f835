/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/http_client.h"
#include "lib/rest.h"

int cli_path(const struct cli *c, const char *tail, char *out, size_t size, struct err *err)
{
	int n = snprintf(out, size, "%s/%s", c->dir, tail);
	if (n < 0 || (size_t)n >= size)
		return err_set(err, ERR_INVALID, "the name of the directory is too long: %.200s", c->dir);
	return 0;
}

/* `token` NULL: as the operator. */
static int call(struct cli *c, const char *daemon, const char *token, const char *method, const char *target,
		const char *body, unsigned timeout_ms, char **out, struct err *err)
{
	char address[512], socket[64], bearer[160];
	struct http_field fields[2];
	unsigned n = 0;
	int status = 0;

	if (body)
		fields[n++] = (struct http_field){ "Content-Type", "application/json" };
	if (token) {
		snprintf(bearer, sizeof bearer, "Bearer %s", token);
		fields[n++] = (struct http_field){ "Authorization", bearer };
	}

	snprintf(socket, sizeof socket, "run/%s.sock", daemon);
	snprintf(address, sizeof address, "unix:");
	if (cli_path(c, socket, address + 5, sizeof address - 5, err) < 0)
		return -1;
	struct http_call request = {
		.address = address,
		.method = method,
		.target = target,
		.fields = fields,
		.nfields = n,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = timeout_ms,
		.answer_bytes = CLI_ANSWER_MAX,
	};
	*out = NULL;
	if (http_call_sync(&request, &status, out, err) == 0)
		return 0;
	free(*out);
	*out = NULL;
	if (err->kind == ERR_UNAVAILABLE && status == 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "%s of the platform in %.200s does not answer; is `ppce up -C %.100s` running?", daemon,
			       c->dir, c->dir);
	return -1;
}

static int rest(struct cli *c, const char *daemon, const char *token, const char *method, const char *target,
		json_t *body, unsigned timeout_ms, json_t **out, struct err *err)
{
	char *answer = NULL, *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	bool lost = body && !text;

	json_decref(body);
	if (out)
		*out = NULL;
	if (lost)
		return err_set(err, ERR_INVALID, "an argument is not valid UTF-8");
	int rc = call(c, daemon, token, method, target, text, timeout_ms, &answer, err);
	free(text);
	if (rc == 0 && out && answer && *answer) {
		*out = json_decode(answer, strlen(answer), err);
		if (!*out) {
			err->kind = ERR_BAD_GATEWAY;
			rc = err_prefix(err, "%s answered what is not JSON", daemon);
		}
	}
	free(answer);
	return rc;
}

int cli_rest_timed(struct cli *c, const char *daemon, const char *method, const char *target, json_t *body,
		   unsigned timeout_ms, json_t **out, struct err *err)
{
	return rest(c, daemon, NULL, method, target, body, timeout_ms, out, err);
}

int cli_rest_as(struct cli *c, const char *token, const char *daemon, const char *method, const char *target,
		json_t *body, json_t **out, struct err *err)
{
	return rest(c, daemon, token, method, target, body, CLI_CALL_MS, out, err);
}

int cli_rest(struct cli *c, const char *daemon, const char *method, const char *target, json_t *body, json_t **out,
	     struct err *err)
{
	return cli_rest_timed(c, daemon, method, target, body, CLI_CALL_MS, out, err);
}

int cli_rest_text(struct cli *c, const char *daemon, const char *target, unsigned timeout_ms, char **out,
		  struct err *err)
{
	return call(c, daemon, NULL, "GET", target, NULL, timeout_ms, out, err);
}

int cli_target(char *out, size_t size, const char *prefix, const char *word, const char *suffix, struct err *err)
{
	int n = snprintf(out, size, "%s", prefix);
	size_t len = n < 0 ? size : (size_t)n;
	for (const char *p = word; *p && len + 4 < size; p++) {
		unsigned char b = (unsigned char)*p;
		bool safe = isalnum(b) || strchr("-._~", b);
		len += (size_t)snprintf(out + len, size - len, safe ? "%c" : "%%%02X", b);
	}
	if (len + strlen(suffix) + 4 >= size)
		return err_set(err, ERR_INVALID, "`%.60s...` is too long", word);
	memcpy(out + len, suffix, strlen(suffix) + 1);
	return 0;
}

json_t *cli_list(json_t *answer)
{
	const char *key;
	json_t *value;
	if (json_is_array(answer))
		return answer;
	json_object_foreach (answer, key, value)
		if (json_is_array(value))
			return value;
	return NULL;
}

int cli_set_text(json_t *object, const char *key, const char *value, struct err *err)
{
	if (value && json_object_set_new(object, key, json_string(value)) < 0)
		return err_set(err, ERR_INVALID, "the %s is not valid UTF-8", key);
	return 0;
}

int cli_set_number(struct cli *c, json_t *object, const char *key, const char *option, long long min, long long max,
		   struct err *err)
{
	long long n;
	if (!cli_value(c, option))
		return 0;
	if (cli_number(c, option, min, max, 0, &n, err) < 0)
		return -1;
	json_object_set_new(object, key, json_integer(n));
	return 0;
}
