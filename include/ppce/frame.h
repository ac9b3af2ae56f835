/* SPDX-License-Identifier: MIT
 *
 * Frames on the channel between the proxy and one tender: a Unix stream socket that vmmd made (socketpair) and handed
 * to both. One request is in flight at a time. Either side closes the socket on a frame that frame_valid() refuses.
 *
 *   proxy -> tender   FRAME_REQUEST    payload: struct wire_request ...
 *   tender -> proxy   FRAME_RESPONSE   payload: struct wire_response ... (from the guest: untrusted)
 *                     FRAME_FAILED     payload: none; .code says why; the instance is gone afterwards (code
 *                                      FRAME_TOO_LARGE excepted: the request never reached the guest)
 *                     FRAME_READY      payload: none; after FRAME_RESPONSE without FRAME_FLAG_READY: the guest is
 *                                      pristine again and may be given the next request
 *
 * An instance with a network (transport `tap`) gets its requests by HTTP on its own address. The channel then says only
 * when one begins and ends, so that the tender knows whose calls to the store it passes on, when to stop a guest that
 * runs too long, and when to reset it:
 *
 *   proxy -> tender   FRAME_BEGIN      payload: none (and the ticket, as with FRAME_REQUEST). Sent before the first byte
 *                                      of the HTTP request: the tender reads its channel before it hands over frames
 *                     FRAME_END        payload: none; .id of the FRAME_BEGIN. The HTTP answer is there, or given up
 *   tender -> proxy   FRAME_READY      answer to FRAME_END: where the guest is reset, it may be given the next request now;
 *                                      where it is not, FRAME_BEGIN may come without waiting for this
 *                     FRAME_FAILED     as above, from FRAME_BEGIN on
 */
#ifndef PPCE_FRAME_H
#define PPCE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <ppce/limits.h>

#define FRAME_MAGIC 0x46435050u

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE, FRAME_FAILED, FRAME_READY, FRAME_BEGIN, FRAME_END };

enum frame_failure {
	FRAME_CRASHED = 1, /* exception, forbidden call, exit */
	FRAME_DEADLINE,	   /* the handler ran past the deadline */
	FRAME_BAD_ANSWER,  /* response length out of range */
	FRAME_TOO_LARGE,   /* request larger than the image's request buffer */
	FRAME_INTERNAL,	   /* the tender itself failed */
};

#define FRAME_FLAG_TICKET \
	4u /* on FRAME_REQUEST and FRAME_BEGIN: a struct ticket stands between header and payload (not in .length). Set
			      * exactly for instances that have a store; the guest never sees it */
#define FRAME_FLAG_READY 1u /* on FRAME_RESPONSE: the instance takes the next request at once */
#define FRAME_FLAG_LAST \
	2u /* on FRAME_RESPONSE, and on FRAME_READY after FRAME_END: the instance ends now (lifetime `request`, mode
			     * `discard`; or the store has closed its socket) */

struct frame_header {
	uint32_t magic;	  /* FRAME_MAGIC */
	uint16_t type;	  /* enum frame_type */
	uint16_t flags;	  /* FRAME_FLAG_* */
	uint32_t length;  /* bytes of payload that follow */
	uint32_t id;	  /* of the request; the answer carries the same */
	uint32_t code;	  /* FRAME_FAILED: enum frame_failure; FRAME_REQUEST, FRAME_BEGIN: deadline in ms, 1..3600000;
			* FRAME_RESPONSE, or FRAME_READY after FRAME_END: on an instance's first answer the
			* microseconds that making its VM took, else 0 */
	uint32_t load_us; /* FRAME_RESPONSE: making the guest ready to enter; FRAME_READY: the reset */
	uint32_t run_us; /* FRAME_RESPONSE: the guest's own run, entry to doorbell; FRAME_READY after FRAME_END: all its
			* runs during the request */
	uint32_t clone_us; /* as .code: on the first answer, cloning the snapshot, or booting the image; else 0 */
};

/* Is this header well-formed as one of the given direction? Pure; bounds the payload before anyone reads it. */
static inline bool frame_valid(const struct frame_header *h, bool to_tender)
{
	if (h->magic != FRAME_MAGIC)
		return false;
	if (to_tender) {
		bool deadline = h->code > 0 && h->code <= 3600000;
		switch (h->type) {
		case FRAME_REQUEST:
			return h->length > 0 && h->length <= PPCE_REQUEST_BYTES_MAX && deadline;
		case FRAME_BEGIN:
			return h->length == 0 && deadline;
		case FRAME_END:
			return h->length == 0 && !(h->flags & FRAME_FLAG_TICKET);
		default:
			return false;
		}
	}
	switch (h->type) {
	case FRAME_RESPONSE:
		return h->length > 0 && h->length <= PPCE_RESPONSE_BYTES_MAX;
	case FRAME_FAILED:
		return h->length == 0 && h->code >= FRAME_CRASHED && h->code <= FRAME_INTERNAL;
	case FRAME_READY:
		return h->length == 0;
	default:
		return false;
	}
}

#endif
