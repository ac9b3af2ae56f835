/* SPDX-License-Identifier: MIT
 *
 * The last 256 things that happened, for `GET /v1/events`. In memory only; the same lines go to the log.
 */
#ifndef VMMD_EVENTS_H
#define VMMD_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include <ppce/limits.h>

#define EVENTS_KEPT 256

struct event {
	uint64_t seq;		   /* 1, 2, ... */
	int64_t time;		   /* Unix time */
	const char *type;	   /* static: "image-added", "instance-started", ... */
	char name[PPCE_NAME_SIZE]; /* image or app */
	char uuid[PPCE_UUID_SIZE]; /* instance, or empty */
	char text[PPCE_REASON_SIZE];
};

struct events {
	uint64_t last; /* sequence number of the newest, 0: none yet */
	struct event ring[EVENTS_KEPT];
};

void event_add(struct events *e, const char *type, const char *name, const char *uuid, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
json_t *events_json(const struct events *e, uint64_t after); /* oldest first, those with seq > after */

#endif
