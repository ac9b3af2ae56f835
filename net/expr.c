/* SPDX-License-Identifier: MIT */
#include "net/expr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>

#define REGISTER(n) htonl(NFT_REG32_00 + (n))

struct nlmsghdr *nft_add(struct nl *nl, struct nl_batch *b, uint16_t type, uint16_t flags)
{
	struct nfgenmsg *g;
	struct nlmsghdr *h = nl_add(nl, b, NFT_MESSAGE(type), flags | NLM_F_ACK, sizeof *g, &g);
	g->nfgen_family = NFPROTO_BRIDGE;
	g->version = NFNETLINK_V0;
	return h;
}

static void add_bound(struct nl *nl, struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *g;
	nl_add(nl, b, type, 0, sizeof *g, &g);
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

void nft_begin(struct nl *nl, struct nl_batch *b)
{
	nl_begin(nl, b);
	add_bound(nl, b, NFNL_MSG_BATCH_BEGIN);
}

void nft_end(struct nl *nl, struct nl_batch *b)
{
	add_bound(nl, b, NFNL_MSG_BATCH_END);
}

struct rule rule_begin(struct nl *nl, struct nl_batch *b, const char *table, const char *chain)
{
	struct rule r = { .h = nft_add(nl, b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND) };
	mnl_attr_put_strz(r.h, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(r.h, NFTA_RULE_CHAIN, chain);
	r.list = mnl_attr_nest_start(r.h, NFTA_RULE_EXPRESSIONS);
	return r;
}

void rule_end(struct rule *r)
{
	mnl_attr_nest_end(r->h, r->list);
}

struct open { /* an expression being written */
	struct nlattr *element, *data;
};

static struct open expr_open(struct rule *r, const char *name)
{
	struct open o = { .element = mnl_attr_nest_start(r->h, NFTA_LIST_ELEM) };
	mnl_attr_put_strz(r->h, NFTA_EXPR_NAME, name);
	o.data = mnl_attr_nest_start(r->h, NFTA_EXPR_DATA);
	return o;
}

static void expr_close(struct rule *r, struct open o)
{
	mnl_attr_nest_end(r->h, o.data);
	mnl_attr_nest_end(r->h, o.element);
}

static void put_value(struct rule *r, uint16_t type, const void *value, unsigned len)
{
	struct nlattr *nest = mnl_attr_nest_start(r->h, type);
	mnl_attr_put(r->h, NFTA_DATA_VALUE, len, value);
	mnl_attr_nest_end(r->h, nest);
}

void rule_load(struct rule *r, enum nft_payload_bases base, unsigned offset, unsigned len, unsigned reg)
{
	struct open o = expr_open(r, "payload");
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_DREG, REGISTER(reg));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_BASE, htonl(base));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_OFFSET, htonl(offset));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_LEN, htonl(len));
	expr_close(r, o);
}

void rule_meta(struct rule *r, enum nft_meta_keys key, unsigned reg)
{
	struct open o = expr_open(r, "meta");
	mnl_attr_put_u32(r->h, NFTA_META_DREG, REGISTER(reg));
	mnl_attr_put_u32(r->h, NFTA_META_KEY, htonl(key));
	expr_close(r, o);
}

void rule_compare(struct rule *r, enum nft_cmp_ops op, unsigned reg, const void *value, unsigned len)
{
	struct open o = expr_open(r, "cmp");
	mnl_attr_put_u32(r->h, NFTA_CMP_SREG, REGISTER(reg));
	mnl_attr_put_u32(r->h, NFTA_CMP_OP, htonl(op));
	put_value(r, NFTA_CMP_DATA, value, len);
	expr_close(r, o);
}

void rule_mask(struct rule *r, unsigned reg, const void *mask, unsigned len)
{
	static const uint32_t zero;
	struct open o = expr_open(r, "bitwise");
	mnl_attr_put_u32(r->h, NFTA_BITWISE_SREG, REGISTER(reg));
	mnl_attr_put_u32(r->h, NFTA_BITWISE_DREG, REGISTER(reg));
	mnl_attr_put_u32(r->h, NFTA_BITWISE_LEN, htonl(len));
	put_value(r, NFTA_BITWISE_MASK, mask, len);
	put_value(r, NFTA_BITWISE_XOR, &zero, len);
	expr_close(r, o);
}

void rule_lookup(struct rule *r, const char *set)
{
	struct open o = expr_open(r, "lookup");
	mnl_attr_put_strz(r->h, NFTA_LOOKUP_SET, set);
	mnl_attr_put_u32(r->h, NFTA_LOOKUP_SREG, REGISTER(0));
	expr_close(r, o);
}

static void put_dynset(struct rule *r, const char *set, enum nft_dynset_ops op, uint64_t timeout_ms)
{
	mnl_attr_put_strz(r->h, NFTA_DYNSET_SET_NAME, set);
	mnl_attr_put_u32(r->h, NFTA_DYNSET_OP, htonl(op));
	mnl_attr_put_u32(r->h, NFTA_DYNSET_SREG_KEY, REGISTER(0));
	if (timeout_ms)
		mnl_attr_put_u64(r->h, NFTA_DYNSET_TIMEOUT, htobe64(timeout_ms));
}

void rule_set(struct rule *r, const char *set, enum nft_dynset_ops op, uint64_t timeout_ms)
{
	struct open o = expr_open(r, "dynset");
	put_dynset(r, set, op, timeout_ms);
	expr_close(r, o);
}

void rule_over_rate(struct rule *r, const char *set, uint64_t timeout_ms, unsigned rate, unsigned burst)
{
	struct open o = expr_open(r, "dynset");
	put_dynset(r, set, NFT_DYNSET_OP_UPDATE, timeout_ms);
	struct nlattr *expr = mnl_attr_nest_start(r->h, NFTA_DYNSET_EXPR);
	mnl_attr_put_strz(r->h, NFTA_EXPR_NAME, "limit");
	struct nlattr *data = mnl_attr_nest_start(r->h, NFTA_EXPR_DATA);
	mnl_attr_put_u64(r->h, NFTA_LIMIT_RATE, htobe64(rate));
	mnl_attr_put_u64(r->h, NFTA_LIMIT_UNIT, htobe64(1));
	mnl_attr_put_u32(r->h, NFTA_LIMIT_BURST, htonl(burst));
	mnl_attr_put_u32(r->h, NFTA_LIMIT_TYPE, htonl(NFT_LIMIT_PKTS));
	mnl_attr_put_u32(r->h, NFTA_LIMIT_FLAGS, htonl(NFT_LIMIT_F_INV));
	mnl_attr_nest_end(r->h, data);
	mnl_attr_nest_end(r->h, expr);
	expr_close(r, o);
}

void rule_count(struct rule *r)
{
	struct open o = expr_open(r, "counter");
	expr_close(r, o);
}

void rule_verdict(struct rule *r, int verdict, const char *chain)
{
	struct open o = expr_open(r, "immediate");
	mnl_attr_put_u32(r->h, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
	struct nlattr *data = mnl_attr_nest_start(r->h, NFTA_IMMEDIATE_DATA);
	struct nlattr *v = mnl_attr_nest_start(r->h, NFTA_DATA_VERDICT);
	mnl_attr_put_u32(r->h, NFTA_VERDICT_CODE, htonl((uint32_t)verdict));
	if (chain)
		mnl_attr_put_strz(r->h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(r->h, v);
	mnl_attr_nest_end(r->h, data);
	expr_close(r, o);
}
