/* SPDX-License-Identifier: MIT
 *
 * The rows of one query: which of them the instance may have, and their bytes (ppce/store.h). Filled by a worker's thread,
 * then read by the loop; pure. What a row may be is judged once for each distinct pair of label and owner, a group.
 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "lib/buf.h"
#include "policy/flow.h"
#include "policy/queries.h"
#include "store/decode.h"
#include "store/permit.h"

struct rows_rules {
	const struct policy *policy;
	const struct query *query;
	struct query_values values; /* without .column: of the ticket and the call */
	enum flow_mode mode;
	struct label instance, ceiling;
	struct label label;	     /* of all rows, unless the query's template is per row */
	const struct permit *permit; /* what may be read besides; NULL: nothing */
	size_t bytes;		     /* of the answer: the query's limit, or the guest's room */
};

struct row_group {
	char *key;
	struct label label;
	char owner[PPCE_USER_SIZE]; /* "" unless the query has `use` */
	bool denied;		    /* set by the loop: the automaton says no */
};

struct rows {
	struct rows_rules rules;
	uint32_t columns;
	char *names; /* of the columns, one after another, NUL-terminated */
	struct buf head, body;
	struct row_entry {
		size_t end; /* in body */
		uint32_t group;
	} * row;
	size_t nrows, rows_size;
	struct row_group *group;
	size_t ngroups, groups_size;
	uint32_t *table; /* hash table of the groups by their keys: index + 1 */
	size_t table_size;
	size_t hidden;		/* rows that the instance may not have */
	size_t unlabelled;	/* rows among them whose label could not be told */
	bool too_large, failed; /* failed: out of memory */
	const struct call_value *current;
};

void rows_init(struct rows *r, const struct rows_rules *rules); /* *rules is copied; what it points to must live on */
void rows_free(struct rows *r);
/* Both: 0, or -1 when no more rows need be fetched: .too_large or .failed says why. */
int rows_begin(struct rows *r, size_t columns, const char *const *names);
int rows_add(struct rows *r, const struct call_value *values);

/* After the groups have been judged: label and number of rows that go out. */
size_t rows_left(const struct rows *r, struct label *join);
/* The label of the answer: that of the rows that go out and, in an instance whose label can rise, of all that there could
 * be: which rows are there, and whether any, is knowledge that comes from all of them. Not so for rows that only a
 * certificate permits: which owners have any, whoever may run a certified image learns. */
void rows_label(const struct rows *r, struct label *out);
/* The answer's bytes; -1 when more rows or bytes are left than allowed (.too_large) or memory is short. */
int rows_encode(const struct rows *r, struct buf *out);

/* An answer of a write. */
int rows_encode_count(uint32_t changed, struct buf *out);

#endif
