/* SPDX-License-Identifier: MIT */
#include "net/rules_table.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/tcp.h>
#include <string.h>

#define LL NFT_PAYLOAD_LL_HEADER
#define NH NFT_PAYLOAD_NETWORK_HEADER
#define TH NFT_PAYLOAD_TRANSPORT_HEADER

/* Of <linux/netfilter_bridge.h>, which does not go together with <net/if.h>. */
enum { BR_PRE_ROUTING = 0, BR_LOCAL_IN = 1, BR_FORWARD = 2, BR_POST_ROUTING = 4 };
enum { BR_PRI_FILTER_BRIDGED = -200, BR_PRI_FILTER_OTHER = 200 };

/* Register numbers of the keys' parts. */
enum { PORT = 0, PORT_MAC = 4, PORT_ADDRESS = 6, SINK_ADDRESS = 4, SINK_PORT = 5, FLOW_ADDRESS = 0, ITS = 1, OURS = 2 };
/* Offsets into headers. */
enum {
	ETHER_TO = 0,
	ETHER_FROM = 6,
	ETHER_TYPE = 12,
	IPV4_FRAGMENT = 6,
	IPV4_PROTOCOL = 9,
	IPV4_FROM = 12,
	IPV4_TO = 16
};
enum { ARP_OPERATION = 6, ARP_SENDER_MAC = 8, ARP_SENDER = 14, ARP_TARGET = 24 };
enum { TCP_FROM = 0, TCP_TO = 2, TCP_LENGTH = 12, TCP_FLAGS = 13 };

/* Types of set keys, for `nft list` only: it packs them six bits each. */
enum { TYPE_IPV4 = 7, TYPE_ETHER = 9, TYPE_SERVICE = 13, TYPE_IFNAME = 41 };
#define TYPES2(a, b) ((uint32_t)(a) << 6 | (b))
#define TYPES3(a, b, c) (TYPES2(a, b) << 6 | (c))

/* Conditions are written so that what passes must match them: a load beyond the end of a short packet does not match, and
 * such a packet ends at the last rule of its chain. */
enum direction { FROM_TAP, TO_TAP };

/* --- sets -------------------------------------------------------------------------------------------------------- */

static void add_set(struct rules *r, uint32_t id, const char *name, uint32_t type, uint32_t len, uint32_t timeout_s,
		    uint32_t max)
{
	struct nlmsghdr *h = nft_add(&r->nl, &r->batch, NFT_MSG_NEWSET, NLM_F_CREATE);
	mnl_attr_put_strz(h, NFTA_SET_TABLE, r->names.prefix);
	mnl_attr_put_strz(h, NFTA_SET_NAME, name);
	mnl_attr_put_u32(h, NFTA_SET_ID, htonl(id));
	mnl_attr_put_u32(h, NFTA_SET_KEY_TYPE, htonl(type));
	mnl_attr_put_u32(h, NFTA_SET_KEY_LEN, htonl(len));
	if (timeout_s) { /* filled by rules */
		mnl_attr_put_u32(h, NFTA_SET_FLAGS, htonl(NFT_SET_TIMEOUT | NFT_SET_EVAL));
		mnl_attr_put_u64(h, NFTA_SET_TIMEOUT, htobe64(timeout_s * 1000ull));
	}
	if (max) {
		struct nlattr *desc = mnl_attr_nest_start(h, NFTA_SET_DESC);
		mnl_attr_put_u32(h, NFTA_SET_DESC_SIZE, htonl(max));
		mnl_attr_nest_end(h, desc);
	}
}

void rules_table_sets(struct rules *r)
{
	add_set(r, 1, SET_PORTS, TYPES3(TYPE_IFNAME, TYPE_ETHER, TYPE_IPV4), sizeof(struct key_port), 0, 0);
	add_set(r, 2, SET_SINKS, TYPES3(TYPE_IFNAME, TYPE_IPV4, TYPE_SERVICE), sizeof(struct key_sink), 0, 0);
	add_set(r, 3, SET_FLOWS, TYPES3(TYPE_IPV4, TYPE_SERVICE, TYPE_SERVICE), sizeof(struct key_flow), r->flow_s,
		RULES_FLOWS_MAX);
	add_set(r, 4, SET_CLOSING, TYPES3(TYPE_IPV4, TYPE_SERVICE, TYPE_SERVICE), sizeof(struct key_flow),
		RULES_CLOSING_S, RULES_FLOWS_MAX);
	add_set(r, 5, SET_ARPS, TYPE_IPV4, 4, 60, 65536);
}

/* --- parts of rules ---------------------------------------------------------------------------------------------- */

