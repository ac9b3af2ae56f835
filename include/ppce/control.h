/* SPDX-License-Identifier: MIT
 *
 * Messages between vmmd and one tender: a SOCK_SEQPACKET socketpair, descriptor TENDER_CONTROL_FD in the tender; one
 * struct control_message per packet, descriptors by SCM_RIGHTS. vmmd trusts nothing that a tender sends beyond what
 * it says about that tender's own instance.
 *
 * Life of a tender:   [exec] -> SHELL_READY -> (BOOT -> BOOTED, exit) or (BIND -> BOUND -> requests -> end)
 * A tender ends itself when the control socket closes, and is killed with vmmd by PR_SET_PDEATHSIG in any case.
 *
 * vmmd -> tender
 *   CONTROL_BOOT     fds: [image, read-only], [empty memfd for the snapshot, read-write]. Boots the image to its first
 *                    wait, runs the synthetic warm-up, writes the snapshot (tender/snapshot.h)
 *   CONTROL_BIND     fds: [sealed snapshot], [channel], then [store] (ppce/store.h) if .has_store, then [tap] if .has_net
 *                    (a descriptor of NET_TAKEN, ppce/net.h). Clones the snapshot and serves the channel, or the network
 *   CONTROL_START    the same without a snapshot: fds: [image, read-only], [channel], [store], [tap], then
 *                    [empty memfd, read-write]. Boots the image to its first wait and serves from there. No reset: .reset is
 *                    CONTROL_RESET_NONE or CONTROL_RESET_DISCARD; .deadline_ms: of the boot. Answered by CONTROL_BOUND
 *   CONTROL_CHANNEL  fds: [channel]. A new channel after the old one was closed (the proxy was restarted)
 * tender -> vmmd
 *   CONTROL_SHELL_READY  the VM exists, privileges are dropped; .create_us
 *   CONTROL_BOOTED       the snapshot is written; .manifest_* and .boot_us are set
 *   CONTROL_BOUND        the clone, or the booted image, is ready for its first request; .bind_us
 *   CONTROL_FAILED       .reason says why, in one line; the tender exits next
 *   CONTROL_LOG          .severity and .reason: one line of the guest's own log (untrusted text, made printable)
 */
#ifndef PPCE_CONTROL_H
#define PPCE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define TENDER_CONTROL_FD 3
#define TENDER_STATS_FD 4 /* a page, struct tender_stats, written by the tender, read by vmmd */
#define CONTROL_TEXT 1024

enum control_type {
	CONTROL_BOOT = 1,
	CONTROL_BIND,
	CONTROL_CHANNEL,
	CONTROL_START,
	CONTROL_SHELL_READY = 16,
	CONTROL_BOOTED,
	CONTROL_BOUND,
	CONTROL_FAILED,
	CONTROL_LOG,
};

enum control_reset {
	CONTROL_RESET_NONE = 0, /* lifetimes class and user: memory lives on from request to request */
	CONTROL_RESET_PRISTINE, /* lifetime request, mode reset: back to the snapshot after every answer */
	CONTROL_RESET_DISCARD,	/* lifetime request, mode discard: the tender ends after its first answer */
};

/* What an instance with a network is told of it: see struct ppce_net. The tender enforces address and MAC besides. */
struct control_net {
	uint32_t ipv4, prefix, gateway, mtu; /* as in struct net_message */
	uint8_t mac[6], gateway_mac[6];
	uint16_t port; /* on which the guest is to serve HTTP */
	uint16_t nsinks;
	struct {
		char name[PPCE_NAME_SIZE];
		uint8_t pad;
		uint16_t port;
		uint32_t ipv4;
	} sink[PPCE_SINKS_MAX];
};

struct control_message {
	uint32_t type;		     /* enum control_type */
	uint32_t reset;		     /* BIND, START: enum control_reset */
	uint32_t deadline_ms;	     /* BOOT, START: of the whole boot */
	uint32_t has_store, has_net; /* BIND, START: 0, 1 */
	uint32_t manifest_network;   /* BOOTED: 1: the image can use a network */
	uint32_t severity;	     /* LOG: 3..7 */
	uint32_t manifest_memory_mib, manifest_request_kib, manifest_response_kib; /* BOOTED */
	uint32_t create_us;							   /* SHELL_READY: from exec to ready */
	uint32_t boot_us;							   /* BOOTED */
	uint32_t bind_us;							   /* BOUND */
	char name[PPCE_NAME_SIZE];						   /* BOOTED: the manifest's name */
	char queries[PPCE_QUERIES_SIZE];					   /* BOOTED: the manifest's */
	char uuid[PPCE_UUID_SIZE]; /* BIND: for the process title and error texts */
	char reason[CONTROL_TEXT]; /* FAILED, LOG */
	struct control_net net;	   /* BIND, START with .has_net */
};

struct tender_stats {	       /* each field is stored whole; vmmd only displays them */
	uint64_t requests;     /* answered */
	uint64_t failures;     /* crashed or over the deadline */
	uint64_t resets;       /* back to pristine */
	uint64_t rewarms;      /* resets that had to run the warm-up again */
	uint64_t last_used_ns; /* CLOCK_MONOTONIC of the last answer */
	uint64_t busy_ns;      /* total time inside the guest */
	uint64_t reset_ns;     /* total time of resets */
	uint32_t resident_kib; /* private memory of the guest after the last reset, or at bind */
	uint32_t pad;
	uint64_t frames_in, frames_out; /* of an instance with a network: to the guest, into the tap */
	uint64_t frames_dropped;	/* of either direction: not allowed, or no room */
};

/* True if every text field of a received message of `size` bytes is terminated and its type known. */
static inline bool control_valid(const struct control_message *m, size_t size)
{
	if (size != sizeof *m || m->net.nsinks > PPCE_SINKS_MAX)
		return false;
	for (unsigned i = 0; i < m->net.nsinks; i++)
		if (!memchr(m->net.sink[i].name, 0, sizeof m->net.sink[i].name))
			return false;
	return memchr(m->name, 0, sizeof m->name) && memchr(m->uuid, 0, sizeof m->uuid) &&
	       memchr(m->queries, 0, sizeof m->queries) && memchr(m->reason, 0, sizeof m->reason) &&
	       ((m->type >= CONTROL_BOOT && m->type <= CONTROL_START) ||
		(m->type >= CONTROL_SHELL_READY && m->type <= CONTROL_LOG));
}

#endif
