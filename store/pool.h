/* SPDX-License-Identifier: MIT
 *
 * Worker threads with a connection each, so that one slow query stops nobody but those who wait behind it. */
#ifndef STORE_POOL_H
#define STORE_POOL_H

#include <uv.h>

#include "store/database.h"

#define POOL_READERS 4u
#define POOL_QUEUE_MAX 4096u /* jobs that wait; more are answered STORE_UNAVAILABLE */

struct pool;
struct pool *pool_new(uv_loop_t *loop, const struct database_config *config, struct err *err);
/* Always ends in job->done(), never from within. */
void pool_submit(struct pool *p, struct job *job);
bool pool_usable(const struct pool *p, struct err *why); /* did the newest job find a working database? */
unsigned pool_waiting(struct pool *p);
/* Jobs that wait get STORE_UNAVAILABLE, running ones are interrupted; frees itself when the threads have ended. */
void pool_stop(struct pool *p);

#endif
