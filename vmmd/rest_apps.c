/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/names.h"
#include "vmmd/rest_api.h"

#define SECONDS_MAX 31536000 /* a year */

static json_t *app_json(const struct app *a)
{
	const struct app_record *r = &a->r;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", r->name, "image", r->image,
			 "lifetime", app_lifetime_name(r->lifetime), "mode",
			 r->lifetime != LIFETIME_REQUEST ? ""
			 : r->discard			 ? "discard"
							 : "reset",
			 "transport", "channel", "max_instances", (json_int_t)r->max_instances, "idle",
			 (json_int_t)r->idle_s, "max_age", (json_int_t)r->max_age_s, "max_requests",
			 (json_int_t)r->max_requests, "deadline_ms", (json_int_t)r->deadline_ms, "instances",
			 (json_int_t)a->ninstances);
}

int rest_word(const json_t *body, const char *key, const char *const *words, uint32_t fallback, uint32_t *out,
		    struct err *err)
{
	char text[32];
	*out = fallback;
	if (json_get_text(body, key, text, sizeof text, err) < 0)
		return -1;
	if (!text[0] && !json_object_get(body, key))
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

static int get_u32(const json_t *body, const char *key, long long min, long long max, long long fallback, uint32_t *out,
		   struct err *err)
{
	long long n;
	int rc = json_get_int(body, key, min, max, fallback, &n, err);
	*out = (uint32_t)n;
	return rc;
}

static int decode_words(const json_t *body, struct app_record *r, struct err *err)
{
	static const char *const lifetimes[] = { "class", "user", "request", NULL };
	static const char *const modes[] = { "reset", "discard", NULL };
	static const char *const transports[] = { "channel", "tap", NULL };
	uint32_t lifetime, transport;

	if (rest_word(body, "lifetime", lifetimes, 2, &lifetime, err) < 0 ||
	    rest_word(body, "mode", modes, 0, &r->discard, err) < 0 ||
	    rest_word(body, "transport", transports, 0, &transport, err) < 0)
		return -1;
	if (transport != 0)
		return err_set(err, ERR_INVALID, "transport: only `channel` is there yet; `tap` is not built in");
	r->lifetime = LIFETIME_CLASS + lifetime;
	if (r->lifetime != LIFETIME_REQUEST && json_object_get(body, "mode"))
		return err_set(err, ERR_INVALID, "mode: only the lifetime `request` has modes");
	return 0;
}

static int decode_app(const json_t *body, struct app_record *r, struct err *err)
{
	*r = (struct app_record){ 0 };
	if (json_get_text(body, "name", r->name, sizeof r->name, err) < 0 ||
	    json_get_text(body, "image", r->image, sizeof r->image, err) < 0)
		return -1;
	if (!name_valid(r->name))
		return err_set(err, ERR_INVALID,
			       "name: an app is called by a letter, then up to 31 of a-z 0-9 and -; "
			       "login, logout, v1, livez, readyz, metrics are taken");
	if (!name_valid(r->image))
		return err_set(err, ERR_INVALID, "image: not the name of an image");
	if (decode_words(body, r, err) < 0)
		return -1;
	if (get_u32(body, "max_instances", 1, APP_INSTANCES_MAX, 8, &r->max_instances, err) < 0 ||
	    get_u32(body, "idle", 0, SECONDS_MAX, 60, &r->idle_s, err) < 0 ||
	    get_u32(body, "max_age", 0, SECONDS_MAX, 0, &r->max_age_s, err) < 0 ||
	    get_u32(body, "max_requests", 0, UINT32_MAX, 0, &r->max_requests, err) < 0 ||
	    get_u32(body, "deadline_ms", 0, 3600000, 0, &r->deadline_ms, err) < 0)
		return -1;
	return 0;
}

void rest_app_add(struct rest_call *call)
{
	struct app_record r;
	struct app *app;
	struct err err;
	bool same;
	if (decode_app(call->body, &r, &err) < 0 || app_add(call->ctx, &r, &app, &same, &err) < 0)
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
