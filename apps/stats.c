/* SPDX-License-Identifier: MIT
 *
 * One number about a whole squad, for researchers who may see no player's rows. Reading the rows taints this instance
 * above everything that the researcher may see, so whatever it answered would be blocked. What leaves is the one value
 * that a certificate describes: signed by an officer for exactly this image, authorised by the players, and checked by
 * the host (its form, its size, and that enough players stand behind it).
 *
 *   GET /mean?squad=s7&measure=glucose    {"mean":91,"players":20}, or 403 */
#include <stdio.h>
#include <string.h>

#include <ppce/ppce.h>

#define CERTIFICATE "squad-mean" /* DIR/certificates/squad-mean.json */

static int refuse(struct ppce_response *res, int error)
{
	ppce_log(PPCE_WARNING, "the store says: %s", ppce_error_text(error));
	if (error == PPCE_DENIED)
		return ppce_reply(res, 403, "text/plain", "no number may be released for this squad\n");
	if (error == PPCE_DEADLINE || error == PPCE_UNAVAILABLE || error == PPCE_NO_STORE)
		return ppce_reply(res, 503, "text/plain", "no data at the moment\n");
	/* What is left: the image, queries.yaml and the certificate do not fit each other. */
	return ppce_reply(res, 500, "text/plain", "the service is not set up correctly\n");
}

static int show_mean(struct ppce_response *res, const char *squad, const char *measure)
{
	struct ppce_rows rows;
	char json[64];
	double sum = 0;
	int error = ppce_query(&rows, "squad_values", 2, ppce_text(squad), ppce_text(measure));

	if (error)
		return refuse(res, error);
	if (!rows.rows)
		return ppce_reply(res, 404, "text/plain",
				  "no such squad or measure, or nothing of it is open to you\n");
	while (ppce_next(&rows))
		sum += ppce_column_real(&rows, "value");
	snprintf(json, sizeof json, "{\"mean\":%.0f,\"players\":%u}", sum / rows.rows, rows.rows);
	error = ppce_declassify(res, CERTIFICATE, json);
	return error ? refuse(res, error) : 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	char squad[33], measure[33];

	if (strcmp(req->method, "GET") != 0)
		return ppce_reply(res, 405, "text/plain", "only GET here\n");
	if (strcmp(req->path, "/mean") != 0)
		return ppce_reply(res, 404, "text/plain", "try /mean?squad=s7&measure=glucose\n");
	if (ppce_query_get(req, "squad", squad, sizeof squad) < 0 ||
	    ppce_query_get(req, "measure", measure, sizeof measure) < 0)
		return ppce_reply(res, 400, "text/plain", "which? try ?squad=s7&measure=glucose\n");
	return show_mean(res, squad, measure);
}

PPCE_APP(.name = "stats", .handle = handle, .memory_mib = 4, .warm_path = "/mean", .queries = "squad_values,squad-mean")
