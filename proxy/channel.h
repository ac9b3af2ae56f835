/* SPDX-License-Identifier: MIT
 *
 * The proxy's end of a channel (ppce/frame.h): one stream socket to one tender, one request in flight. The other end is
 * untrusted: every frame is bounded and checked before it is used, and anything unexpected ends the channel.
 *
 *	IDLE --channel_send--> BUSY --answer, not yet READY--> RESETTING --READY--> IDLE
 *	                            --answer with READY------------------------>  IDLE
 *	IDLE --channel_begin--> BUSY --channel_end--> RESETTING --READY--> IDLE    where the guest is reset
 *	                                --channel_end------------------->  IDLE    where it is not
 *	any state --closed, broken, too late, channel_close--> CLOSED
 *
 * The third and fourth line are those of an instance with a network, whose requests and answers go another way.
 *
 * Events may call channel_send(), channel_begin(), channel_end() and channel_close(). The struct must outlive the event that closes it.
 */
#ifndef PROXY_CHANNEL_H
#define PROXY_CHANNEL_H

#include <ppce/frame.h>
#include <ppce/ticket.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/buf.h"
#include "lib/err.h"

#define CHANNEL_GRACE_MS 1000u	/* after the deadline that the tender itself enforces */
#define CHANNEL_RESET_MS 10000u /* longest time from an answer to FRAME_READY */

enum channel_state { CHANNEL_IDLE, CHANNEL_BUSY, CHANNEL_RESETTING, CHANNEL_CLOSED };

struct channel_events {
	/* FRAME_RESPONSE: payload of h->length bytes, 8-aligned, valid during the call. FRAME_FAILED: payload NULL.
	 * Always the answer to the request in flight; after channel_begin() a FRAME_FAILED, also after channel_end(). */
	void (*answer)(void *ctx, const struct frame_header *h, const void *payload);
	/* It takes the next request; reset_us 0 where there was no wait. Or, after channel_end(), it ends (last). */
	void (*ready)(void *ctx, uint32_t reset_us, bool last);
	/* The channel is closed: peer gone, protocol broken (kind ERR_BAD_GATEWAY), or no answer in time (ERR_TIMEOUT).
	 * Not called after channel_close(). */
	void (*lost)(void *ctx, enum err_kind kind, const char *why);
};

struct channel {
	uv_loop_t *loop;
	const struct channel_events *events;
	void *ctx;
	enum channel_state state;
	int fd;
	uv_poll_t *poll;
	uv_timer_t *guard;
	uint32_t id;	   /* of the last request */
	bool begun;	   /* ... which was told of by FRAME_BEGIN */
	unsigned owed;	   /* FRAME_READY of requests that have ended, not waited for */
	size_t answer_max; /* bytes of a payload */
	struct buf in;	   /* a frame of which only a part has arrived */
	struct buf out;	   /* the part of a request that the socket did not take yet */
};

/* Takes over `fd`, also on failure. */
int channel_open(struct channel *c, uv_loop_t *loop, int fd, size_t answer_max, const struct channel_events *events,
		 void *ctx, struct err *err);
void channel_close(struct channel *c); /* at any time, more than once */
/* Takes what the other side sent before it ended, an answer among it, when its end was heard of elsewhere first. Calls
 * the events as usual; does nothing unless an answer is outstanding. */
void channel_drain(struct channel *c);

/* Id for the next request, to be put into its frame. */
uint32_t channel_next_id(const struct channel *c);
/* Sends an encoded FRAME_REQUEST with that id; the bytes may be reused afterwards. The channel must be IDLE. A broken
 * socket is reported by lost(), later. */
void channel_send(struct channel *c, const void *frame, size_t len, uint32_t deadline_ms);
/* Tells that a request begins whose bytes go another way (`ticket` NULL: none). The channel must be IDLE. -1: the socket
 * has not taken the frame, so nothing may be sent to the instance, and the channel is of no use any more. */
int channel_begin(struct channel *c, const struct ticket *ticket, uint32_t deadline_ms);
/* ... and that it has ended. The channel must be BUSY by channel_begin(). `reset`: the guest is made pristine now, and
 * ready() says when; else the channel is IDLE at once and ready() is not called. */
void channel_end(struct channel *c, bool reset);

#endif
