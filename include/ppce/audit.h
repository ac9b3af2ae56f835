/* SPDX-License-Identifier: MIT
 *
 * Between any daemon and ppce-audit: DIR/run/audit-log.sock, SOCK_SEQPACKET, peer credentials checked by both. A packet
 * to the log is struct audit_head and .length bytes of JSON: the record's members as in docs/audit.md without "seq" and
 * "time", which the log adds. A packet back is struct audit_ack. Acknowledgements come in order.
 */
#ifndef PPCE_AUDIT_H
#define PPCE_AUDIT_H

#include <stdint.h>

#define AUDIT_MAGIC 0x41535050u
#define AUDIT_RECORD_MAX (64u << 10) /* bytes of JSON; senders cut long paths before */

struct audit_head {
	uint32_t magic;
	uint32_t length; /* 2..AUDIT_RECORD_MAX */
	uint64_t id;	 /* chosen by the sender, rising */
};

enum audit_status {
	AUDIT_WRITTEN = 0,
	AUDIT_MALFORMED, /* not one flat JSON object of known members */
	AUDIT_STOPPED,	 /* the log is inconsistent or the disk is full: nothing is written until an operator acts */
};

struct audit_ack {
	uint32_t magic;
	uint32_t status; /* enum audit_status */
	uint64_t id;
	uint64_t seq; /* of the record in the log, from 0 */
};

#endif
