/* SPDX-License-Identifier: MIT
 *
 * A health-record service over labelled data. Copy from this one. It holds no rule about who may see what: it asks for
 * rows by named queries (examples/health/queries.yaml), and the platform gives them or says PPCE_DENIED.
 *
 *   GET  /me                      a player's own rows, as JSON
 *   POST /me                      adds one to them; the body is a form: measure=bmi&value=24.5
 *   GET  /player/NAME/CATEGORY    somebody's rows of `training` or `medical`: only what their consent opens */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <ppce/ppce.h>

/* Answers for a call to the store that failed. The client learns what to do about it, the log what happened, and neither
 * learns a value: log lines are not labelled. */
static int refuse(struct ppce_response *res, int error)
{
	ppce_log(PPCE_WARNING, "the store says: %s", ppce_error_text(error));
	switch (error) {
	case PPCE_DENIED:
		return ppce_reply(res, 403, "text/plain", "you may not see or change these data\n");
	case PPCE_INVALID:
		return ppce_reply(res, 400, "text/plain", "the store does not take these values\n");
	case PPCE_CONFLICT:
		return ppce_reply(res, 409, "text/plain", "there is such a row already\n");
	case PPCE_DEADLINE:
		return ppce_reply(res, 504, "text/plain", "the store took too long\n");
	case PPCE_UNAVAILABLE:
	case PPCE_NO_STORE:
		return ppce_reply(res, 503, "text/plain", "no data at the moment\n");
	default: /* PPCE_UNKNOWN, PPCE_TOO_LARGE: the app and queries.yaml do not fit each other */
		return ppce_reply(res, 500, "text/plain", "the service is not set up correctly\n");
	}
}

/* Text of the database is whatever somebody once wrote there. */
static int put_text(struct ppce_response *res, const char *text)
{
	int bad = ppce_printf(res, "\"");

	for (const char *c = text; *c && !bad; c++) {
		if (*c == '"' || *c == '\\')
			bad = ppce_printf(res, "\\%c", *c);
		else if ((unsigned char)*c < ' ')
			bad = ppce_printf(res, "\\u%04x", *c);
		else
			bad = ppce_body(res, c, 1);
	}
	return bad ? bad : ppce_printf(res, "\"");
}

static int put_rows(struct ppce_response *res, struct ppce_rows *rows)
{
	int bad = ppce_printf(res, "[");

	while (!bad && ppce_next(rows)) {
		double value = ppce_column_real(rows, "value");
		bad = ppce_printf(res, "%s\n  {\"taken\": ", rows->row ? "," : "") ||
		      put_text(res, ppce_column_text(rows, "taken")) || ppce_printf(res, ", \"measure\": ") ||
		      put_text(res, ppce_column_text(rows, "measure")) ||
		      ppce_printf(res, ", \"value\": %.15g}", isfinite(value) ? value : 0);
	}
	return bad ? -1 : ppce_printf(res, "]");
}

static int show_mine(struct ppce_response *res)
{
	struct ppce_rows rows; /* of one query at a time: the next one replaces them */
	int error = ppce_query(&rows, "my_training", 0);

	if (error)
		return refuse(res, error);
	if (ppce_reply(res, 200, "application/json", "{\"training\": ") || put_rows(res, &rows))
		return -1;
	error = ppce_query(&rows, "my_medical", 0);
	if (error)
		return refuse(res, error); /* starts the answer over */
	return ppce_printf(res, ", \"medical\": ") || put_rows(res, &rows) || ppce_printf(res, "}\n") ? -1 : 0;
}

static int show_player(struct ppce_response *res, const char *player, const char *category)
{
	struct ppce_rows rows;
	const char *query = strcmp(category, "medical") == 0 ? "player_medical" : "player_training";
	int error = ppce_query(&rows, query, 1, ppce_text(player));

	if (error)
		return refuse(res, error);
	if (ppce_reply(res, 200, "application/json", "{\"%s\": ", category) || put_rows(res, &rows))
		return -1;
	return ppce_printf(res, "}\n");
}

static int add_mine(const struct ppce_request *req, struct ppce_response *res)
{
	char measure[33], day[11];
	double value;
	int end = -1;
	time_t now = time(NULL);

	/* %n is reached only if everything before it fitted; then nothing may follow. */
	if (sscanf(req->body, "measure=%32[a-z_]&value=%lf%n", measure, &value, &end) != 2 ||
	    end != (int)req->body_len || !isfinite(value))
		return ppce_reply(res, 400, "text/plain", "the body must be measure=NAME&value=NUMBER\n");
	strftime(day, sizeof day, "%Y-%m-%d", gmtime(&now));
	int64_t changed = ppce_write("add_training", 3, ppce_text(day), ppce_text(measure), ppce_real(value));
	if (changed < 0)
		return refuse(res, (int)changed);
	return ppce_reply(res, 201, "text/plain", "added\n");
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	char player[65], category[9];
	int end = 0;
	bool get = strcmp(req->method, "GET") == 0, mine = strcmp(req->path, "/me") == 0;

	if (mine && strcmp(req->method, "POST") == 0)
		return add_mine(req, res);
	if (!get)
		return ppce_reply(res, 405, "text/plain", "GET, and POST to /me\n");
	if (mine)
		return show_mine(res);
	if (sscanf(req->path, "/player/%64[A-Za-z0-9._@-]/%8[a-z]%n", player, category, &end) == 2 && !req->path[end] &&
	    (strcmp(category, "training") == 0 || strcmp(category, "medical") == 0))
		return show_player(res, player, category);
	return ppce_reply(res, 404, "text/plain", "try /me or /player/NAME/training\n");
}

PPCE_APP(.name = "records", .handle = handle, .memory_mib = 4, .warm_path = "/me",
	 .queries = "my_training,my_medical,player_training,player_medical,add_training")
