/* SPDX-License-Identifier: MIT
 *
 * An app that wants to know and to tell: it reads a squad's rows, as apps/stats does, and then tries to smuggle one bit
 * of them past the platform to somebody who may not see them, once by each channel that an app has. For the tests, and for
 * docs/channels.md, which says of each channel what becomes of it. Do not copy from this file.
 *
 *   GET /CHANNEL?squad=s7&measure=glucose    see channels[] below. The bit: is the first value odd? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ppce/ppce.h>

static char kept[64]; /* what an earlier request left behind */

static int by_status(struct ppce_response *res, bool bit)
{
	return ppce_reply(res, bit ? 200 : 404, "text/plain", "nothing to see here\n");
}

static int by_header(struct ppce_response *res, bool bit)
{
	ppce_reply(res, 200, "text/plain", "nothing to see here\n");
	return ppce_header_add(res, bit ? "x-odd" : "x-even", "1");
}

static int by_body(struct ppce_response *res, bool bit)
{
	return ppce_reply(res, 200, "text/plain", "the first value is %s\n", bit ? "odd" : "even");
}

static int by_length(struct ppce_response *res, bool bit)
{
	return ppce_reply(res, 200, "text/plain", "%*s", bit ? 4000 : 40, "");
}

static int by_error(struct ppce_response *res, bool bit)
{
	return bit ? -1 : ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

static int by_crash(struct ppce_response *res, bool bit)
{
	if (bit)
		__builtin_trap();
	return ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

static int by_exit(struct ppce_response *res, bool bit)
{
	if (bit)
		exit(1);
	return ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

/* For whoever reads `ppce logs`. */
static int by_log(struct ppce_response *res, bool bit)
{
	ppce_log(PPCE_INFO, "the first value is %s", bit ? "odd" : "even");
	return ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

static int by_timing(struct ppce_response *res, bool bit)
{
	uint64_t end = ppce_monotonic_ns() + (bit ? 200000000u : 0);

	while (ppce_monotonic_ns() < end)
		;
	return ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

static int by_deadline(struct ppce_response *res, bool bit)
{
	if (bit)
		for (;;)
			(void)ppce_monotonic_ns();
	return ppce_reply(res, 200, "text/plain", "nothing to see here\n");
}

static int by_memory(struct ppce_response *res, bool bit)
{
	snprintf(kept, sizeof kept, "the first value is %s", bit ? "odd" : "even");
	return ppce_reply(res, 200, "text/plain", "ask /recall\n");
}

/* A certificate that an officer signed for another image. */
static int by_release(struct ppce_response *res, bool bit)
{
	int error =
		ppce_declassify(res, "squad-mean", bit ? "{\"mean\":1,\"players\":20}" : "{\"mean\":0,\"players\":20}");
	return error ? ppce_reply(res, 200, "text/plain", "%d\n", bit) : 0;
}

/* One for this image, but a value that it does not describe. */
static int by_form(struct ppce_response *res, bool bit)
{
	int error = ppce_declassify(res, "curious-mean", bit ? "{\"odd\":1}" : "{\"odd\":0}");
	return error ? ppce_reply(res, 200, "text/plain", "%d\n", bit) : 0;
}

/* And one that it does describe: what this image may say, it may say falsely. So a certificate is narrow, and an officer
 * reads the image's source before signing. */
static int by_value(struct ppce_response *res, bool bit)
{
	return ppce_declassify(res, "curious-mean",
			       bit ? "{\"mean\":1,\"players\":20}" : "{\"mean\":0,\"players\":20}");
}

static const struct channel {
	const char *path;
	int (*smuggle)(struct ppce_response *res, bool bit);
} channels[] = {
	{ "/status", by_status },     { "/header", by_header },	  { "/body", by_body }, { "/length", by_length },
	{ "/error", by_error },	      { "/crash", by_crash },	  { "/exit", by_exit }, { "/log", by_log },
	{ "/timing", by_timing },     { "/memory", by_memory },	  { "/form", by_form }, { "/value", by_value },
	{ "/deadline", by_deadline }, { "/release", by_release },
};

static int smuggle(const struct channel *c, const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_rows rows;
	char squad[33] = "", measure[33] = "";

	ppce_query_get(req, "squad", squad, sizeof squad);
	ppce_query_get(req, "measure", measure, sizeof measure);
	int error = ppce_query(&rows, "squad_values", 2, ppce_text(squad), ppce_text(measure));
	if (error)
		return ppce_reply(res, 503, "text/plain", "%s\n", ppce_error_text(error));
	if (!ppce_next(&rows))
		return ppce_reply(res, 404, "text/plain", "no rows\n");
	return c->smuggle(res, (long)ppce_column_real(&rows, "value") & 1);
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	if (strcmp(req->path, "/recall") == 0)
		return ppce_reply(res, 200, "text/plain", "kept: %s\n", kept);
	for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
		if (strcmp(req->path, channels[i].path) == 0)
			return smuggle(&channels[i], req, res);
	return ppce_reply(res, 404, "text/plain", "no such channel\n");
}

PPCE_APP(.name = "curious", .handle = handle, .memory_mib = 4, .queries = "squad_values,squad-mean,curious-mean")
