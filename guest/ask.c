/* SPDX-License-Identifier: MIT
 *
 * Encoding of a request that came by HTTP or from the command line, so that it runs through the same decoder as any. */
#include "guest/app.h"

#include <string.h>

struct writer {
	uint8_t *out;
	size_t size, at;
	bool full;
};

static struct wire_ref put(struct writer *w, const char *s, size_t len)
{
	struct wire_ref ref = { (uint32_t)w->at, (uint32_t)len };

	if (w->full || len >= w->size - w->at) {
		w->full = true;
		return ref;
	}
	if (s)
		memcpy(w->out + w->at, s, len);
	w->out[w->at + len] = '\0';
	w->at += len + 1;
	return ref;
}

static struct wire_ref put_text(struct writer *w, const char *s)
{
	return put(w, s ? s : "", s ? strlen(s) : 0);
}

static struct wire_ref put_lower(struct writer *w, const char *s)
{
	struct wire_ref ref = put_text(w, s);

	for (size_t i = 0; !w->full && i < ref.len; i++)
		if (w->out[ref.at + i] >= 'A' && w->out[ref.at + i] <= 'Z')
			w->out[ref.at + i] |= 0x20;
	return ref;
}

struct app_ask app_ask_debug(void)
{
	return (struct app_ask){ .app = "debug",
				 .user = "tester",
				 .session = "00000000-0000-4000-8000-000000000000",
				 .purpose = "debugging",
				 .id = "debug" };
}

size_t app_ask_encode(const struct app_ask *ask, void *out, size_t size)
{
	struct wire_request *head = out;
	struct wire_field *table = (struct wire_field *)(head + 1);
	struct writer w = { out, size, sizeof *head + ask->nheaders * sizeof *table, false };

	if (ask->nheaders > PPCE_HEADERS_MAX || w.at >= size)
		return 0;
	memset(out, 0, w.at);
	head->version = WIRE_VERSION;
	head->fields = (uint32_t)ask->nheaders;
	head->method = put_text(&w, ask->method);
	head->path = put_text(&w, ask->path);
	head->query = put_text(&w, ask->query);
	head->app = put_text(&w, ask->app);
	head->user = put_text(&w, ask->user);
	head->class_name = put_text(&w, ask->class_name);
	head->label = put_text(&w, ask->label);
	head->session = put_text(&w, ask->session);
	head->purpose = put_text(&w, ask->purpose);
	head->request_id = put_text(&w, ask->id);
	for (size_t i = 0; i < ask->nheaders; i++) {
		table[i].name = put_lower(&w, ask->headers[i].name);
		table[i].value = put_text(&w, ask->headers[i].value);
	}
	head->body = put(&w, ask->body, ask->body_len);
	return w.full ? 0 : w.at;
}
