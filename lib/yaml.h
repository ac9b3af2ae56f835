/* SPDX-License-Identifier: MIT
 *
 * Reading YAML with errors that name file and line: a small tree made from libyaml's events. One document a file.
 * Anchors, aliases and tags are refused, depth is capped at 16, size at 1 MiB, entries of one list or map at 4096;
 * keys are scalars, and a key given twice is an error. An empty value ("key:") is an empty scalar.
 */
#ifndef LIB_YAML_H
#define LIB_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

struct yaml_file;  /* a parsed file; owns its nodes */
struct yaml_value; /* a node in it */

struct yaml_file *yaml_parse(const char *name, const char *text, size_t len, struct err *err); /* ERR_CONFIG */
struct yaml_file *yaml_load(const char *path, struct err *err);
void yaml_close(struct yaml_file *f); /* frees all of it; not called yaml_free, which libyaml exports and uses */
const struct yaml_value *yaml_root(const struct yaml_file *f); /* NULL for an empty file */

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };
enum yaml_kind yaml_kind(const struct yaml_value *v);
unsigned yaml_line(const struct yaml_value *v);
const char *yaml_text(const struct yaml_value *v); /* a scalar's text, NUL-terminated */
size_t yaml_count(const struct yaml_value *v);	   /* entries of a list or map */
const struct yaml_value *yaml_item(const struct yaml_value *list, size_t i);
const struct yaml_value *yaml_key(const struct yaml_value *map, size_t i);
const struct yaml_value *yaml_member(const struct yaml_value *map, size_t i);
const struct yaml_value *yaml_get(const struct yaml_value *map, const char *key); /* NULL if absent */

/* "file:line: text" with kind ERR_CONFIG; returns -1. */
int yaml_error(const struct yaml_value *at, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Refuses keys of `map` that are not among `keys` (NULL-terminated), naming the nearest. */
int yaml_check_keys(const struct yaml_value *map, const char *const *keys, struct err *err);

#endif
