/* SPDX-License-Identifier: MIT
 *
 * Images: a name, a file, a default label, and the snapshot that instances are cloned from. Adding one boots it; after a
 * restart of the daemon the snapshots are made again, in the background or when one is first needed. An image that does
 * not boot then is kept with the reason; only what uses it fails.
 *
 * An image of another kind is a unikernel made elsewhere (vmmd/foreign.h): nothing of it is run here, and its "snapshot" is
 * a sealed copy of the file, which each instance boots.
 */
#ifndef VMMD_IMAGES_H
#define VMMD_IMAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/limits.h>
#include "lib/err.h"
#include "vmmd/solo5.h"

#define IMAGES_MAX 256
#define IMAGES_ADDS_MAX 4     /* images being added at a time */
#define IMAGE_WAITERS_MAX 256 /* questions parked until an image is booted */

struct vmmd;
struct boot;
struct store_job;

enum image_kind { IMAGE_PPCE, IMAGE_SOLO5_HVT };
enum image_state { IMAGE_COLD, IMAGE_LOADING, IMAGE_BOOTING, IMAGE_READY, IMAGE_FAILED };

struct image_record { /* what the database keeps */
	char name[PPCE_NAME_SIZE];
	char digest[PPCE_DIGEST_SIZE];
	char label[PPCE_LABEL_SIZE]; /* canonical; empty: none, instances start at the bottom */
	int64_t added;		     /* Unix time */
	uint64_t bytes;
	char manifest_name[PPCE_NAME_SIZE];
	uint32_t memory_mib, request_kib, response_kib;
	char queries[PPCE_QUERIES_SIZE]; /* that its apps may run, joined by commas; empty: they need no store */
	uint32_t kind;			 /* enum image_kind */
	char device[SOLO5_DEVICE_SIZE];	 /* IMAGE_SOLO5_HVT: its network device; else empty */
	uint32_t network;		 /* 1: it can use one */
};

typedef void image_waiter_fn(struct vmmd *v, void *ctx, const struct err *err); /* err NULL: the image is ready */
struct image_waiter {
	STAILQ_ENTRY(image_waiter) link;
	image_waiter_fn *fn;
	void *ctx;
};

struct image {
	TAILQ_ENTRY(image) link;
	struct image_record r;
	enum image_state state;
	int snapshot; /* sealed; -1 unless IMAGE_READY */
	int file;     /* what was booted, read-only; -1 unless IMAGE_READY */
	uint32_t boot_us;
	uint64_t booted_ns; /* CLOCK_MONOTONIC of the last boot, or of the last try to repeat it */
	char reason[480];   /* IMAGE_FAILED */
	uint64_t retry_ns;  /* IMAGE_FAILED: not tried again before */
	struct boot *boot;  /* IMAGE_BOOTING */
	struct store_job *loading;
	STAILQ_HEAD(, image_waiter) waiters;
	unsigned nwaiters;
};

struct image_add;
struct images {
	TAILQ_HEAD(, image) list; /* by name */
	unsigned count;
	LIST_HEAD(, image_add) adds;
	unsigned nadds;
	uv_timer_t refresh;
};

/* Lists what the database holds; images_boot_all() then makes the snapshots, one after the other. */
int images_load(struct vmmd *v, struct err *err);
void images_boot_all(struct vmmd *v);
/* Boots every image anew each vmmd.reboot_s, which draws stack canaries and whatever else its start draws again. The old
 * snapshot serves until the new one is there, and stays when the boot fails. */
void images_refresh_start(struct vmmd *v);
void images_end(struct vmmd *v);

struct image *image_find(struct vmmd *v, const char *name);
const char *image_state_name(enum image_state state);
const char *image_kind_name(uint32_t kind);
uint64_t image_snapshot_kib(const struct image *image); /* in memory once for all instances; 0: there is none */

enum image_outcome { IMAGE_SAME, IMAGE_ADDED, IMAGE_REPLACED };
/* Exactly one of image and err is non-NULL. */
typedef void image_added_fn(void *ctx, struct image *image, enum image_outcome outcome, const struct err *err);
struct image_wish { /* checked by the caller */
	char name[PPCE_NAME_SIZE];
	char path[4096];
	char label[PPCE_LABEL_SIZE]; /* canonical, or empty */
	uint32_t kind;
	uint32_t memory_mib; /* of a guest of a foreign image; a PPCE image says that itself */
};
/* -1: `done` will not be called. */
int image_add(struct vmmd *v, const struct image_wish *wish, image_added_fn *done, void *ctx, struct err *err);
int image_remove(struct vmmd *v, struct image *image, struct err *err); /* ERR_CONFLICT while apps use it */
/* Calls `fn` when the snapshot is there or cannot be had: at once when that is known, else later. -1: too many wait. */
int image_wait(struct vmmd *v, struct image *image, image_waiter_fn *fn, void *ctx, struct err *err);

#endif
