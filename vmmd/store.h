/* SPDX-License-Identifier: MIT
 *
 * Image files: DIR/images/<sha256>.elf, written once and never changed. Copying and hashing run on the loop's worker
 * threads, because an image may be large and the loop starts instances meanwhile.
 */
#ifndef VMMD_STORE_H
#define VMMD_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <ppce/limits.h>
#include "lib/err.h"

#define STORE_IMAGE_BYTES_MAX (256u << 20)

struct vmmd;

struct store_job;
typedef void store_done(struct store_job *job);

struct store_job { /* embedded in, or pointed to by, whoever waits for it */
	uv_work_t work;
	void *ctx;
	store_done *done;
	char dir[300];	     /* DIR/images */
	char source[4096];   /* import: the file to copy */
	char temporary[340]; /* import: the copy, under a name of its own; empty when there is none */
	char digest[PPCE_DIGEST_SIZE];
	uint64_t bytes;
	int fd;	     /* read-only, on success; else -1. The receiver closes it */
	bool failed; /* .err says why; nothing is left behind */
	struct err err;
};

/* Starts copying `source` to a temporary file; `done` runs on the loop with .digest, .bytes, .fd and .temporary set. */
int store_import(struct vmmd *v, struct store_job *job, const char *source, store_done *done, struct err *err);
/* Opens the stored file of job->digest and checks its digest. */
int store_open(struct vmmd *v, struct store_job *job, const char *digest, store_done *done, struct err *err);
/* Gives the temporary file of a finished import its final name, durably. */
int store_commit(struct store_job *job, struct err *err);
void store_discard(struct store_job *job); /* removes the temporary file, closes .fd */
void store_remove(struct vmmd *v, const char *digest);
/* At start: removes unfinished copies and files that no image names. */
void store_sweep(struct vmmd *v);

#endif