static void add_chain(struct rules *r, const char *name, int hook, int priority)
{
	struct nlmsghdr *h = nft_add(&r->nl, &r->batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, r->names.prefix);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
	if (hook < 0)
		return;
	struct nlattr *at = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(h, NFTA_HOOK_HOOKNUM, htonl((uint32_t)hook));
	mnl_attr_put_u32(h, NFTA_HOOK_PRIORITY, htonl((uint32_t)priority));
	mnl_attr_nest_end(h, at);
	mnl_attr_put_u32(h, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT)); /* other people's links */
	mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
}

static struct rule begin(struct rules *r, const char *chain)
{
	return rule_begin(&r->nl, &r->batch, r->names.prefix, chain);
}

static void end(struct rule *q, int verdict)
{
	rule_verdict(q, verdict, NULL);
	rule_end(q);
}

/* The last rule of a chain, for everything that no other has accepted. */
static void drop_rest(struct rules *r, const char *chain)
{
	struct rule q = begin(r, chain);
	rule_count(&q);
	end(&q, NF_DROP);
}

static void our_tap(struct rules *r, struct rule *q, enum direction d, enum nft_cmp_ops op)
{
	rule_meta(q, d == FROM_TAP ? NFT_META_IIFNAME : NFT_META_OIFNAME, 0);
	rule_compare(q, op, 0, r->names.tap_prefix, (unsigned)strlen(r->names.tap_prefix));
}

static void bytes(struct rule *q, enum nft_payload_bases base, unsigned offset, unsigned len, enum nft_cmp_ops op,
		  const void *value)
{
	rule_load(q, base, offset, len, 0);
	rule_compare(q, op, 0, value, len);
}

static void flags(struct rule *q, uint8_t mask, enum nft_cmp_ops op, uint8_t value)
{
	rule_load(q, TH, TCP_FLAGS, 1, 0);
	rule_mask(q, 0, &mask, 1);
	rule_compare(q, op, 0, &value, 1);
}

/* The MAC and the address found at these places are those of the port. */
static void own_port(struct rule *q, enum direction d, enum nft_payload_bases mac_base, unsigned mac, unsigned address)
{
	rule_meta(q, d == FROM_TAP ? NFT_META_IIFNAME : NFT_META_OIFNAME, PORT);
	rule_load(q, mac_base, mac, MAC_SIZE, PORT_MAC);
	rule_load(q, NH, address, 4, PORT_ADDRESS);
	rule_lookup(q, SET_PORTS);
}

static void allowed_sink(struct rule *q, enum direction d)
{
	rule_meta(q, d == FROM_TAP ? NFT_META_IIFNAME : NFT_META_OIFNAME, PORT);
	rule_load(q, NH, d == FROM_TAP ? IPV4_TO : IPV4_FROM, 4, SINK_ADDRESS);
	rule_load(q, TH, d == FROM_TAP ? TCP_TO : TCP_FROM, 2, SINK_PORT);
	rule_lookup(q, SET_SINKS);
}

static void load_flow(struct rule *q, enum direction d)
{
	rule_load(q, NH, d == FROM_TAP ? IPV4_FROM : IPV4_TO, 4, FLOW_ADDRESS);
	rule_load(q, TH, d == FROM_TAP ? TCP_FROM : TCP_TO, 2, ITS);
	rule_load(q, TH, d == FROM_TAP ? TCP_TO : TCP_FROM, 2, OURS);
}

static void known_flow(struct rule *q, enum direction d, const char *set)
{
	load_flow(q, d);
	rule_lookup(q, set);
}

/* Both directions: TCP in an unfragmented IPv4 packet without options, between the port's own MAC and address and the
 * bridge's MAC, goes to chain `tcp`, and ARP to chain `arp`. Anything else (IPv6, VLANs, 802.3 frames) ends here. */
static void add_shape(struct rules *r, const char *chain, const char *arp, const char *tcp, enum direction d)
{
	static const uint8_t type_arp[] = { 0x08, 0x06 }, type_ip[] = { 0x08, 0x00 }, version_and_length = 0x45,
			     protocol = IPPROTO_TCP, fragment[] = { 0x3f, 0xff }, none[2], header_length = 0x50;
	struct rule q = begin(r, chain);
	our_tap(r, &q, d, NFT_CMP_NEQ);
	end(&q, NF_ACCEPT);
	q = begin(r, chain);
	bytes(&q, LL, ETHER_TYPE, 2, NFT_CMP_EQ, type_arp);
	rule_verdict(&q, NFT_GOTO, arp);
	rule_end(&q);
	q = begin(r, chain);
	bytes(&q, LL, ETHER_TYPE, 2, NFT_CMP_EQ, type_ip);
	bytes(&q, LL, d == FROM_TAP ? ETHER_TO : ETHER_FROM, MAC_SIZE, NFT_CMP_EQ, r->mac);
	bytes(&q, NH, 0, 1, NFT_CMP_EQ, &version_and_length);
	own_port(&q, d, LL, d == FROM_TAP ? ETHER_FROM : ETHER_TO, d == FROM_TAP ? IPV4_FROM : IPV4_TO);
	bytes(&q, NH, IPV4_PROTOCOL, 1, NFT_CMP_EQ, &protocol);
	rule_load(&q, NH, IPV4_FRAGMENT, 2, 0);
	rule_mask(&q, 0, fragment, 2);
	rule_compare(&q, NFT_CMP_EQ, 0, none, 2);
	bytes(&q, TH, TCP_LENGTH, 1, NFT_CMP_GTE, &header_length);
	rule_verdict(&q, NFT_GOTO, tcp);
	rule_end(&q);
	drop_rest(r, chain);
}

