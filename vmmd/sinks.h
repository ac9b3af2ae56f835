/* SPDX-License-Identifier: MIT
 *
 * Which sinks of the configuration an instance may have. Decided once, at its start, for its whole life: its label never
 * rises, because requests for apps with sinks carry TICKET_FIXED. A sink is granted if both hold:
 *   R6 (flow_egress)       what the instance holds may go there: L(instance) <= label of the sink
 *   R2 (flow_read, fixed)  what the sink says back may be read: its `returns` (default: its label) <= L(instance)
 * Pure: no I/O, no state.
 */
#ifndef VMMD_SINKS_H
#define VMMD_SINKS_H

#include <ppce/control.h>
#include <ppce/net.h>
#include "lib/config.h"
#include "policy/flow.h"

struct sinks_grant {
	unsigned ngranted; /* in the order that they were wanted in */
	char granted[PPCE_SINKS_MAX][PPCE_NAME_SIZE];
	bool hears; /* one of them says back what is not for everybody */
	unsigned nrefused;
	struct {
		char name[PPCE_NAME_SIZE];
		struct flow_verdict verdict;
	} refused[PPCE_SINKS_MAX];
};

/* Is `wanted` a list of different sinks of the configuration, at most PPCE_SINKS_MAX, or empty? ERR_INVALID names the first
 * that is not, and the one probably meant. */
int sinks_check(const struct config *c, const char *wanted, struct err *err);
/* `label`: canonical. ERR_CONFIG: a sink of `wanted` is not in the configuration, or its label not of the policy. */
int sinks_judge(const struct policy *p, const struct config *c, const char *wanted, const char *label,
		struct sinks_grant *out, struct err *err);
/* The granted ones as a list: "a,b". */
void sinks_list(const struct sinks_grant *grant, char out[NET_SINKS_SIZE]);
/* Are the labels of all sinks labels of the policy? ERR_CONFIG names the sink. */
int sinks_check_labels(const struct policy *p, const struct config *c, struct err *err);
/* The granted ones with their addresses, into out->sink; out->gateway is set already. */
void sinks_describe(const struct config *c, const char *granted, struct control_net *out);

#endif
