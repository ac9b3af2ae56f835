/* SPDX-License-Identifier: MIT
 *
 * A guest that uses the store: well-behaved on most paths, wild on /raw. The tests play the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/os.h"
#include "tests/guest/paths.h"

static int at_init; /* what a query gave before the snapshot */

static uint64_t number(const struct ppce_request *req, const char *name, uint64_t otherwise)
{
	char text[32];

	return ppce_query_get(req, name, text, sizeof text) > 0 ? strtoull(text, NULL, 0) : otherwise;
}

static int failed(struct ppce_response *res, int64_t error)
{
	return ppce_reply(res, 200, "text/plain", "error %d %s\n", (int)error, ppce_error_text((int)error));
}

static void print_value(struct ppce_response *res, const struct ppce_value *v)
{
	switch (v->type) {
	case PPCE_NULL:
		ppce_printf(res, " null");
		break;
	case PPCE_INTEGER:
		ppce_printf(res, " int:%ld", (long)v->integer);
		break;
	case PPCE_REAL:
		ppce_printf(res, " real:%g", v->real);
		break;
	case PPCE_TEXT:
		ppce_printf(res, " text:%s", (const char *)v->bytes);
		break;
	case PPCE_BLOB:
		ppce_printf(res, " blob:");
		for (size_t i = 0; i < v->len; i++)
			ppce_printf(res, "%02x", ((const unsigned char *)v->bytes)[i]);
		break;
	}
}

static int print_rows(struct ppce_rows *rows, struct ppce_response *res)
{
	ppce_reply(res, 200, "text/plain", "%u columns, %u rows:", rows->columns, rows->rows);
	for (unsigned i = 0; i < rows->columns; i++)
		ppce_printf(res, " %s", rows->names[i]);
	while (ppce_next(rows)) {
		ppce_printf(res, "\n%u:", rows->row);
		for (unsigned i = 0; i < rows->columns; i++)
			print_value(res, &rows->value[i]);
	}
	return ppce_printf(res, "\n");
}

/* One parameter of each type. */
static int query(const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_rows rows;

	(void)req;
	int r = ppce_query(&rows, "mine", 5, ppce_int(-7), ppce_real(0.5), ppce_text("x y"), ppce_text(NULL),
			   ppce_blob("\0\1\2", 3));
	return r < 0 ? failed(res, r) : print_rows(&rows, res);
}

static int columns(const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_rows rows;
	int r = ppce_query(&rows, "mine", 0);

	(void)req;
	if (r < 0 || !ppce_next(&rows))
		return failed(res, r);
	return ppce_reply(res, 200, "text/plain", "day=%s load=%g n=%ld none=%s wrong=%ld\n",
			  ppce_column_text(&rows, "day"), ppce_column_real(&rows, "load"),
			  (long)ppce_column_int(&rows, "n"), ppce_column_text(&rows, "nothing"),
			  (long)ppce_column_int(&rows, "day"));
}

static int write_row(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	int64_t n = ppce_write("add", 1, ppce_text("today"));
	return n < 0 ? failed(res, n) : ppce_reply(res, 200, "text/plain", "wrote %ld\n", (long)n);
}

/* ?after=reply takes the release back, ?after=body tries to add to it. */
static int declassify(const struct ppce_request *req, struct ppce_response *res)
{
	char after[16] = "";
	(void)ppce_query_get(req, "after", after, sizeof after);
	ppce_reply(res, 201, "text/plain", "not to be seen");
	ppce_header_add(res, "x-secret", "1");
	int r = ppce_declassify(res, "mean", "{\"mean\":4}");
	if (r < 0)
		return failed(res, r);
	if (strcmp(after, "reply") == 0)
		return ppce_reply(res, 203, "text/plain", "taken back\n");
	if (strcmp(after, "body") == 0)
		return ppce_printf(res, "smuggled");
	return 0;
}

/* A call by hand, on a buffer full of 0x77; answers with its result and the bytes. ?over=1 writes past the IO window then. */
static int raw(const struct ppce_request *req, struct ppce_response *res)
{
	const struct ppce_io *io = los_io;

	if (!io)
		return ppce_reply(res, 501, NULL, "not in a guest\n");
	memset((void *)io->data_at, 0x77, io->data_max);
	int64_t r = los_call(PPCE_CALL_STORE, number(req, "verb", 1), number(req, "length", 8));
	if (number(req, "over", 0))
		*(volatile char *)(io->data_at + io->data_max + PPCE_NET_BYTES) = 1;
	ppce_reply(res, 200, "text/plain", "%ld ", (long)r);
	return ppce_body(res, (const void *)io->data_at, r > 0 ? (size_t)r : 0);
}

/* Calls that the library refuses by itself. */
static int refused(const struct ppce_request *req, struct ppce_response *res)
{
	static char big[1 << 17];
	struct ppce_rows rows;

	(void)req;
	int a = ppce_query(&rows, "", 0), b = ppce_query(&rows, "a-name-that-is-longer-than-32-bytes", 0);
	int c = ppce_query(&rows, "mine", 1, ppce_blob(big, sizeof big)), d = ppce_declassify(res, "mean", NULL);
	int e = ppce_query(&rows, "mine", 65);
	return ppce_reply(res, 200, "text/plain", "%d %d %d %d %d %d\n", a, b, c, d, e, ppce_next(&rows));
}

static int show_init(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_reply(res, 200, "text/plain", "init %d, data %lu\n", at_init, los_io ? los_io->data_max : 0);
}

/* Looks through all memory that can be named for ?not= (hex), whose complement is meant, so that the request itself does
 * not hold what is searched. */
static int find(const struct ppce_request *req, struct ppce_response *res)
{
	extern char __data_start[] __attribute__((weak)), _end[];
	const struct ppce_io *io = los_io;
	char hex[64];
	unsigned char want[32];
	int n = ppce_query_get(req, "not", hex, sizeof hex) / 2;

	for (int i = 0; i < n; i++)
		sscanf(hex + 2 * i, "%2hhx", &want[i]);
	const uint64_t stack_end = (uint64_t)io - PPCE_PAGE, stack = (uint64_t)256 << 10;
	const uint64_t regions[][2] = { { (uint64_t)__data_start, (uint64_t)_end },
					{ io->heap_start, io->heap_end },
					{ stack_end - stack, stack_end },
					{ (uint64_t)io, io->data_at + io->data_max } };
	size_t found = 0, seen = 0;
	for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
		for (uint64_t at = regions[i][0]; at + (uint64_t)n <= regions[i][1]; at++, seen++) {
			const unsigned char *p = (const unsigned char *)at;
			int k = 0;
			while (k < n && (unsigned char)~p[k] == want[k])
				k++;
			found += k == n;
		}
	return ppce_reply(res, 200, "text/plain", "found %zu in %zu bytes\n", found, seen);
}

static const struct test_path paths[] = {
	{ "/query", query }, { "/columns", columns }, { "/write", write_row }, { "/declassify", declassify },
	{ "/raw", raw },     { "/refused", refused }, { "/init", show_init },  { "/find", find },
};

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

static int init(void)
{
	struct ppce_rows rows;

	at_init = ppce_query(&rows, "mine", 0);
	return 0;
}

PPCE_APP(.name = "store", .init = init, .handle = handle, .memory_mib = 4, .data_kib = 32, .queries = "mine,add,mean",
	 .warm_path = "/query")
