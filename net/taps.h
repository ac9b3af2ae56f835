/* SPDX-License-Identifier: MIT
 *
 * The taps and what they are doing:
 *
 *   making ─▶ ready ─▶ taken ─▶ resting ─▶ ready           (a new queue, another address)
 *               │         ▲        ├──▶ bare ─▶ ready       (no address was to be had yet)
 *               └▶ lending┘        └──▶ doomed ─▶ removed   (too many, or its descriptor is still held)
 *
 * A port is open in the nftables sets exactly while its tap is ready, being lent, or taken.
 */
#ifndef NET_TAPS_H
#define NET_TAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <ppce/net.h>
#include "lib/err.h"

#define TAPS_MAX 1023 /* ports of one bridge */
#define TAPS_BUCKETS 256

struct net;
struct peer;

enum tap_state { TAP_MAKING, TAP_READY, TAP_LENDING, TAP_TAKEN, TAP_RESTING, TAP_BARE, TAP_DOOMED, TAP_STATES };

struct tap {
	TAILQ_ENTRY(tap) link;	   /* of its state's list */
	LIST_ENTRY(tap) uuid_link; /* lending, taken: of the holders' table */
	enum tap_state state;
	unsigned number, ifindex;
	char name[NET_IFNAME_SIZE];
	int fd;		  /* ours; -1 while taken or resting */
	uint32_t address; /* 0: none */
	bool lost;	  /* gone from the kernel while the worker had it */
	/* lending, taken */
	struct peer *peer; /* lending: NULL when it has gone meanwhile */
	bool named;	   /* lent to another user: its ownership is to be put back */
	uint64_t id;	   /* lending: of the question */
	uint32_t uid, gid; /* lending */
	bool from_pool;
	uint64_t asked_ns; /* when the question was read */
	uint32_t sinks;	   /* bit per sink of the configuration */
	char uuid[PPCE_UUID_SIZE];
	char label[PPCE_LABEL_SIZE];
	/* resting, doomed */
	uint64_t due_ns;
	unsigned tries;
};

struct question { /* waits for a tap */
	STAILQ_ENTRY(question) link;
	struct peer *peer;
	struct net_message m;
	uint32_t sinks;
	uint64_t asked_ns;
};

TAILQ_HEAD(tap_list, tap);
LIST_HEAD(tap_holders, tap);
struct taps {
	struct tap_list list[TAP_STATES];
	unsigned count[TAP_STATES], all;
	struct tap *by_number[TAPS_MAX];
	struct tap_holders holders[TAPS_BUCKETS]; /* by the instance's UUID */
	STAILQ_HEAD(, question) questions;
	unsigned waiting;
	uv_timer_t timer;  /* plan.c's */
	unsigned failures; /* of making taps, in a row */
	uint64_t retry_ns;
	char reason[PPCE_REASON_SIZE];
};

void taps_init(struct net *n);
void taps_end(struct net *n); /* closes descriptors, forgets everything; the kernel's side is link_clean()'s */
/* A tap with a free number and a name; its state is TAP_MAKING. NULL: all numbers are in use. */
struct tap *tap_new(struct net *n);
void tap_free(struct net *n, struct tap *t);
void tap_move(struct net *n, struct tap *t, enum tap_state state);
struct tap *tap_find(struct net *n, const char *uuid); /* being lent, or taken */
struct tap *tap_by_index(struct net *n, unsigned ifindex);

/* Has an address and a descriptor: opens its port and serves the question that waits longest, or becomes ready. `fresh`: it
 * was made just now, which some questions insist on. */
void tap_usable(struct net *n, struct tap *t, bool fresh);
/* For the worker's answer to a tap that is to be lent by its name. */
void tap_lent(struct net *n, struct tap *t, const struct err *err);
/* Takes the tap back from its holder: its port is closed when this returns. */
void tap_take_back(struct net *n, struct tap *t);
/* The tap is gone from the kernel, by somebody else's hand. */
void tap_lost(struct net *n, struct tap *t, const char *why);

/* Questions of a peer, already valid. They are answered now or later, by peer_answer(). */
void taps_ask(struct net *n, struct peer *p, const struct net_message *m);
void taps_give(struct net *n, struct peer *p, const struct net_message *m);
void taps_forget(struct net *n, struct peer *p);	      /* it is gone */
void taps_refuse_first(struct net *n, const struct err *err); /* the question that waits longest */
bool taps_working(struct net *n, struct err *why);

#endif
