/* SPDX-License-Identifier: MIT
 *
 * Checks of the names in include/ppce/limits.h, and identifiers. */
#ifndef LIB_NAMES_H
#define LIB_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/limits.h>
#include "lib/err.h"

bool name_valid(
	const char *name); /* apps and images: [a-z][a-z0-9-]{0,31}; not a reserved one: login logout v1 livez readyz
				     * metrics openapi-json */
bool user_valid(const char *name);  /* [A-Za-z0-9][A-Za-z0-9._@-]{0,63} */
bool class_valid(const char *name); /* [A-Za-z][A-Za-z0-9_-]{0,31} */
/* Queries of an image: names [a-z][a-z0-9_-]{0,31} joined by commas, at most PPCE_QUERIES_SIZE - 1 bytes; empty: none */
bool queries_valid(const char *list);
void uuid_new(char out[PPCE_UUID_SIZE]); /* version 4, from getrandom(2) */
bool uuid_valid(const char *text);
void random_bytes(void *out, size_t len); /* getrandom(2); never fails once the machine is up */
uint64_t clock_ns(void);		  /* CLOCK_MONOTONIC */
int64_t clock_unix(void);		  /* CLOCK_REALTIME in seconds */
/* SHA-256 of a file as lower-case hex, read through `fd` from offset 0 (its position does not move). */
int digest_file(int fd, char out[PPCE_DIGEST_SIZE], struct err *err);

#endif
