/* SPDX-License-Identifier: MIT
 *
 * One record of the audit log: a flat JSON object of known members, in the canonical form of RFC 8785 (members sorted, no
 * white space, shortest escapes), so that equal records are equal bytes and a checker needs no parser of ours.
 * docs/audit.md lists the members. Empty strings and zero numbers are left out, except "seq".
 */
#ifndef LIB_AUDIT_RECORD_H
#define LIB_AUDIT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <ppce/audit.h>
#include "lib/buf.h"
#include "lib/err.h"

#define AUDIT_TIME_SIZE 32				  /* "2025-01-31T09:00:00.123456Z" and NUL */
#define AUDIT_LINE_MAX (AUDIT_RECORD_MAX + 128u)	  /* a record with seq and time, without its line end */
#define AUDIT_NUMBER_MAX ((json_int_t)9007199254740991LL) /* 2^53 - 1: exact for every reader of JSON */

/* What a sender gave, untrusted, becomes a line without its end, appended to `out`. ERR_INVALID: not one flat object of
 * known members without seq and time, "daemon", "event" or "allowed" missing. Nothing is appended then. */
int audit_record_make(const char *json, size_t len, uint64_t seq, const char *time, struct buf *out, struct err *err);
/* A stored line without its end, untrusted. New reference, or NULL with ERR_INVALID: not canonical, incomplete, or not
 * the record of this seq. */
json_t *audit_record_read(const char *line, size_t len, uint64_t seq, struct err *err);
/* Writes the text as a JSON string of at most `max` bytes, quotes included. Bytes that are no UTF-8 become U+FFFD. What
 * does not fit is cut between characters and ends with U+2026; max >= 8. */
void audit_put_string(struct buf *b, const char *text, size_t max);
void audit_time(char out[AUDIT_TIME_SIZE]); /* now, UTC */

#endif
