/* SPDX-License-Identifier: MIT
 *
 * What survives a restart: images, apps and the pools of instances made ahead, in SQLite at DIR/state/vmmd.db. Blocking, and called only for what an
 * operator changes, never on the way of a request.
 */
#ifndef VMMD_STATE_H
#define VMMD_STATE_H

#include "lib/err.h"
#include "vmmd/apps.h"
#include "vmmd/images.h"
#include "vmmd/pools.h"

struct state;

struct state *state_open(const char *path, struct err *err); /* made when missing; NULL when it is not usable */
void state_close(struct state *s);
typedef int state_image_fn(void *ctx, const struct image_record *r, struct err *err);
typedef int state_app_fn(void *ctx, const struct app_record *r, struct err *err);
typedef int state_pool_fn(void *ctx, const struct pool_record *r, struct err *err);
int state_images(struct state *s, state_image_fn *fn, void *ctx, struct err *err); /* by name */
int state_apps(struct state *s, state_app_fn *fn, void *ctx, struct err *err);
int state_pools(struct state *s, state_pool_fn *fn, void *ctx, struct err *err);     /* the oldest first */
int state_put_image(struct state *s, const struct image_record *r, struct err *err); /* adds or replaces */
int state_put_app(struct state *s, const struct app_record *r, struct err *err);
int state_delete_image(struct state *s, const char *name, struct err *err);
int state_delete_app(struct state *s, const char *name, struct err *err); /* its pools go with it */
int state_put_pool(struct state *s, const struct pool_record *r, struct err *err);
int state_delete_pool(struct state *s, const struct pool_record *r, struct err *err);

#endif
