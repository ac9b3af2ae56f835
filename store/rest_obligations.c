// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"
#include "store/uses.h"
#include "store/store.h"

/* "a=b&c=d": the value of a key, not percent-decoded: owners' names and numbers need none. 0 if absent, -1 if too long. */
static int query_value(const char *query, const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	*out = '\0';
	for (const char *at = query; *at;) {
		size_t n = strcspn(at, "&");
		if (n > len && !strncmp(at, key, len) && at[len] == '=') {
			if (n - len - 1 >= size)
				return -1;
			memcpy(out, at + len + 1, n - len - 1);
			out[n - len - 1] = '\0';
			return 1;
		}
		at += n + (at[n] == '&');
	}
	return 0;
}

/* '@' is all of a user's name that a client may have encoded. */
static void decode_at(char *text)
{
	char *at;
	while ((at = strstr(text, "%40"))) {
		*at = '@';
		memmove(at + 1, at + 3, strlen(at + 3) + 1);
	}
}

void obligations_list(struct rest_call *call)
{
	struct store *s = call->ctx;
	char owner[2 * PPCE_USER_SIZE], overdue[8];
	struct err err;
	int named = query_value(call->x->query, "owner", owner, sizeof owner);
	decode_at(owner);
	if (named < 0 || (named > 0 && !user_valid(owner)) ||
	    query_value(call->x->query, "overdue", overdue, sizeof overdue) < 0) {
		err_set(&err, ERR_INVALID, "?owner=NAME and ?overdue=1 are known");
		rest_fail(call, &err);
		return;
	}
	json_t *list = state_obligations(s->state, owner, !strcmp(overdue, "1"), clock_unix(), &err);
	if (list)
		rest_reply(call, 200, json_pack("{s:o}", "obligations", list));
	else
		rest_fail(call, &err);
}

void obligations_done(struct rest_call *call)
{
	struct store *s = call->ctx;
	const char *text = call->param[0];
	size_t len = strlen(text);
	struct err err;
	int64_t id = len > 0 && len < 19 && strspn(text, "0123456789") == len ? strtoll(text, NULL, 10) : 0;
	int rc = id > 0 ? state_oblige_done(s->state, id, clock_unix(), &err)
			: err_set(&err, ERR_NOT_FOUND, "there is no obligation of that number");
	if (rc < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, 204, NULL);
}

struct event {
	char name[32], owner[PPCE_USER_SIZE], category[PPCE_CLASS_SIZE];
	char actor[PPCE_USER_SIZE], class_name[PPCE_CLASS_SIZE], purpose[PPCE_PURPOSE_SIZE];
	enum automaton_event event;
};

static int event_decode(const json_t *body, struct event *e, struct err *err)
{
	if (json_get_text(body, "event", e->name, sizeof e->name, err) < 0 ||
	    json_get_text(body, "owner", e->owner, sizeof e->owner, err) < 0 ||
	    json_get_text(body, "category", e->category, sizeof e->category, err) < 0 ||
	    json_get_text(body, "actor", e->actor, sizeof e->actor, err) < 0 ||
	    json_get_text(body, "class", e->class_name, sizeof e->class_name, err) < 0 ||
	    json_get_text(body, "purpose", e->purpose, sizeof e->purpose, err) < 0)
		return -1;
	if (!automaton_event_find(e->name, &e->event) || e->event < EVENT_CONSENT)
		return err_set(err, ERR_INVALID, "event: one of consent, revoke, break-glass, expire, erase");
	if (!user_valid(e->owner) || (*e->actor && !user_valid(e->actor)))
		return err_set(err, ERR_INVALID, "owner, actor: not a user's name");
	return 0;
}

void events_post(struct rest_call *call)
{
	struct store *s = call->ctx;
	struct event e;
	struct err err;
	if (event_decode(call->body, &e, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	struct uses_actor who = { e.actor, e.class_name, e.purpose, call->x->request_id, "" };
	if (uses_event(s->state, s->policy, s->queries, &who, e.event, e.owner, e.category, &err) < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, 204, NULL);
}
