/* SPDX-License-Identifier: MIT
 *
 * The REST interface on DIR/run/vmmd.sock: the route table and the handlers. Bodies are decoded and checked here, once;
 * the modules behind get values that are in range.
 */
#ifndef VMMD_REST_API_H
#define VMMD_REST_API_H

#include "lib/rest.h"
#include "vmmd/memory.h"
#include "vmmd/vmmd.h"

struct rest_api; /* the running server */
struct rest_api *rest_api_start(struct vmmd *v, struct err *err);
void rest_api_stop(struct rest_api *api); /* stops accepting; running exchanges may still be answered */
void rest_api_free(struct rest_api *api); /* after the loop has closed everything */

/* Handlers, by file: rest_apps.c */
void rest_app_add(struct rest_call *call);
void rest_app_list(struct rest_call *call);
void rest_app_get(struct rest_call *call);
void rest_app_remove(struct rest_call *call);
void rest_log_tail(struct rest_call *call);
/* rest_images.c */
void rest_image_add(struct rest_call *call);
void rest_image_list(struct rest_call *call);
void rest_image_get(struct rest_call *call);
void rest_image_remove(struct rest_call *call);
/* rest_instances.c */
void rest_instance_start(struct rest_call *call);
void rest_instance_list(struct rest_call *call);
void rest_instance_get(struct rest_call *call);
void rest_instance_stop(struct rest_call *call);
/* rest_pools.c */
void rest_pools_get(struct rest_call *call);
void rest_pools_put(struct rest_call *call);

/* For answers that come later: when the daemon has begun to end, tenders and all that is listed are gone, and the call is
 * refused. */
bool rest_refuse_ending(struct rest_call *call);
/* Sets private_kib and shared_kib of a process; null where they are not known. */
void rest_add_memory(json_t *j, const struct memory_survey *s, pid_t pid);
/* Label text of a body's member `key` in canonical form; empty when absent. */
int rest_label(struct vmmd *v, const json_t *body, const char *key, char out[PPCE_LABEL_SIZE], struct err *err);
/* An unsigned decimal of the query string; `fallback` when absent. */
int rest_query_number(const struct rest_call *call, const char *key, uint64_t max, uint64_t fallback, uint64_t *out,
		      struct err *err);

#endif
