/* SPDX-License-Identifier: MIT
 *
 * The data files: records are only ever appended, a new file starts where the last one has its size.
 */
#ifndef AUDIT_DATA_H
#define AUDIT_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct data {
	const char *dir; /* DIR/log/audit */
	uint64_t rotate; /* bytes */
	bool power;	 /* an append is on the disk when it returns */
	int fd;		 /* of the last file, -1: none yet */
	uint64_t size;	 /* of the last file: whole records only */
	bool dirty;	 /* since data_sync() */
};

/* Goes on behind `size` bytes of the file `name`; what stands behind them is cut off. */
int data_continue(struct data *d, const char *name, uint64_t size, struct err *err);
/* 0, or -1 and the file is as before. -2: it is not, and nothing may be written any more. */
int data_append(struct data *d, uint64_t first, const void *bytes, size_t len, struct err *err);
int data_sync(struct data *d, struct err *err); /* all that was appended is on the disk */
void data_close(struct data *d);

#endif
