/* SPDX-License-Identifier: MIT */
#include "tests/http/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct http_bounds drive_bounds = { .first_line = 256, .header_bytes = 512, .headers = 8 };

/* The last `len` bytes before a page without access, filled from `bytes`. */
static char *at_guard(const char *bytes, size_t len)
{
	static char *area;
	const size_t size = 1 << 20;
	if (!area) {
		area = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED || mprotect(area + size, 4096, PROT_NONE))
			abort();
	}
	if (len > size)
		abort();
	if (len)
		memcpy(area + size - len, bytes, len);
	return area + size - len;
}

static void note_head(struct driven *d, const struct http_message *m, int answer)
{
	size_t n = 0;
	if (answer)
		snprintf(d->line, sizeof(d->line), "%d", m->status);
	else
		snprintf(d->line, sizeof(d->line), "%s %s", m->method, m->target);
	d->nfields = m->nfields;
	d->keep_alive = m->keep_alive;
	for (unsigned i = 0; i < m->nfields && n < sizeof(d->fields); i++)
		n += (size_t)snprintf(d->fields + n, sizeof(d->fields) - n, "%s=%s;", m->fields[i].name,
				      m->fields[i].value);
}

static void drive_body(struct driven *d, struct http_message *m, const char *input, size_t len, size_t step)
{
	for (d->rc = 0; d->rc == 0;) {
		size_t n = len - d->used, used;
		if (step && n > step)
			n = step;
		d->rc = http_message_body(m, at_guard(input + d->used, n), n, &used, &d->body, DRIVE_BODY_MAX, &d->err);
		if (used > n || (d->rc == 0 && used != n) || d->body.len > DRIVE_BODY_MAX)
			abort();
		d->used += used;
		if (d->used == len)
			break;
	}
}

struct driven drive(const char *input, size_t len, size_t step, int answer)
{
	struct driven d = { .body = { .cap = DRIVE_BODY_MAX + 1 } };
	struct http_field fields[8];
	struct http_scan scan = { 0 };
	struct http_message m;
	char *bytes = NULL;

	for (size_t n = 0; d.rc == 0 && n < len;) {
		n = step && len - n > step ? n + step : len;
		bytes = at_guard(input, n);
		d.rc = http_scan(&scan, bytes, n, &drive_bounds, &d.err);
	}
	if (d.rc != 1)
		return d;
	size_t head = scan.pos - scan.begin;
	/* Alone at the guard page: decoding may not look past the head. */
	bytes = at_guard(input + scan.begin, head);
	d.rc = answer ? http_answer_head(&m, bytes, head, answer == 2, fields, &d.err)
		      : http_request_head(&m, bytes, head, fields, &d.err);
	if (d.rc < 0)
		return d;
	note_head(&d, &m, answer);
	d.used = scan.pos;
	drive_body(&d, &m, input, len, step);
	return d;
}

void drive_free(struct driven *d)
{
	buf_free(&d->body);
}
