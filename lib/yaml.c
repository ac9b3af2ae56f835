/* SPDX-License-Identifier: MIT
 *
 * Builds a small tree from libyaml's events. The events, not libyaml's own documents, because only they still show
 * what is refused here: anchors and aliases, tags, deep nesting; and an event that is refused ends the parse at once.
 */
#include "lib/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/rest.h"

#define YAML_DEPTH_MAX 16
#define YAML_SIZE_MAX (1u << 20)
#define YAML_ENTRIES_MAX 4096 /* of one list or map: finding duplicate keys takes quadratic time */

struct yaml_value {
	const struct yaml_file *file;
	enum yaml_kind kind;
	unsigned line;
	char *text;		   /* scalar */
	struct yaml_value **items; /* list: the items; map: key, member, key, member, ... */
	size_t count, size;	   /* used and allocated entries of .items */
};

struct yaml_file {
	char *name;
	struct yaml_value *root;
};

struct reader {
	yaml_parser_t parser;
	struct yaml_file *file;
	struct err *err;
};

static struct yaml_value *read_node(struct reader *r, const yaml_event_t *event, unsigned depth);

static void free_value(struct yaml_value *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->count; i++)
		free_value(v->items[i]);
	free(v->items);
	free(v->text);
	free(v);
}

static int fail_at(struct reader *r, const yaml_mark_t *mark, const char *text)
{
	return err_set(r->err, ERR_CONFIG, "%s:%zu: %s", r->file->name, mark->line + 1, text);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->parser, event))
		return 0;
	const yaml_parser_t *p = &r->parser;
	const yaml_mark_t *mark = p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark;
	return fail_at(r, mark, p->problem ? p->problem : "out of memory");
}

static int add_item(struct reader *r, struct yaml_value *v, struct yaml_value *item, const yaml_mark_t *mark)
{
	size_t max = v->kind == YAML_MAP ? 2 * YAML_ENTRIES_MAX : YAML_ENTRIES_MAX;
	if (v->count == max) {
		free_value(item);
		return fail_at(r, mark, "more than 4096 entries in one list or map");
	}
	if (v->count == v->size) {
		size_t size = v->size ? v->size * 2 : 8;
		struct yaml_value **items = realloc(v->items, size * sizeof(struct yaml_value *));
		if (!items) {
			free_value(item);
			return fail_at(r, mark, "out of memory");
		}
		v->items = items;
		v->size = size;
	}
	v->items[v->count++] = item;
	return 0;
}

/* The last item of the map was just read and is a key: it must be a scalar and new. */
static int check_key(struct reader *r, const struct yaml_value *map)
{
	const struct yaml_value *key = map->items[map->count - 1];
	if (key->kind != YAML_SCALAR)
		return yaml_error(key, r->err, "a key must be a plain word");
	for (size_t i = 0; i + 1 < map->count; i += 2)
		if (!strcmp(map->items[i]->text, key->text))
			return yaml_error(key, r->err, "%s: given twice, first in line %u", key->text,
					  map->items[i]->line);
	return 0;
}

/* Reads items up to the event that ends the list or map. */
static int read_items(struct reader *r, struct yaml_value *v, unsigned depth)
{
	yaml_event_type_t end = v->kind == YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	for (;;) {
		yaml_event_t event;
		if (next_event(r, &event) < 0)
			return -1;
		yaml_event_type_t type = event.type;
		yaml_mark_t mark = event.start_mark;
		struct yaml_value *item = type == end ? NULL : read_node(r, &event, depth + 1);
		yaml_event_delete(&event);
		if (type == end)
			return 0;
		if (!item || add_item(r, v, item, &mark) < 0)
			return -1;
		if (v->kind == YAML_MAP && v->count % 2 == 1 && check_key(r, v) < 0)
			return -1;
	}
}

static int read_scalar(struct reader *r, const yaml_event_t *event, struct yaml_value *v)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	if (memchr(text, 0, len))
		return fail_at(r, &event->start_mark, "a NUL character in a text");
	v->text = strndup(text, len);
	return v->text ? 0 : fail_at(r, &event->start_mark, "out of memory");
}

/* What the event of a node carries beyond its content: all of it is refused. */
static int check_extras(struct reader *r, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor || event->type == YAML_ALIAS_EVENT)
		return fail_at(r, &event->start_mark, "anchors (&) and aliases (*) are not supported: write it out");
	if (tag)
		return fail_at(r, &event->start_mark, "tags (!) are not supported");
	return 0;
}

static struct yaml_value *read_node(struct reader *r, const yaml_event_t *event, unsigned depth)
{
	if (check_extras(r, event) < 0)
		return NULL;
	if (depth > YAML_DEPTH_MAX) {
		fail_at(r, &event->start_mark, "nested deeper than 16");
		return NULL;
	}
	struct yaml_value *v = calloc(1, sizeof *v);
	if (!v) {
		fail_at(r, &event->start_mark, "out of memory");
		return NULL;
	}
	v->file = r->file;
	v->line = (unsigned)event->start_mark.line + 1;
	int rc;
	if (event->type == YAML_SCALAR_EVENT) {
		v->kind = YAML_SCALAR;
		rc = read_scalar(r, event, v);
	} else {
		v->kind = event->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST;
		rc = read_items(r, v, depth);
	}
	if (rc == 0)
		return v;
	free_value(v);
	return NULL;
}

