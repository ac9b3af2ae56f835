/* SPDX-License-Identifier: MIT
 *
 * What tender processes hold in memory, from /proc/PID/status, which is readable although tenders are not dumpable and
 * may run as another user. Reading it for thousands of processes takes a while, so that a worker thread does it, for
 * listings only. A guest of the process backend is a child of its tender, and counted with it.
 *
 *   private  RssAnon: pages of its own, a guest's written pages among them. Pages that a tender and its guest share
 *            since the fork are counted in both
 *   shared   RssFile + RssShmem: the pages of the snapshot that it has touched but not written, and program files.
 *            Others that use the same share them. An instance's window for requests and answers is in there too, in
 *            the process backend for tender and guest
 *
 * Not in there: what the kernel holds for a process (page tables, sockets), and for a virtual machine. The counters of
 * recent kernels may lag behind by some pages for each processor.
 */
#ifndef VMMD_MEMORY_H
#define VMMD_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct vmmd;
struct memory_survey;

struct memory_use {
	uint64_t private_kib, shared_kib;
};

/* The survey is freed after the call. */
typedef void memory_done_fn(void *ctx, const struct memory_survey *s);
/* Looks at all children of ours. -1: `done` will not be called. */
int memory_survey(struct vmmd *v, memory_done_fn *done, void *ctx, struct err *err);
/* False if the process was not there, or is no child of ours. */
bool memory_of(const struct memory_survey *s, pid_t pid, struct memory_use *out);

#endif
