/* SPDX-License-Identifier: MIT
 *
 * A bound tender's life: requests from the channel into the guest, answers back, a reset in between where the app's
 * lifetime asks for it.
 */
#ifndef TENDER_SERVE_H
#define TENDER_SERVE_H

#include <ppce/control.h>
#include <ppce/frame.h>
#include "tender/guest.h"

/* Serves `channel` until it closes (0), the guest is lost (-1, err->text for the operator), or a discarded guest has
 * given its one answer (1). `guest` must be a clone. Does not close the channel. */
int serve_channel(struct guest *g, int channel, enum control_reset reset, struct tender_stats *stats, struct err *err);

/* For serve_net.c as well: a reset with its statistics, and what the proxy is told of a guest's end. */
int serve_reset(struct guest *g, struct tender_stats *stats, uint32_t *reset_us, struct err *err);
enum frame_failure serve_failure(enum guest_end end);

#endif