/* stream start, then nothing or exactly one document, then stream end */
static int read_stream(struct reader *r)
{
	for (;;) {
		yaml_event_t event;
		int rc = 0;
		if (next_event(r, &event) < 0)
			return -1;
		yaml_event_type_t type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT) {
			if (r->file->root)
				rc = fail_at(r, &event.start_mark, "a second document: one file holds one");
		} else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
			   type != YAML_STREAM_END_EVENT) {
			r->file->root = read_node(r, &event, 1);
			rc = r->file->root ? 0 : -1;
		}
		yaml_event_delete(&event);
		if (rc < 0 || type == YAML_STREAM_END_EVENT)
			return rc;
	}
}

struct yaml_file *yaml_parse(const char *name, const char *text, size_t len, struct err *err)
{
	if (len > YAML_SIZE_MAX) {
		err_set(err, ERR_CONFIG, "%s:1: larger than 1 MiB", name);
		return NULL;
	}
	struct yaml_file *file = calloc(1, sizeof *file);
	struct reader r = { .file = file, .err = err };
	if (!file || !(file->name = strdup(name)) || !yaml_parser_initialize(&r.parser)) {
		yaml_close(file);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	int rc = read_stream(&r);
	yaml_parser_delete(&r.parser);
	if (rc == 0)
		return file;
	yaml_close(file);
	return NULL;
}

/* Reads up to `size` bytes; returns how many, or -1. */
static ssize_t read_all(const char *path, char *out, size_t size, struct err *err)
{
	/* O_NONBLOCK: a pipe in the file's place must not hang the daemon */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	size_t len = 0;
	while (len < size) {
		ssize_t n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(err, ERR_CONFIG, "%s", path);
			close(fd);
			return -1;
		}
		if (!n)
			break;
		len += (size_t)n;
	}
	close(fd);
	return (ssize_t)len;
}

struct yaml_file *yaml_load(const char *path, struct err *err)
{
	char *text = malloc(YAML_SIZE_MAX + 1);
	if (!text) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	ssize_t len = read_all(path, text, YAML_SIZE_MAX + 1, err);
	struct yaml_file *file = len < 0 ? NULL : yaml_parse(path, text, (size_t)len, err);
	free(text);
	return file;
}

void yaml_close(struct yaml_file *f)
{
	if (!f)
		return;
	free_value(f->root);
	free(f->name);
	free(f);
}

const struct yaml_value *yaml_root(const struct yaml_file *f)
{
	return f->root;
}

enum yaml_kind yaml_kind(const struct yaml_value *v)
{
	return v->kind;
}

unsigned yaml_line(const struct yaml_value *v)
{
	return v->line;
}

const char *yaml_text(const struct yaml_value *v)
{
	return v->text;
}

size_t yaml_count(const struct yaml_value *v)
{
	return v->kind == YAML_MAP ? v->count / 2 : v->count;
}

const struct yaml_value *yaml_item(const struct yaml_value *list, size_t i)
{
	return list->items[i];
}

const struct yaml_value *yaml_key(const struct yaml_value *map, size_t i)
{
	return map->items[2 * i];
}

const struct yaml_value *yaml_member(const struct yaml_value *map, size_t i)
{
	return map->items[2 * i + 1];
}

const struct yaml_value *yaml_get(const struct yaml_value *map, const char *key)
{
	for (size_t i = 0; map && map->kind == YAML_MAP && i < yaml_count(map); i++)
		if (!strcmp(yaml_key(map, i)->text, key))
			return yaml_member(map, i);
	return NULL;
}

int yaml_error(const struct yaml_value *at, struct err *err, const char *fmt, ...)
{
	char text[sizeof err->text];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return err_set(err, ERR_CONFIG, "%s:%u: %s", at->file->name, at->line, n < 0 ? "" : text);
}

int yaml_check_keys(const struct yaml_value *map, const char *const *keys, struct err *err)
{
	if (map->kind != YAML_MAP)
		return yaml_error(map, err, "expected `key: value` lines here");
	for (size_t i = 0; i < yaml_count(map); i++) {
		const struct yaml_value *key = yaml_key(map, i);
		const char *const *k = keys;
		while (*k && strcmp(*k, key->text) != 0)
			k++;
		if (*k)
			continue;
		const char *near = text_nearest(key->text, keys);
		if (near)
			return yaml_error(key, err, "%s: unknown key; did you mean %s?", key->text, near);
		return yaml_error(key, err, "%s: unknown key", key->text);
	}
	return 0;
}
