/* SPDX-License-Identifier: MIT
 *
 * Rules of nftables as the kernel takes them: a rule is a row of expressions that are gone through in order; the first
 * that does not match ends it. `nft list ruleset` shows what comes out. Registers are the 32-bit ones, numbered from 0;
 * a value takes as many as it needs, and the key of a set lies in adjacent registers from 0 on.
 */
#ifndef NET_EXPR_H
#define NET_EXPR_H

#include <netinet/in.h> /* before the kernel's headers, which give way to it */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdint.h>

#include "net/nl.h"

struct rule { /* being written */
	struct nlmsghdr *h;
	struct nlattr *list;
};

/* Starts and ends a rule at the end of a chain; in between come the expressions below. */
struct rule rule_begin(struct nl *nl, struct nl_batch *b, const char *table, const char *chain);
void rule_end(struct rule *r);

void rule_load(struct rule *r, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg);
void rule_meta(struct rule *r, enum nft_meta_keys key, unsigned reg);
void rule_compare(struct rule *r, enum nft_cmp_ops op, unsigned reg, const void *value, unsigned len);
/* The bits of `mask` (len bytes, at most 4) of register `reg` stay. */
void rule_mask(struct rule *r, unsigned reg, const void *mask, unsigned len);
void rule_lookup(struct rule *r, const char *set); /* key from register 0 */
/* Puts the key into a set (NFT_DYNSET_OP_UPDATE, with the time it stays) or takes it out (NFT_DYNSET_OP_DELETE). */
void rule_set(struct rule *r, const char *set, enum nft_dynset_ops op, uint64_t timeout_ms);
/* Matches while the key in register 0 comes more often than `rate` a second, counted in `set`. */
void rule_over_rate(struct rule *r, const char *set, uint64_t timeout_ms, unsigned rate, unsigned burst);
void rule_count(struct rule *r);				   /* a counter that `nft list` shows */
void rule_verdict(struct rule *r, int verdict, const char *chain); /* NF_ACCEPT, NF_DROP, NFT_JUMP to a chain */

/* Objects. `family` is that of the table: NFPROTO_BRIDGE. */
#define NFT_MESSAGE(type) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))
struct nlmsghdr *nft_add(struct nl *nl, struct nl_batch *b, uint16_t type, uint16_t flags);
void nft_begin(struct nl *nl, struct nl_batch *b); /* instead of nl_begin(): all of the batch or nothing */
void nft_end(struct nl *nl, struct nl_batch *b);   /* before nl_commit() */

#endif
