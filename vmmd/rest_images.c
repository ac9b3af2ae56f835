/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/names.h"
#include "vmmd/foreign.h"
#include "vmmd/rest_api.h"

static json_t *names_json(const char *list)
{
	json_t *names = json_array();
	for (size_t len; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		json_array_append_new(names, json_stringn(list, len));
	}
	return names;
}

static json_t *image_json(const struct image *i)
{
	const struct image_record *r = &i->r;
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:o, s:I, s:s, s:b}", "name", r->name,
			      "kind", image_kind_name(r->kind), "digest", r->digest, "label", r->label, "added",
			      (json_int_t)r->added, "bytes", (json_int_t)r->bytes, "manifest_name", r->manifest_name,
			      "memory_mib", (json_int_t)r->memory_mib, "request_kib", (json_int_t)r->request_kib,
			      "response_kib", (json_int_t)r->response_kib, "queries", names_json(r->queries), "boot_us",
			      (json_int_t)i->boot_us, "state", image_state_name(i->state), "network", (int)r->network);
	if (j && r->kind != IMAGE_PPCE)
		json_object_set_new(j, "device", json_string(r->device));
	if (j && i->state == IMAGE_FAILED)
		json_object_set_new(j, "reason", json_string(i->reason));
	return j;
}

static void added(void *ctx, struct image *image, enum image_outcome outcome, const struct err *err)
{
	struct rest_call *call = ctx;
	if (err)
		rest_fail(call, err);
	else
		rest_reply(call, outcome == IMAGE_ADDED ? 201 : 200, image_json(image));
}

static int decode_kind(const json_t *body, struct image_wish *w, struct err *err)
{
	static const char *const kinds[] = { "ppce", "solo5-hvt", NULL };
	long long memory;
	if (json_get_word(body, "kind", kinds, IMAGE_PPCE, &w->kind, err) < 0 ||
	    json_get_int(body, "memory_mib", PPCE_MEMORY_MIB_MIN, PPCE_MEMORY_MIB_MAX, FOREIGN_MEMORY_MIB, &memory,
			 err) < 0)
		return -1;
	if (w->kind == IMAGE_PPCE && json_object_get(body, "memory_mib"))
		return err_set(err, ERR_INVALID,
			       "memory_mib: a PPCE image says itself how much memory it wants, in its PPCE_APP");
	w->memory_mib = (uint32_t)memory;
	return 0;
}

static int decode_add(struct rest_call *call, struct image_wish *w, struct err *err)
{
	*w = (struct image_wish){ 0 };
	if (json_get_text(call->body, "name", w->name, sizeof w->name, err) < 0 ||
	    json_get_text(call->body, "path", w->path, sizeof w->path, err) < 0 ||
	    rest_label(call->ctx, call->body, "label", w->label, err) < 0 || decode_kind(call->body, w, err) < 0)
		return -1;
	if (!name_valid(w->name))
		return err_set(err, ERR_INVALID,
			       "name: an image is called by a letter, then up to 31 of a-z 0-9 and -");
	if (w->path[0] != '/')
		return err_set(err, ERR_INVALID, "path: expected an absolute path");
	return 0;
}

void rest_image_add(struct rest_call *call)
{
	struct image_wish wish;
	struct err err;

	if (decode_add(call, &wish, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	struct rest_call *later = rest_defer(call);
	if (image_add(later->ctx, &wish, added, later, &err) < 0)
		rest_fail(later, &err);
}

void rest_image_list(struct rest_call *call)
{
	struct vmmd *v = call->ctx;
	const struct image *i;
	json_t *list = json_array();
	TAILQ_FOREACH (i, &v->images.list, link)
		json_array_append_new(list, image_json(i));
	rest_reply(call, 200, json_pack("{s:o}", "images", list));
}

static struct image *named(struct rest_call *call)
{
	struct err err;
	struct image *i = image_find(call->ctx, call->param[0]);
	if (!i) {
		err_set(&err, ERR_NOT_FOUND, "there is no image of this name");
		rest_fail(call, &err);
	}
	return i;
}

void rest_image_get(struct rest_call *call)
{
	struct image *i = named(call);
	if (i)
		rest_reply(call, 200, image_json(i));
}

void rest_image_remove(struct rest_call *call)
{
	struct image *i = named(call);
	struct err err;
	if (!i)
		return;
	if (image_remove(call->ctx, i, &err) < 0)
		rest_fail(call, &err);
	else
		rest_reply(call, 204, NULL);
}
