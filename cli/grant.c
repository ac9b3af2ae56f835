/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "cli/cli.h"
#include "cli/secret.h"

#define ID_SIZE 65

/* --- words of the command line --------------------------------------------------------------------------------- */

/* "OWNER/CATEGORY" into two members of `body`. */
static int set_tag(json_t *body, const char *tag, struct err *err)
{
	const char *slash = strchr(tag, '/');
	char owner[128];
	if (!slash || slash == tag || !slash[1] || (size_t)(slash - tag) >= sizeof owner)
		return err_set(err, ERR_INVALID,
			       "%.100s: whose data, and of which category? as in p7/training (categories are in "
			       "policy.yaml)",
			       tag);
	snprintf(owner, sizeof owner, "%.*s", (int)(slash - tag), tag);
	if (cli_set_text(body, "owner", owner, err) < 0)
		return -1;
	return cli_set_text(body, "category", slash + 1, err);
}

/* An id that says what the grant is, so that granting the same twice is one grant. */
static void make_id(const struct cli *c, char out[ID_SIZE])
{
	const char *purpose = cli_value(c, "purpose");
	char text[1024];
	size_t n = 0;
	int len = snprintf(text, sizeof text, "%s-%s%s%s", c->args[0], c->args[1], purpose ? "-" : "",
			   purpose ? purpose : "");
	for (int i = 0; i < len && text[i] && n < ID_SIZE - 1; i++) {
		unsigned char ch = (unsigned char)text[i];
		if (isascii(ch) && isalnum(ch))
			out[n++] = (char)tolower(ch);
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	}
	out[n] = '\0';
}

/* "30d", "12h", "90m" from now, or a day or minute of local time: 2027-01-31, 2027-01-31T18:00. */
static int parse_until(const char *text, long long *out, struct err *err)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	long long unit = *end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : 0;
	struct tm tm = { .tm_isdst = -1 };
	if (end != text && unit && !end[1] && n > 0 && n < 1000000) {
		*out = (long long)time(NULL) + n * unit;
		return 0;
	}
	const char *rest = strptime(text, "%Y-%m-%d", &tm);
	if (rest && *rest == 'T')
		rest = strptime(rest, "T%H:%M", &tm);
	*out = rest && !*rest ? (long long)mktime(&tm) : 0;
	if (*out > (long long)time(NULL))
		return 0;
	return err_set(err, ERR_INVALID,
		       "--until %.60s: expected a time to come, as in 30d, 12h, 90m, 2027-01-31 or 2027-01-31T18:00",
		       text);
}

static int set_until(struct cli *c, json_t *body, struct err *err)
{
	const char *text = cli_value(c, "until");
	long long until;
	if (!text)
		return 0;
	if (parse_until(text, &until, err) < 0)
		return -1;
	json_object_set_new(body, "until", json_integer(until));
	return 0;
}

/* --- grants ---------------------------------------------------------------------------------------------------- */

static int fill(struct cli *c, json_t *body, struct err *err)
{
	if (set_tag(body, c->args[0], err) < 0 || cli_set_text(body, "to", c->args[1], err) < 0 ||
	    cli_set_text(body, "purpose", cli_value(c, "purpose"), err) < 0 ||
	    cli_set_text(body, "reason", cli_value(c, "reason"), err) < 0)
		return -1;
	return set_until(c, body, err);
}

static void say_note(const struct cli *c, const json_t *answer)
{
	const char *note = json_string_value(json_object_get(answer, "note"));
	if (note)
		cli_note(c, "%s", note);
}

