/* SPDX-License-Identifier: MIT
 *
 * Frames of include/ppce/frame.h on a tender's end of the channel.
 */
#ifndef TENDER_FRAMES_H
#define TENDER_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include <ppce/frame.h>
#include <ppce/ticket.h>

/* What stands before a payload. The ticket comes for instances with a store only; it stays in our own memory. */
struct incoming {
	struct frame_header h;
	struct ticket ticket;
};
_Static_assert(sizeof(struct incoming) == sizeof(struct frame_header) + sizeof(struct ticket), "as on the wire");

/* Sends header and payload; sets .magic. -1: the channel is closed or broken. */
int frame_send(int fd, struct frame_header *h, const void *payload);
int frame_send_failure(int fd, uint32_t id, enum frame_failure code);

#endif
