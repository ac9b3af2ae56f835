/* SPDX-License-Identifier: MIT
 *
 * The VM manager: the daemon's whole state in one structure, which every module takes as its first argument. One
 * thread, one loop; only store.c and memory.c hand work to other threads, and that work touches nothing of this.
 *
 *   main.c      start, signals, orderly end          images.c     images and their snapshots
 *   probe.c     which backend works here             apps.c       apps and their settings
 *   tenders.c   processes: spawn, control, end       instances.c  life and end of instances
 *   shells.c    tenders made ahead                   route.c      the socket to the proxy
 *   boot.c      one boot of an image                 starts.c     how they start
 *   store.c     image files                          app_settings.c            apps' settings and JSON
 *   state.c     SQLite: what survives a restart      rest_api.c, rest_*.c      the REST interface
 *   foreign.c, foreign_image.c, solo5.c, output.c   unikernels made elsewhere
 *   attach.c    the store, and the taint table       applog.c     what guests log
 *   network.c   ppce-net and its taps                events.c, metrics.c       what operators see
 *   sinks.c     which sinks an instance may have     pools.c      instances made ahead
 *   memory.c    what processes hold
 */
#ifndef VMMD_VMMD_H
#define VMMD_VMMD_H

#include <sys/queue.h>
#include <uv.h>

#include "lib/audit.h"
#include "lib/config.h"
#include "policy/policy.h"
#include "vmmd/apps.h"
#include "vmmd/attach.h"
#include "vmmd/events.h"
#include "vmmd/images.h"
#include "vmmd/instances.h"
#include "vmmd/metrics.h"
#include "vmmd/network.h"
#include "vmmd/pools.h"
#include "vmmd/route.h"
#include "vmmd/shells.h"
#include "vmmd/tenders.h"

struct http_client;
struct state;

struct vmmd {
	uv_loop_t loop;
	struct config config;
	struct policy *policy;
	char bottom[PPCE_LABEL_SIZE]; /* canonical text of the lowest label */
	struct state *state;
	struct tenders tenders;
	struct shells shells;
	struct images images;
	struct apps apps;
	struct instances instances;
	struct pools pools;
	struct route route;
	struct attach attach;
	struct network network;
	struct events events;
	struct audit *audit; /* for what instances may send to */
	struct metrics metrics;
	struct http_client *net_rest; /* to ppce-net's listing; NULL until somebody asks */
	bool ending;		      /* everything is being taken down: start nothing */
};

#endif
