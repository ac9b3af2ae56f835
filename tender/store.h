/* SPDX-License-Identifier: MIT
 *
 * A guest's call to the store (ppce/store.h), over the socket that vmmd gave this instance. The bytes go from guest memory
 * into the socket and back without a stop; the ticket never enters guest memory.
 */
#ifndef TENDER_STORE_H
#define TENDER_STORE_H

#include <stdint.h>

#include <ppce/store.h>

enum store_end {
	STORE_ANSWERED,	 /* *result is what the guest gets: bytes of the answer, or minus an enum store_status */
	STORE_OVERDUE,	 /* the deadline passed; the socket is out of step and must not be used again */
	STORE_MALFORMED, /* the reply breaks the protocol; the same */
};

/* What the guest asked for, copied from it and checked. */
struct store_request {
	uint32_t verb;	 /* enum store_verb */
	uint32_t length; /* bytes of the call at `data`, 1..max */
	uint8_t *data;	 /* guest memory: may change at any time; the answer replaces the call */
	uint32_t max;	 /* bytes at `data`, at most PPCE_DATA_BYTES_MAX */
};

/* One call and its answer. A store that has gone makes -STORE_UNAVAILABLE; `data` may then hold part of an answer, which
 * the store had accounted for before it sent the first byte. */
enum store_end store_exchange(int fd, const struct store_request *request, const struct ticket *ticket,
			      uint64_t deadline_ns, int64_t *result);

#endif
