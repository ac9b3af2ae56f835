/* SPDX-License-Identifier: MIT
 *
 * A guest for tests/e2e/test_noninterference.py: runs the script in the request's body. It works on one number, to which
 * all that it reads adds, and tells that number by everything that an app has to tell something with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ppce/ppce.h>

struct script {
	const struct ppce_request *req;
	struct ppce_response *res;
	unsigned number;
	long sum; /* of the last query's values */
	int result;
	char word[3][33]; /* of the operation */
};

static unsigned kept;

static void see(struct script *s, long value)
{
	s->number = s->number * 33u + (unsigned)value + 1;
}

static void read_rows(struct script *s)
{
	struct ppce_rows rows;
	int error = ppce_query(&rows, s->word[1], 0);
	s->sum = 0;
	see(s, error);
	while (!error && ppce_next(&rows)) {
		for (unsigned i = 0; i < rows.columns; i++)
			for (size_t k = 0; rows.value[i].type == PPCE_TEXT && k < rows.value[i].len; k++)
				see(s, ((const char *)rows.value[i].bytes)[k]);
		see(s, (long)ppce_column_int(&rows, "value"));
		s->sum += (long)ppce_column_int(&rows, "value");
	}
}

static void write_row(struct script *s)
{
	long value = strcmp(s->word[2], "n") == 0 ? (long)(s->number % 8) : strtol(s->word[2], NULL, 10);
	see(s, (long)ppce_write(s->word[1], 1, ppce_int(value)));
}

static void set_status(struct script *s)
{
	static const int codes[] = { 200, 201, 204, 304, 401, 404, 409, 500, 502, 503 };
	s->result |= ppce_status(s->res, codes[s->number % (sizeof codes / sizeof *codes)]);
}

static void set_header(struct script *s)
{
	static const char *const names[] = { "x-number", "cache-control", "location", "set-cookie" };
	char value[32];
	snprintf(value, sizeof value, "n=%u", s->number);
	s->result |= ppce_header_add(s->res, names[s->number % 4], value);
}

static void set_length(struct script *s)
{
	s->result |= ppce_printf(s->res, "%*s\n", (int)(s->number % 3000), "");
}

static void release(struct script *s)
{
	char json[32];
	snprintf(json, sizeof json, "{\"v\":%ld}", s->sum & 3);
	see(s, ppce_declassify(s->res, "gate", json));
}

static void spin(struct script *s)
{
	uint64_t end = ppce_monotonic_ns() + s->number % 20 * 1000000u;
	while (ppce_monotonic_ns() < end)
		;
}

static void hang(struct script *s)
{
	while (s->number & 1)
		(void)ppce_monotonic_ns();
}

static void crash(struct script *s)
{
	if (s->number & 1)
		__builtin_trap();
}

static void leave(struct script *s)
{
	if (s->number & 1)
		exit((int)(s->number & 2));
}

static void fail(struct script *s)
{
	s->result |= s->number & 1 ? -1 : 0;
}

static void say(struct script *s)
{
	ppce_log(PPCE_INFO, "the number is %u", s->number);
}

static void tell(struct script *s)
{
	s->result |= ppce_printf(s->res, "%u\n", s->number);
}

static void keep(struct script *s)
{
	kept = s->number;
}

static void recall(struct script *s)
{
	see(s, kept);
}

static void who(struct script *s)
{
	s->result |=
		ppce_printf(s->res, "%s %s %s %s\n", s->req->user, s->req->class_name, s->req->label, s->req->purpose);
}

static const struct {
	const char *name;
	void (*run)(struct script *s);
} operations[] = {
	{ "read", read_rows },	  { "write", write_row }, { "status", set_status }, { "header", set_header },
	{ "length", set_length }, { "release", release }, { "spin", spin },	    { "hang", hang },
	{ "crash", crash },	  { "exit", leave },	  { "fail", fail },	    { "log", say },
	{ "body", tell },	  { "keep", keep },	  { "recall", recall },	    { "who", who },
};

static void run_operation(struct script *s)
{
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (strcmp(s->word[0], operations[i].name) == 0)
			operations[i].run(s);
}

/* One operation a line: up to three words. "skip N P" leaves out N lines if the number is odd, P 1: even. */
static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	struct script s = { .req = req, .res = res };
	unsigned skip = 0;
	s.result = ppce_reply(res, 200, "text/plain", "done\n");
	for (const char *line = req->body; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		memset(s.word, 0, sizeof s.word);
		sscanf(line, "%32s %32s %32[^\n]", s.word[0], s.word[1], s.word[2]);
		if (skip)
			skip--;
		else if (strcmp(s.word[0], "skip") == 0)
			skip = ((s.number ^ s.number >> 7) & 1) == (unsigned)atoi(s.word[2]) ? (unsigned)atoi(s.word[1])
											     : 0;
		else
			run_operation(&s);
	}
	return s.result;
}

PPCE_APP(.name = "script", .handle = handle, .memory_mib = 4,
	 .queries = "r0,r1,r2,r3,r4,r5,r6,i0,i1,i2,i3,i4,i5,i6,u0,u1,u2,u3,u4,u5,u6,all,owned,here,gated,gate")
