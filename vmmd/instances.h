/* SPDX-License-Identifier: MIT
 *
 * Instances: a tender bound to (app, label, owner). starts.c starts them, instances.c has their life and end. The path
 * from a question to the answer is kept short: one allocation, one socketpair, two messages; no database, no file. An
 * instance with a tap waits for ppce-net's answer in between, while its tender is made.
 */
#ifndef VMMD_INSTANCES_H
#define VMMD_INSTANCES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/limits.h>
#include "lib/err.h"
#include "vmmd/route.h"

#define INSTANCE_BUCKETS 1024

struct vmmd;
struct app;
struct tender;
struct instance;
struct pool;
struct instance_net;
struct foreign;

enum instance_state {
	INSTANCE_WAITING, /* for its tap: the tender has no order, the proxy has not heard of it */
	INSTANCE_BINDING,
	INSTANCE_RUNNING,
	INSTANCE_ENDING,
};

/* Told once: when the instance is ready for its first request, or has failed before that (err). */
typedef void instance_started_fn(void *ctx, struct instance *i, const struct err *err);
typedef void instance_gone_fn(void *ctx);

struct instance_wish {
	const char *label, *owner;    /* of instance_check() */
	uint64_t id;		      /* of the proxy's question, 0: nobody asked */
	struct pool *pool;	      /* that it is made ahead for, or NULL: idleness does not end it */
	instance_started_fn *started; /* never called from within instance_start(); may be NULL */
	void *started_ctx;
};

struct instance {
	LIST_ENTRY(instance) bucket; /* by UUID */
	LIST_ENTRY(instance) app_link;
	struct app *app;
	struct tender *tender;
	struct pool *pool;	  /* of its wish, for as long as it is wanted there */
	struct instance_net *net; /* vmmd/network.h; NULL without a tap */
	struct foreign *foreign;  /* vmmd/foreign.h; one of a foreign unikernel that starts, else NULL */
	enum instance_state state;
	bool from_shell;
	bool external;			       /* a unikernel made elsewhere: it has no channel and no statistics */
	bool announced;			       /* to the proxy, or held for one */
	struct route_question asked;	       /* answered when it is announced or has failed */
	uint32_t slot;			       /* of the taint table; TAINT_NONE: the instance has no store */
	int held;			       /* the proxy's end of the channel while no proxy is connected, else -1 */
	uint64_t started_ns;		       /* CLOCK_MONOTONIC */
	uint32_t spawn_us, create_us, bind_us; /* 0 where made ahead or not known yet */
	uint64_t log_window_ns;		       /* rate limit of its log lines */
	unsigned log_lines, log_dropped;
	instance_started_fn *started;
	void *started_ctx;
	instance_gone_fn *gone;
	void *gone_ctx;
	char uuid[PPCE_UUID_SIZE];
	char digest[PPCE_DIGEST_SIZE];
	char label[PPCE_LABEL_SIZE];
	char owner[PPCE_USER_SIZE];
};

struct instances {
	LIST_HEAD(, instance) buckets[INSTANCE_BUCKETS];
	unsigned count; /* including those that are ending */
	uv_timer_t sweep;
};

void instances_init(struct vmmd *v);
/* Kills and reaps all tenders, then frees the instances. */
void instances_end(struct vmmd *v);
struct instance *instance_find(struct vmmd *v, const char *uuid);
/* Can there be instances of this (app, label, owner)? Checks the label's form and the owner. */
int instance_check_key(struct vmmd *v, const struct app *app, const char *label, const char *owner, struct err *err);
/* May one be started now? Checks the limits besides. */
int instance_check(struct vmmd *v, const struct app *app, const char *label, const char *owner, struct err *err);
/* Starts one whose instance_check() passed and whose image is ready. Without a tap the channel is on its way to the proxy
 * when this returns; with one, as soon as the tap is there. What fails later is told to .started and to the proxy. */
struct instance *instance_start(struct vmmd *v, struct app *app, const struct instance_wish *wish, struct err *err);
void instance_stop(struct instance *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *instance_state_name(enum instance_state state);
/* A new channel for an instance whose old one went with a proxy. Returns the proxy's end, or -1. */
int instance_rechannel(struct instance *i);

/* Between starts.c, foreign.c and instances.c. */
extern const struct tender_owner instance_owner;
void instance_insert(struct vmmd *v, struct instance *i);
/* The proxy's end is non-blocking and comes first. */
int instance_make_channel(int pair[2], struct err *err);
/* Tells the proxy. Takes over its end of the channel (-1: it has none). */
void instance_announce(struct vmmd *v, struct instance *i, int channel);
void instance_running(struct instance *i); /* tells whoever waits for it */
/* Tells whoever waits for it, and ends what there is of it. */
void instance_give_up(struct vmmd *v, struct instance *i, const struct err *err);
/* It was never announced: whoever waits for it is told. */
void instance_failed(struct vmmd *v, struct instance *i, const struct err *err);
/* Its process is gone, or there never was one: told to whoever waits for that, gives back what it has, frees it. */
void instance_forget(struct vmmd *v, struct instance *i);

#define INSTANCE_FOREACH(v, i)                                            \
	for (unsigned bucket_ = 0; bucket_ < INSTANCE_BUCKETS; bucket_++) \
		LIST_FOREACH (i, &(v)->instances.buckets[bucket_], bucket)

#endif
