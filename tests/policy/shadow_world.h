/* SPDX-License-Identifier: MIT
 *
 * A small platform that acts on the library's verdicts (users, sessions, instances, objects), with a shadow of each that
 * is kept in sets of facts (tests/policy/shadow.h): its label, and besides what has really flowed into it. After every
 * operation both must agree, and nobody may hold what their label, ceiling or clearance does not cover.
 */
#ifndef TESTS_SHADOW_WORLD_H
#define TESTS_SHADOW_WORLD_H

#include "lib/buf.h"
#include "policy/certificate.h"
#include "tests/policy/shadow.h"

/* The library's functions, so that a test can put a wrong one in the place of a right one. */
struct rules {
	__typeof__(flow_session) *session;
	__typeof__(flow_request) *request;
	__typeof__(flow_deliver) *deliver;
	__typeof__(flow_read) *read;
	__typeof__(flow_write) *write;
	__typeof__(flow_respond) *respond;
	__typeof__(flow_send) *send;
	__typeof__(flow_egress) *egress;
	__typeof__(flow_revoked) *revoked;
	__typeof__(certificate_allows) *declassify;
};
extern const struct rules world_rules; /* the right ones */

enum op_kind {
	OP_LOGIN,
	OP_REQUEST,
	OP_READ,
	OP_WRITE,
	OP_RESPOND,
	OP_SEND,
	OP_EGRESS,
	OP_REVOKE,
	OP_DECLASSIFY,
	OP_COUNT
};

struct op { /* means something in any state of any world, so that a list stays one when some are left out */
	enum op_kind kind;
	unsigned a, b, c, d;
};

struct counts {
	unsigned long allowed[OP_COUNT], denied[OP_COUNT];
};

const char *world_op_name(enum op_kind kind);
struct op world_random_op(uint64_t *seed);
/* Runs the operations in the world of this seed. -1: all went well; else the index of the one that did not, and why. */
int world_run(uint64_t seed, const struct rules *rules, const struct op *ops, size_t n, struct counts *counts,
	      char why[512]);
void world_describe(uint64_t seed, const struct op *ops, size_t n, struct buf *out);

#endif
