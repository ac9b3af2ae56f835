/* SPDX-License-Identifier: MIT
 *
 * Apps: how an image is run. Kept in the database; changed only by deleting and adding again.
 */
#ifndef VMMD_APPS_H
#define VMMD_APPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>
#include <ppce/net.h>
#include <ppce/routing.h>
#include "lib/err.h"
#include "vmmd/applog.h"
#include "vmmd/foreign.h"

#define APPS_MAX 256
#define APP_INSTANCES_MAX 4096

struct vmmd;
struct image;
struct instance;

struct app_record { /* what the database keeps */
	char name[PPCE_NAME_SIZE];
	char image[PPCE_NAME_SIZE];
	uint32_t lifetime; /* enum app_lifetime */
	uint32_t discard;  /* 0, 1 */
	uint32_t max_instances;
	uint32_t idle_s, max_age_s, max_requests; /* 0: unlimited */
	uint32_t deadline_ms;			  /* 0: proxy.request_ms of the configuration */
	uint32_t transport;			  /* enum app_transport */
	uint32_t port;				  /* transport tap: where it serves; else 0 */
	uint32_t boot;		      /* 1: every instance boots the image anew; 0: it is restored from the snapshot */
	uint32_t no_shells;	      /* 1: never in a shell made ahead */
	uint32_t no_taps;	      /* 1: never with a tap made ahead */
	char sinks[NET_SINKS_SIZE];   /* "a,b" of the configuration; transport tap */
	char args[FOREIGN_ARGS_SIZE]; /* of a foreign unikernel; else empty */
};

struct app {
	TAILQ_ENTRY(app) link;
	struct app_record r;
	struct image *image;
	LIST_HEAD(, instance) instances;
	unsigned ninstances; /* all of them */
	unsigned nliving;    /* those that are not ending: what max_instances bounds */
	bool removed;	     /* out of the list; freed with its last instance */
	struct applog log;
};

struct apps {
	TAILQ_HEAD(, app) list; /* by name */
	unsigned count;
};

int apps_load(struct vmmd *v, struct err *err); /* after images_load() */
void apps_end(struct vmmd *v);
struct app *app_find(struct vmmd *v, const char *name);
bool app_uses(struct vmmd *v, const struct image *image, const char **name);
/* The record comes from app_settings_decode(). *same: an equal app was there already, which is no error. */
int app_add(struct vmmd *v, const struct app_record *r, struct app **out, bool *same, struct err *err);
int app_remove(struct vmmd *v, struct app *app, struct err *err); /* stops its instances */
void app_release(struct app *app);				  /* an instance of it was freed */
/* Fills the app fields of a routing message. */
void app_describe(struct vmmd *v, const struct app *app, struct routing_message *m);
const char *app_lifetime_name(uint32_t lifetime);
const char *app_transport_name(uint32_t transport);
const char *app_start_name(uint32_t boot);

/* app_settings.c: a record from the body of POST /v1/apps, every value in range and the combination one that makes sense,
 * and back. */
int app_settings_decode(struct vmmd *v, const json_t *body, struct app_record *out, struct err *err);
json_t *app_settings_json(const struct app_record *r);

#endif
