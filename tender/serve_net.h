/* SPDX-License-Identifier: MIT
 *
 * The life of a bound tender whose guest has a network: frames between the guest and its tap, and from the channel when a
 * request begins and ends (ppce/frame.h).
 *
 * The channel is always read after the tap and before the guest is shown what came, so that FRAME_BEGIN, which was sent
 * before the first byte of the request, is known before the guest can see that byte. Between two requests the guest runs
 * for its connections' sake only: it has no ticket, each run is short, and all runs together may take a part of the time.
 */
#ifndef TENDER_SERVE_NET_H
#define TENDER_SERVE_NET_H

#include <ppce/control.h>
#include "tender/frames.h"
#include "tender/guest.h"
#include "tender/net.h"

struct network_service {
	struct guest *guest;
	struct net net; /* .tap and .config are set by the caller */
	enum control_reset reset;
	struct tender_stats *stats;
	/* the rest starts as zeros */
	bool entered; /* the guest serves its network, and waits in PPCE_CALL_NET whenever we are here */
	int channel;
	struct incoming in; /* the frame that is being read, of which .have bytes are there */
	size_t have;
	bool busy; /* a request is under way: */
	uint32_t id;
	uint64_t deadline_ns, run_ns;
	struct ticket ticket;
	uint64_t window_ns, idle_ns; /* of the current window: its start, and the time that idle runs took */
};

/* Serves until `channel` closes (0; may be called again with another), the guest is lost (-1, err->text for the operator)
 * or it has had its last request (1). The guest must be a clone, or booted. Does not close the channel. */
int serve_network(struct network_service *s, int channel, struct err *err);

#endif
