// SPDX-License-Identifier: MIT
#include "store/authorise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/rest.h"

#define ANSWER_BYTES_MAX (8u << 20)

struct question {
	void (*done)(void *ctx, struct authorised *a);
	void *ctx;
};

static int compare(const void *a, const void *b)
{
	const struct label_tag *x = a, *y = b;
	int c = strcmp(x->owner, y->owner);
	return c ? c : strcmp(x->category, y->category);
}

bool authorised_has(const struct authorised *a, const struct label_tag *tag)
{
	return a->n && bsearch(tag, a->tag, a->n, sizeof *a->tag, compare);
}

void authorised_free(struct authorised *a)
{
	free(a->tag);
	*a = (struct authorised){ 0 };
}

static int read_tag(const char *text, struct label_tag *out)
{
	const char *slash = text ? strrchr(text, '/') : NULL;
	if (!slash || (size_t)(slash - text) >= sizeof out->owner || strlen(slash + 1) >= sizeof out->category)
		return -1;
	memset(out, 0, sizeof *out);
	memcpy(out->owner, text, (size_t)(slash - text));
	strcpy(out->category, slash + 1);
	return user_valid(out->owner) ? 0 : -1;
}

int authorised_decode(const char *bytes, size_t len, struct authorised *out, struct err *err)
{
	json_t *all = json_decode(bytes, len, err), *tags = all ? json_object_get(all, "tags") : NULL;
	size_t n = json_array_size(tags);
	int rc = all ? 0 : -1;
	*out = (struct authorised){ 0 };
	if (rc == 0 && (!json_is_array(tags) || n > AUTHORISED_MAX))
		rc = err_set(err, ERR_BAD_GATEWAY, "auth's answer has no tags");
	if (rc == 0 && !(out->tag = calloc(n + 1, sizeof *out->tag)))
		rc = err_set(err, ERR_INTERNAL, "out of memory");
	for (; rc == 0 && out->n < n; out->n++)
		if (read_tag(json_string_value(json_array_get(tags, out->n)), &out->tag[out->n]) < 0)
			rc = err_set(err, ERR_BAD_GATEWAY, "auth's answer has a tag that is none");
	json_decref(all);
	if (rc < 0)
		authorised_free(out);
	else
		qsort(out->tag, out->n, sizeof *out->tag, compare);
	return rc;
}

static void on_reply(void *ctx, const struct http_reply *reply, const struct err *err)
{
	struct question *q = ctx;
	struct authorised a = { 0 };
	struct err why = { 0 };
	if (err)
		why = *err;
	else if (reply->status == 404)
		; /* nobody has ever authorised it */
	else if (reply->status != 200)
		err_set(&why, ERR_BAD_GATEWAY, "auth answered %d", reply->status);
	else
		authorised_decode(reply->body, reply->body_len, &a, &why);
	if (why.kind != ERR_NONE)
		log_warn("authorisations cannot be had, so nobody has given any: %s", why.text);
	q->done(q->ctx, &a);
	free(q);
}

void authorise_ask(struct http_client *http, const char *address, const char *certificate_id,
		   void (*done)(void *ctx, struct authorised *a), void *ctx)
{
	char target[128];
	struct question *q = malloc(sizeof *q);
	if (!q)
		abort(); /* a few bytes: nothing else would go on either */
	*q = (struct question){ done, ctx };
	snprintf(target, sizeof target, "/v1/authorisations/%s", certificate_id);
	struct http_call call = { .address = address,
				  .method = "GET",
				  .target = target,
				  .timeout_ms = AUTHORISE_MS,
				  .answer_bytes = ANSWER_BYTES_MAX };
	http_call_start(http, &call, on_reply, q);
}