static int add(struct cli *c, struct err *err)
{
	json_t *answer = NULL, *body = json_object();
	char id[ID_SIZE], target[256];
	int rc;
	make_id(c, id);
	if (cli_value(c, "id"))
		snprintf(id, sizeof id, "%s", cli_value(c, "id"));
	rc = cli_target(target, sizeof target, "/v1/grants/", id, "", err);
	if (rc == 0)
		rc = fill(c, body, err);
	if (rc == 0)
		rc = cli_rest(c, "auth", "PUT", target, json_incref(body), &answer, err);
	json_decref(body);
	if (rc < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	else
		cli_print_text(id);
	cli_note(c, "%s may see %s from the next login on", c->args[1], c->args[0]);
	say_note(c, answer);
	json_decref(answer);
	return 0;
}

static void spell_time(json_t *row, const char *key)
{
	char text[32];
	struct tm tm;
	time_t when = (time_t)json_integer_value(json_object_get(row, key));
	if (when && localtime_r(&when, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
		json_object_set_new(row, key, json_string(text));
}

/* For people: what an operator or officer has to know of a grant, in a word. */
static void spell_state(json_t *row)
{
	const char *state = "lives";
	if (json_object_get(row, "ended"))
		state = "ended";
	if (json_is_true(json_object_get(row, "to_review")))
		state = json_object_get(row, "ended") ? "ended, to review" : "to review";
	else if (json_object_get(row, "reviewed"))
		state = "reviewed";
	json_object_set_new(row, "state", json_string(state));
	spell_time(row, "until");
}

static int add_query(char *target, size_t size, const char *key, const char *value, struct err *err)
{
	char prefix[512];
	if (!value)
		return 0;
	snprintf(prefix, sizeof prefix, "%s%c%s=", target, strchr(target, '?') ? '&' : '?', key);
	return cli_target(target, size, prefix, value, "", err);
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "id", "ID", 0 },	 { "owner", "OWNER", 0 },     { "category", "CATEGORY", 0 },
		{ "to", "TO", 40 },	 { "purpose", "PURPOSE", 0 }, { "kind", "KIND", 0 },
		{ "until", "UNTIL", 0 }, { "state", "STATE", 0 },     { "reason", "REASON", 40 },
		{ NULL, NULL, 0 }
	};
	char target[512] = "/v1/grants";
	json_t *answer, *row;
	size_t i;
	if (add_query(target, sizeof target, "owner", cli_value(c, "owner"), err) < 0 ||
	    add_query(target, sizeof target, "to", cli_value(c, "to"), err) < 0 ||
	    cli_rest(c, "auth", "GET", target, NULL, &answer, err) < 0)
		return -1;
	if (!c->json)
		json_array_foreach (cli_list(answer), i, row)
			spell_state(row);
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

static int withdraw(struct cli *c, struct err *err)
{
	char target[256];
	if (cli_target(target, sizeof target, "/v1/grants/", c->args[0], "", err) < 0)
		return -1;
	return cli_rest(c, "auth", "DELETE", target, NULL, NULL, err);
}

static int review(struct cli *c, struct err *err)
{
	char target[256];
	json_t *answer;
	if (cli_target(target, sizeof target, "/v1/grants/", c->args[0], "/review", err) < 0 ||
	    cli_rest(c, "auth", "POST", target, NULL, &answer, err) < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	json_decref(answer);
	return 0;
}

/* --- break-glass ----------------------------------------------------------------------------------------------- */

/* A session of its own for this one step: who breaks the glass is a person with a password. The answer has the token. */
static int log_in(struct cli *c, json_t **answer, struct err *err)
{
	char password[SECRET_SIZE];
	json_t *body = json_object();
	int rc = secret_read(cli_value(c, "password-file"), password, err);
	if (rc == 0)
		rc = cli_set_text(body, "password", password, err);
	sodium_memzero(password, sizeof password);
	if (rc == 0)
		rc = cli_set_text(body, "username", cli_value(c, "user"), err);
	if (rc == 0)
		rc = cli_rest(c, "auth", "POST", "/v1/sessions", json_incref(body), answer, err);
	json_decref(body);
	return rc;
}

static int break_as(struct cli *c, const char *token, json_t **answer, struct err *err)
{
	json_t *body = json_object();
	int rc = set_tag(body, c->args[0], err);
	if (rc == 0)
		rc = cli_set_text(body, "reason", cli_value(c, "reason"), err);
	if (rc == 0)
		rc = cli_set_number(c, body, "minutes", "minutes", 1, 240, err);
	if (rc == 0)
		rc = cli_rest_as(c, token, "auth", "POST", "/v1/break-glass", json_incref(body), answer, err);
	json_decref(body);
	return rc;
}

static int break_glass(struct cli *c, struct err *err)
{
	json_t *session, *answer = NULL;
	struct err ignored = { 0 };
	if (log_in(c, &session, err) < 0)
		return -1;
	const char *token = json_string_value(json_object_get(session, "token"));
	int rc = break_as(c, token ? token : "", &answer, err);
	if (token)
		cli_rest_as(c, token, "auth", "DELETE", "/v1/sessions/current", NULL, NULL, &ignored);
	json_decref(session);
	if (rc < 0)
		return -1;
	if (c->json)
		cli_print_json(answer);
	else
		cli_print_text(json_string_value(json_object_get(answer, "id")));
	say_note(c, answer);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_grant_verbs[] = {
	{ .name = "grant add",
	  .args = "OWNER/CATEGORY TO",
	  .summary = "Let somebody see a category of an owner's data",
	  .detail = "  ppce grant add p7/training tina --purpose training --until 90d\n"
		    "  ppce grant add p7/training class:trainer\n"
		    "  ppce grant add p7/training certificate:SHA256 --reason \"study 12\"\n\n"
		    "Everybody sees their own data; what they see of others, grants say. TO is a user, class:NAME, or "
		    "the id\n"
		    "of a certificate of declassification. It counts from the next login of those whom it is to. "
		    "Owners do\n"
		    "the same for their own data at the door: PUT /v1/grants/ID with their session's token.\n",
	  .options = { { "purpose", "P", "only in sessions that stated this purpose at login", false },
		       { "until", "WHEN", "30d, 12h, 90m, or a day or minute: 2027-01-31T18:00", false },
		       { "reason", "TEXT", "for the audit log", false },
		       { "id", "ID", "its name; default: made of the words above", false } },
	  .run = add },
	{ .name = "grant ls",
	  .args = "",
	  .summary = "List who may see whose data",
	  .detail = "  ppce grant ls --owner p7\n\n"
		    "A break-glass stays in the list until it was reviewed, also after its end.\n",
	  .options = { { "owner", "NAME", "only of this owner", false },
		       { "to", "TO", "only to this user or class:NAME", false } },
	  .run = list },
	{ .name = "grant rm",
	  .args = "ID",
	  .summary = "Revoke a grant, now",
	  .detail = "  ppce grant rm p7-training-tina\n\n"
		    "When this returns, the sessions that rested on the grant have ended, and so have the instances "
		    "that had\n"
		    "data by it.\n",
	  .run = withdraw },
	{ .name = "grant review",
	  .args = "ID",
	  .summary = "Note that a break-glass was looked into",
	  .detail = "  ppce grant ls\n"
		    "  ppce audit who-saw p7\n"
		    "  ppce grant review glass-1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11\n\n"
		    "Officers do the same at the door: POST /v1/grants/ID/review.\n",
	  .run = review },
	{ .name = "break-glass",
	  .args = "OWNER/CATEGORY",
	  .summary = "Open a category of somebody's data in an emergency",
	  .detail =
		  "  ppce break-glass p7/medical --user meg --password-file - --reason \"unconscious, room 4\"\n\n"
		  "The user's class must have the category in break_glass (policy.yaml). The access is there from the\n"
		  "user's next login on and ends by itself; an officer reviews it, and the owner can see it. At the "
		  "door:\n"
		  "POST /v1/break-glass.\n",
	  .options = { { "user", "NAME", "who opens it", true },
		       { "password-file", "FILE", "its first line is the password; - reads it from standard input",
			 true },
		       { "reason", "TEXT", "why, in at least 10 characters", true },
		       { "minutes", "N", "how long, 1 to 240; default 60", false } },
	  .run = break_glass },
	{ 0 },
};
