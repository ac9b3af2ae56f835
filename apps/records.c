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

/* A call to the store failed. The log gets the reason and never a value: it is for operators, whatever the label. */
static int refuse(struct ppce_response *res, int error)
{
	static const int statuses[] = {
		[-PPCE_DENIED] = 403,	[-PPCE_INVALID] = 400,	   [-PPCE_CONFLICT] = 409,
		[-PPCE_DEADLINE] = 504, [-PPCE_UNAVAILABLE] = 503, [-PPCE_NO_STORE] = 503,
		[-PPCE_UNKNOWN] = 500,	[-PPCE_TOO_LARGE] = 500, /* the app and queries.yaml do not fit each other */
	};

	ppce_log(PPCE_WARNING, "the store says: %s", ppce_error_text(error));
	return ppce_reply(res, statuses[-error], "text/plain", "%s\n", ppce_error_text(error));
}

/* Text of the database is whatever somebody once wrote there. What does not fit the response is remembered by it: the
 * last call says so. */
static void put_text(struct ppce_response *res, const char *text)
{
	ppce_printf(res, "\"");
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			ppce_printf(res, "\\u%04x", *c);
		else
			ppce_body(res, c, 1);
	}
	ppce_printf(res, "\"");
}

/* "NAME": [one object for each row that the query gave]. 0, or why the query failed. */
static int put_rows(struct ppce_response *res, const char *name, const char *query, const char *player)
{
	struct ppce_rows rows;
	int error = ppce_query(&rows, query, player ? 1 : 0, ppce_text(player));

	if (error)
		return error;
	ppce_printf(res, "\"%s\": [", name);
	while (ppce_next(&rows)) {
		double value = ppce_column_real(&rows, "value");
		ppce_printf(res, "%s\n  {\"taken\": ", rows.row > 1 ? "," : "");
		put_text(res, ppce_column_text(&rows, "taken"));
		ppce_printf(res, ", \"measure\": ");
		put_text(res, ppce_column_text(&rows, "measure"));
		ppce_printf(res, isfinite(value) ? ", \"value\": %.15g}" : ", \"value\": null}", value);
	}
	ppce_printf(res, "]");
	return 0;
}

/* Rows of both categories, or of one: `training` or `medical` is the query for it, or NULL. */
static int show(struct ppce_response *res, const char *training, const char *medical, const char *player)
{
	ppce_reply(res, 200, "application/json", "{");
	int error = training ? put_rows(res, "training", training, player) : 0;
	if (training && medical)
		ppce_printf(res, ",\n");
	if (medical && !error)
		error = put_rows(res, "medical", medical, player);
	return error ? refuse(res, error) : ppce_printf(res, "}\n");
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
	char player[65];
	int end = 0;
	bool mine = strcmp(req->path, "/me") == 0;

	if (mine && strcmp(req->method, "POST") == 0)
		return add_mine(req, res);
	if (strcmp(req->method, "GET") != 0)
		return ppce_reply(res, 405, "text/plain", "GET, and POST to /me\n");
	if (mine)
		return show(res, "my_training", "my_medical", NULL);
	sscanf(req->path, "/player/%64[A-Za-z0-9._@-]/%n", player, &end);
	if (end && strcmp(req->path + end, "training") == 0)
		return show(res, "player_training", NULL, player);
	if (end && strcmp(req->path + end, "medical") == 0)
		return show(res, NULL, "player_medical", player);
	return ppce_reply(res, 404, "text/plain", "try /me or /player/NAME/training\n");
}

PPCE_APP(.name = "records", .handle = handle, .memory_mib = 4, .warm_path = "/me",
	 .queries = "my_training,my_medical,player_training,player_medical,add_training")
