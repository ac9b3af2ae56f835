/* SPDX-License-Identifier: MIT
 *
 * The labels of instances that can read the store, as this proxy sees them: a read-only mapping of the taint table
 * (ppce/taint.h), which vmmd and the store write. Whatever cannot be read for certain is an error, and an answer whose
 * instance's label is not known does not leave.
 */
#ifndef PROXY_TAINT_H
#define PROXY_TAINT_H

#include <stdbool.h>

#include <ppce/taint.h>
#include "policy/label.h"

struct taint {
	const struct taint_table *table; /* NULL: vmmd has not sent one yet */
};

/* Maps the table behind `fd`, which is closed, in place of the one before. */
int taint_adopt(struct taint *t, int fd, struct err *err);
void taint_free(struct taint *t);

struct taint_question {
	uint32_t slot;
	const char *uuid;	   /* of the instance */
	uint64_t seq;		   /* of its newest ticket; 0: none was made */
	bool pristine;		   /* it was reset before that request: earlier reads are not in it */
	const struct label *start; /* its label before it read anything */
};
/* The instance's label now. */
int taint_label(const struct taint *t, const struct policy *p, const struct taint_question *q, struct label *out,
		struct err *err);

#endif
