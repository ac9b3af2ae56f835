/* SPDX-License-Identifier: MIT
 *
 * Reads every byte that an accepted message refers to, so that a guard page or a sanitizer sees any lie. Shared by the
 * unit test and the fuzz target. */
#ifndef TESTS_GUEST_WIRE_USE_H
#define TESTS_GUEST_WIRE_USE_H

#include <stdlib.h>

#include "guest/app.h"

static inline void use_text(const void *msg, struct wire_ref ref)
{
	const volatile char *s = wire_text(msg, ref);

	for (uint32_t i = 0; i < ref.len; i++)
		(void)s[i];
	if (s[ref.len] != '\0')
		abort();
}

static inline void use_view(const struct wire_request *w)
{
	static struct ppce_header headers[PPCE_HEADERS_MAX];
	struct ppce_request req;
	char value[32];

	if (app_request_view(w, headers, &req) < 0)
		return;
	if (req.path[0] != '/' || !req.method[0] || req.nheaders > PPCE_HEADERS_MAX)
		abort();
	(void)ppce_header_get(&req, "x-one");
	int n = ppce_query_get(&req, "x", value, sizeof value);
	if (n >= (int)sizeof value || (n >= 0 && strlen(value) != (size_t)n))
		abort();
}

static inline void use_request(const void *msg, size_t size)
{
	const struct wire_request *w = wire_request_decode(msg, size);

	if (!w)
		return;
	const struct wire_ref refs[] = { w->method,	w->path,  w->query,   w->app,	  w->user,	w->body,
					 w->class_name, w->label, w->session, w->purpose, w->request_id };
	for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
		use_text(msg, refs[i]);
	for (uint32_t i = 0; i < w->fields; i++) {
		use_text(msg, wire_fields(msg, sizeof *w)[i].name);
		use_text(msg, wire_fields(msg, sizeof *w)[i].value);
	}
	use_view(w);
}

static inline void use_response(const void *msg, size_t size)
{
	const struct wire_response *w = wire_response_decode(msg, size);

	if (!w)
		return;
	if (w->status < 200 || w->status > 599)
		abort();
	use_text(msg, w->body);
	for (uint32_t i = 0; i < w->fields; i++) {
		use_text(msg, wire_fields(msg, sizeof *w)[i].name);
		use_text(msg, wire_fields(msg, sizeof *w)[i].value);
	}
}

#endif
