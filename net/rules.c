/* SPDX-License-Identifier: MIT */
#include "net/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "net/rules_table.h"

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 2
#endif
#define TABLE_F_PERSIST 4 /* NFT_TABLE_F_PERSIST of Linux 6.9: the table outlives its owner */

static void add_table(struct rules *r, uint16_t type, uint16_t flags, uint32_t table_flags)
{
	struct nlmsghdr *h = nft_add(&r->nl, &r->batch, type, flags);
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, r->names.prefix);
	if (table_flags)
		mnl_attr_put_u32(h, NFTA_TABLE_FLAGS, htonl(table_flags));
}

static int commit(struct rules *r, const char *what, int *why, struct err *err)
{
	nft_end(&r->nl, &r->batch);
	return nl_commit(&r->nl, &r->batch, what, why, err);
}

int rules_delete(struct rules *r, struct err *err)
{
	nft_begin(&r->nl, &r->batch);
	add_table(r, NFT_MSG_DELTABLE, 0, 0);
	return commit(r, "removing the nftables table", NULL, err);
}

int rules_check(struct rules *r, struct err *err)
{
	struct nlmsghdr *h;
	nl_begin(&r->nl, &r->batch);
	h = nft_add(&r->nl, &r->batch, NFT_MSG_GETTABLE, 0);
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, r->names.prefix);
	return nl_commit(&r->nl, &r->batch, "looking for the nftables table", NULL, err);
}

static int remove_old(struct rules *r, bool *found, struct err *err)
{
	int why;
	nft_begin(&r->nl, &r->batch);
	add_table(r, NFT_MSG_DELTABLE, 0, 0);
	*found = commit(r, "removing an earlier nftables table", &why, err) == 0;
	return *found || why == ENOENT ? 0 : -1;
}

/* Owned where the kernel knows how (Linux 6.9): then `nft flush ruleset`, by whoever reloads the machine's own firewall,
 * leaves it alone. */
static int make_table(struct rules *r, struct err *err)
{
	for (int owned = 1; owned >= 0; owned--) {
		nft_begin(&r->nl, &r->batch);
		add_table(r, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL,
			  owned ? NFT_TABLE_F_OWNER | TABLE_F_PERSIST : 0);
		r->owned = owned;
		if (commit(r, "making the nftables table", NULL, err) == 0)
			return 0;
	}
	return -1;
}

int rules_create(struct rules *r, bool *found, struct err *err)
{
	if (nl_open(&r->nl, NETLINK_NETFILTER, err) < 0 || remove_old(r, found, err) < 0 || make_table(r, err) < 0)
		return -1;
	nft_begin(&r->nl, &r->batch);
	rules_table_sets(r);
	if (commit(r, "making the sets of nftables", NULL, err) < 0)
		return -1;
	nft_begin(&r->nl, &r->batch);
	rules_table_from_tap(r);
	if (commit(r, "making the nftables rules for frames from taps", NULL, err) < 0)
		return -1;
	nft_begin(&r->nl, &r->batch);
	rules_table_to_tap(r);
	return commit(r, "making the nftables rules for frames to taps", NULL, err);
}

void rules_end(struct rules *r)
{
	nl_close(&r->nl);
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

void rules_begin(struct rules *r)
{
	nft_begin(&r->nl, &r->batch);
}

unsigned rules_left(const struct rules *r)
{
	return RULES_CHANGES - (r->batch.count - 1);
}

static void change(struct rules *r, bool open, const char *set, const void *key, size_t len)
{
	struct nlmsghdr *h =
		nft_add(&r->nl, &r->batch, open ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, open ? NLM_F_CREATE : 0);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, r->names.prefix);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	struct nlattr *value = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
	mnl_attr_put(h, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(h, value);
	mnl_attr_nest_end(h, element);
	mnl_attr_nest_end(h, list);
}

void rules_port(struct rules *r, bool open, const char *port, uint32_t address)
{
	struct key_port key = { .address = htonl(address) };
	strncpy(key.port, port, sizeof key.port - 1);
	net_mac(address, key.mac);
	change(r, open, SET_PORTS, &key, sizeof key);
}

void rules_sink(struct rules *r, bool open, const char *port, uint32_t address, uint16_t tcp_port)
{
	struct key_sink key = { .address = htonl(address), .tcp_port = htons(tcp_port) };
	strncpy(key.port, port, sizeof key.port - 1);
	change(r, open, SET_SINKS, &key, sizeof key);
}

int rules_commit(struct rules *r, struct err *err)
{
	if (r->batch.count == 1)
		return 0;
	return commit(r, "changing the nftables sets", NULL, err);
}
