/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/names.h"
#include "vmmd/rest_api.h"

static json_t *app_json(const struct app *a)
{
	json_t *j = app_settings_json(&a->r);
	if (j)
		json_object_set_new(j, "instances", json_integer((json_int_t)a->ninstances));
	return j;
}

void rest_app_add(struct rest_call *call)
{
	struct app_record r;
	struct app *app;
	struct err err;
	bool same;
	if (app_settings_decode(call->ctx, call->body, &r, &err) < 0 || app_add(call->ctx, &r, &app, &same, &err) < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, same ? 200 : 201, app_json(app));
}

void rest_app_list(struct rest_call *call)
{
	struct vmmd *v = call->ctx;
	const struct app *a;
	json_t *list = json_array();
	TAILQ_FOREACH (a, &v->apps.list, link)
		json_array_append_new(list, app_json(a));
	rest_reply(call, 200, json_pack("{s:o}", "apps", list));
}

static struct app *named(struct rest_call *call)
{
	struct err err;
	struct app *a = app_find(call->ctx, call->param[0]);
	if (!a) {
		err_set(&err, ERR_NOT_FOUND, "there is no app of this name");
		rest_fail(call, &err);
	}
	return a;
}

void rest_app_get(struct rest_call *call)
{
	const struct app *a = named(call);
	if (a)
		rest_reply(call, 200, app_json(a));
}

void rest_app_remove(struct rest_call *call)
{
	struct app *a = named(call);
	struct err err;
	if (!a)
		return;
	if (app_remove(call->ctx, a, &err) < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, 204, NULL);
}

/* --- logs -------------------------------------------------------------------------------------------------------- */

static json_t *lines_json(const struct buf *text)
{
	json_t *list = json_array();
	for (size_t at = 0, end; at < text->len; at = end + 1) {
		const char *line = text->data + at;
		const char *newline = memchr(line, '\n', text->len - at);
		end = newline ? (size_t)(newline - text->data) : text->len;
		json_t *one = json_stringn(line, end - at); /* NULL: not UTF-8, so somebody else wrote to the file */
		json_array_append_new(list, one ? one : json_string("(damaged line)"));
	}
	return list;
}

void rest_log_tail(struct rest_call *call)
{
	struct vmmd *v = call->ctx;
	struct buf text = { .cap = 3 * APPLOG_BYTES_MAX };
	uint64_t lines;
	struct err err;

	if (rest_query_number(call, "lines", 10000, 100, &lines, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	/* The log of an app that was removed can still be read: its name is what is left to check. */
	if (!name_valid(call->param[0]))
		err_set(&err, ERR_NOT_FOUND, "there is no app of this name");
	else if (applog_tail(v->config.dir, call->param[0], (unsigned)lines, &text, &err) == 0 &&
		 (text.len || app_find(v, call->param[0]))) {
		rest_reply(call, 200, json_pack("{s:s, s:o}", "app", call->param[0], "lines", lines_json(&text)));
		buf_free(&text);
		return;
	} else if (!text.failed && !text.len)
		err_set(&err, ERR_NOT_FOUND, "there is no app of this name");
	buf_free(&text);
	rest_fail(call, &err);
}