/* --- from a tap -------------------------------------------------------------------------------------------------- */

/* Counted by address, of which a port has one at a time: the next holder of a tap does not inherit what the last one has
 * used up. */
static void add_arp_budget(struct rules *r, const char *chain)
{
	struct rule q = begin(r, chain);

	rule_load(&q, NH, ARP_SENDER, 4, 0);
	rule_over_rate(&q, SET_ARPS, 60000, RULES_ARP_A_SECOND, RULES_ARP_A_SECOND);
	rule_count(&q);
	end(&q, NF_DROP);
	q = begin(r, chain);
	end(&q, NF_ACCEPT);
}

/* Ethernet and IPv4 in ARP, asking for or answering to the bridge's address, with the sender's own MAC (in both headers)
 * and address, and then not too often. */
static void add_arp_from_tap(struct rules *r, const char *chain, const char *budget)
{
	static const uint8_t kind[] = { 0, 1, 8, 0, 6, 4 }, lowest[] = { 0, 1 }, highest[] = { 0, 2 },
			     everybody[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t gateway = htonl(r->gateway);

	for (int i = 0; i < 2; i++) {
		struct rule q = begin(r, chain);
		bytes(&q, LL, ETHER_TO, MAC_SIZE, NFT_CMP_EQ, i ? everybody : r->mac);
		bytes(&q, NH, 0, sizeof kind, NFT_CMP_EQ, kind);
		rule_load(&q, NH, ARP_OPERATION, 2, 0);
		rule_compare(&q, NFT_CMP_GTE, 0, lowest, 2);
		rule_compare(&q, NFT_CMP_LTE, 0, highest, 2);
		bytes(&q, NH, ARP_TARGET, 4, NFT_CMP_EQ, &gateway);
		own_port(&q, FROM_TAP, LL, ETHER_FROM, ARP_SENDER);
		own_port(&q, FROM_TAP, NH, ARP_SENDER_MAC, ARP_SENDER);
		rule_verdict(&q, NFT_GOTO, budget);
		rule_end(&q);
	}
	drop_rest(r, chain);
}

/* To a sink, or in a connection that the host has opened: instances answer, they do not call. */
static void add_tcp_from_tap(struct rules *r, const char *chain)
{
	static const char *const sets[] = { SET_FLOWS, SET_CLOSING };
	uint32_t gateway = htonl(r->gateway);
	struct rule q = begin(r, chain);

	allowed_sink(&q, FROM_TAP);
	end(&q, NF_ACCEPT);
	for (int i = 0; i < 2; i++) {
		q = begin(r, chain);
		bytes(&q, NH, IPV4_TO, 4, NFT_CMP_EQ, &gateway);
		flags(&q, TH_SYN | TH_ACK, NFT_CMP_NEQ, TH_SYN);
		known_flow(&q, FROM_TAP, sets[i]);
		end(&q, NF_ACCEPT);
	}
	drop_rest(r, chain);
}

/* Frames to the addresses 01:80:c2:00:00:0x pass by the other hooks, straight to the host's protocols: of what reaches
 * the host, only frames to the bridge's MAC, and ARP to everybody, are let in. */
static void add_into_host(struct rules *r, const char *chain)
{
	static const uint8_t everybody[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct rule q = begin(r, chain);

	our_tap(r, &q, FROM_TAP, NFT_CMP_NEQ);
	end(&q, NF_ACCEPT);
	for (int i = 0; i < 2; i++) {
		q = begin(r, chain);
		bytes(&q, LL, ETHER_TO, MAC_SIZE, NFT_CMP_EQ, i ? everybody : r->mac);
		end(&q, NF_ACCEPT);
	}
	drop_rest(r, chain);
}

void rules_table_from_tap(struct rules *r)
{
	static const char chain[] = "from_tap", arp[] = "arp_from_tap", budget[] = "arp_budget", tcp[] = "tcp_from_tap",
			  input[] = "into_host";

	add_chain(r, budget, -1, 0);
	add_arp_budget(r, budget);
	add_chain(r, arp, -1, 0);
	add_arp_from_tap(r, arp, budget);
	add_chain(r, tcp, -1, 0);
	add_tcp_from_tap(r, tcp);
	add_chain(r, chain, BR_PRE_ROUTING, BR_PRI_FILTER_BRIDGED);
	add_shape(r, chain, arp, tcp, FROM_TAP);
	add_chain(r, input, BR_LOCAL_IN, BR_PRI_FILTER_BRIDGED);
	add_into_host(r, input);
}

/* --- to a tap ---------------------------------------------------------------------------------------------------- */

static void add_arp_to_tap(struct rules *r, const char *chain)
{
	uint32_t gateway = htonl(r->gateway);
	struct rule q = begin(r, chain);

	bytes(&q, LL, ETHER_FROM, MAC_SIZE, NFT_CMP_EQ, r->mac);
	bytes(&q, NH, ARP_SENDER, 4, NFT_CMP_EQ, &gateway);
	end(&q, NF_ACCEPT);
	drop_rest(r, chain);
}

/* From the bridge's own address; returns the rule to go on with. */
static struct rule from_gateway(struct rules *r, const char *chain)
{
	uint32_t gateway = htonl(r->gateway);
	struct rule q = begin(r, chain);
	bytes(&q, NH, IPV4_FROM, 4, NFT_CMP_EQ, &gateway);
	return q;
}

/* The host's FIN or RST: the instance has a little time for its last words. */
static void add_closers(struct rules *r, const char *chain)
{
	struct rule q = from_gateway(r, chain);
	flags(&q, TH_FIN | TH_RST, NFT_CMP_NEQ, 0);
	known_flow(&q, TO_TAP, SET_FLOWS);
	rule_set(&q, SET_FLOWS, NFT_DYNSET_OP_DELETE, 0);
	rule_set(&q, SET_CLOSING, NFT_DYNSET_OP_UPDATE, RULES_CLOSING_S * 1000);
	end(&q, NF_ACCEPT);
}

/* Whatever a socket of the platform's own users sends opens the connection to the answers, or keeps it open. */
static void add_openers(struct rules *r, const char *chain)
{
	for (unsigned i = 0; i < r->nopeners; i++) {
		uint32_t uid = r->openers[i];
		struct rule q = from_gateway(r, chain);
		rule_meta(&q, NFT_META_SKUID, 0);
		rule_compare(&q, NFT_CMP_EQ, 0, &uid, sizeof uid);
		load_flow(&q, TO_TAP);
		rule_set(&q, SET_FLOWS, NFT_DYNSET_OP_UPDATE, r->flow_s * 1000);
		end(&q, NF_ACCEPT);
	}
}

/* What the kernel still says for a socket that nobody holds any more. */
static void add_followers(struct rules *r, const char *chain)
{
	static const char *const sets[] = { SET_FLOWS, SET_CLOSING };
	for (int i = 0; i < 2; i++) {
		struct rule q = from_gateway(r, chain);
		flags(&q, TH_SYN, NFT_CMP_EQ, 0);
		known_flow(&q, TO_TAP, sets[i]);
		end(&q, NF_ACCEPT);
	}
}

static void add_tcp_to_tap(struct rules *r, const char *chain)
{
	struct rule q = begin(r, chain); /* a sink answers; it does not call */

	flags(&q, TH_SYN | TH_ACK, NFT_CMP_NEQ, TH_SYN);
	allowed_sink(&q, TO_TAP);
	end(&q, NF_ACCEPT);
	add_closers(r, chain);
	add_openers(r, chain);
	add_followers(r, chain);
	drop_rest(r, chain);
}

/* No frame is ever forwarded from or to a tap; the ports' isolation says the same once more. */
static void add_between(struct rules *r, const char *chain)
{
	for (int i = 0; i < 2; i++) {
		struct rule q = begin(r, chain);
		our_tap(r, &q, i ? TO_TAP : FROM_TAP, NFT_CMP_EQ);
		rule_count(&q);
		end(&q, NF_DROP);
	}
}

void rules_table_to_tap(struct rules *r)
{
	static const char chain[] = "to_tap", arp[] = "arp_to_tap", tcp[] = "tcp_to_tap", forward[] = "between";

	add_chain(r, forward, BR_FORWARD, BR_PRI_FILTER_BRIDGED);
	add_between(r, forward);
	add_chain(r, arp, -1, 0);
	add_arp_to_tap(r, arp);
	add_chain(r, tcp, -1, 0);
	add_tcp_to_tap(r, tcp);
	add_chain(r, chain, BR_POST_ROUTING, BR_PRI_FILTER_OTHER);
	add_shape(r, chain, arp, tcp, TO_TAP);
}
