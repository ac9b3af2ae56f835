/* SPDX-License-Identifier: MIT
 *
 * Searching the log: which records, decoded from a URL's query, and the search itself, which reads files only.
 */
#ifndef AUDIT_QUERY_H
#define AUDIT_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/err.h"

#define QUERY_LIMIT_MAX 1000u
#define QUERY_SCAN_MAX 100000u /* records looked at for one answer; "next" tells where to go on */

struct query {
	uint64_t from, to; /* both included */
	unsigned limit;
	bool last; /* of those that match the last ones, not the first */
	char event[40], actor[80], app[40], request_id[40], owner[80];
};

/* `text` as it stands in a URL after '?', untrusted. `size`: records in the log. */
int query_parse(const char *text, uint64_t size, struct query *out, struct err *err);
/* {"records": [...], "next"?: seq}; new reference, NULL with err. */
json_t *query_run(const char *dir, const struct query *q, struct err *err);

#endif
