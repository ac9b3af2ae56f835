/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "lib/names.h"
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
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:o, s:I, s:s, s:b}", "name", r->name,
			      "digest", r->digest, "label", r->label, "added", (json_int_t)r->added, "bytes",
			      (json_int_t)r->bytes, "manifest_name", r->manifest_name, "memory_mib",
			      (json_int_t)r->memory_mib, "request_kib", (json_int_t)r->request_kib, "response_kib",
			      (json_int_t)r->response_kib, "queries", names_json(r->queries), "boot_us",
			      (json_int_t)i->boot_us, "state", image_state_name(i->state), "network", (int)r->network);
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

static int decode_add(struct rest_call *call, char *name, char *path, char *label, struct err *err)
{
	if (json_get_text(call->body, "name", name, PPCE_NAME_SIZE, err) < 0 ||
	    json_get_text(call->body, "path", path, 4096, err) < 0 ||
	    rest_label(call->ctx, call->body, "label", label, err) < 0)
		return -1;
	if (!name_valid(name))
		return err_set(err, ERR_INVALID,
			       "name: an image is called by a letter, then up to 31 of a-z 0-9 and -");
	if (path[0] != '/')
		return err_set(err, ERR_INVALID, "path: expected an absolute path");
	return 0;
}

void rest_image_add(struct rest_call *call)
{
	char name[PPCE_NAME_SIZE], path[4096], label[PPCE_LABEL_SIZE];
	struct err err;

	if (decode_add(call, name, path, label, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	struct rest_call *later = rest_defer(call);
	if (image_add(later->ctx, name, path, label, added, later, &err) < 0)
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
