/* SPDX-License-Identifier: MIT */
#include "net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define ACK NLM_F_ACK
#define MAKE (NLM_F_ACK | NLM_F_CREATE)
#define QUEUE_PACKETS 256 /* of one tap, towards the guest: bounds what an instance that reads nothing holds */
#ifndef IN6_ADDR_GEN_MODE_NONE
#define IN6_ADDR_GEN_MODE_NONE 1
#endif

static struct nlmsghdr *link_message(struct nl *nl, struct nl_batch *b, uint16_t type, uint16_t flags, uint8_t family,
				     unsigned ifindex, unsigned up)
{
	struct ifinfomsg *i;
	struct nlmsghdr *h = nl_add(nl, b, type, flags, sizeof *i, &i);
	i->ifi_family = family;
	i->ifi_index = (int)ifindex;
	i->ifi_flags = i->ifi_change = up;
	return h;
}

/* The host's own IPv4 and IPv6 on this link: no IPv6 address appears by itself, nothing is answered for other addresses,
 * and a packet in a frame for many is not taken for one to us. */
static void put_protocols(struct nlmsghdr *h, bool forward)
{
	const struct {
		uint16_t key;
		uint32_t value;
	} ipv4[] = {
		{ IPV4_DEVCONF_FORWARDING, forward },	 { IPV4_DEVCONF_PROXY_ARP, 0 },
		{ IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 },	 { IPV4_DEVCONF_SEND_REDIRECTS, 0 },
		{ IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0 }, { IPV4_DEVCONF_ROUTE_LOCALNET, 0 },
		{ IPV4_DEVCONF_ARP_ACCEPT, 0 },		 { IPV4_DEVCONF_ARP_IGNORE, 1 },
		{ IPV4_DEVCONF_RP_FILTER, 1 },		 { IPV4_DEVCONF_DROP_UNICAST_IN_L2_MULTICAST, 1 },
	};
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet = mnl_attr_nest_start(h, AF_INET);
	struct nlattr *conf = mnl_attr_nest_start(h, IFLA_INET_CONF);
	for (size_t i = 0; i < sizeof ipv4 / sizeof *ipv4; i++)
		mnl_attr_put_u32(h, ipv4[i].key, ipv4[i].value);
	mnl_attr_nest_end(h, conf);
	mnl_attr_nest_end(h, inet);
	mnl_attr_nest_end(h, spec);
}

/* Fails where the kernel has no IPv6, where it is not needed. */
static void add_no_ipv6(struct nl *nl, struct nl_batch *b, unsigned ifindex)
{
	struct nlmsghdr *h = link_message(nl, b, RTM_SETLINK, ACK, AF_UNSPEC, ifindex, 0);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	nl_may_fail(b);
}

/* --- the bridge -------------------------------------------------------------------------------------------------- */

static int make_bridge(struct nl *nl, const struct net_names *names, struct link_bridge *b, struct err *err)
{
	struct nl_batch batch;
	nl_begin(nl, &batch);
	struct nlmsghdr *h = link_message(nl, &batch, RTM_NEWLINK, MAKE | NLM_F_EXCL, AF_UNSPEC, 0, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, names->bridge);
	mnl_attr_put(h, IFLA_ADDRESS, MAC_SIZE, b->mac);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_BR_FORWARD_DELAY, 0);
	mnl_attr_put_u32(h, IFLA_BR_STP_STATE, 0);
	mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	if (nl_commit(nl, &batch, "making the bridge", NULL, err) < 0)
		return -1;
	b->ifindex = if_nametoindex(names->bridge);
	return b->ifindex ? 0 : err_errno(err, ERR_INTERNAL, "the bridge %s", names->bridge);
}

int link_bridge_create(struct nl *nl, const struct net_names *names, struct link_bridge *b, bool forward,
		       struct err *err)
{
	struct nl_batch batch;
	struct ifaddrmsg *a;

	if (make_bridge(nl, names, b, err) < 0)
		return -1;
	nl_begin(nl, &batch);
	struct nlmsghdr *h = link_message(nl, &batch, RTM_SETLINK, ACK, AF_UNSPEC, b->ifindex, 0);
	mnl_attr_put_strz(h, IFLA_IFALIAS, names->alias);
	put_protocols(h, forward);
	add_no_ipv6(nl, &batch, b->ifindex);
	h = nl_add(nl, &batch, RTM_NEWADDR, MAKE | NLM_F_EXCL, sizeof *a, &a);
	a->ifa_family = AF_INET;
	a->ifa_prefixlen = (uint8_t)b->prefix;
	a->ifa_index = b->ifindex;
	mnl_attr_put_u32(h, IFA_LOCAL, htonl(b->address));
	mnl_attr_put_u32(h, IFA_ADDRESS, htonl(b->address));
	link_message(nl, &batch, RTM_SETLINK, ACK, AF_UNSPEC, b->ifindex, IFF_UP);
	return nl_commit(nl, &batch, "setting up the bridge", NULL, err);
}

int link_bridge_delete(struct nl *nl, unsigned ifindex, struct err *err)
{
	struct nl_batch batch;
	nl_begin(nl, &batch);
	link_message(nl, &batch, RTM_DELLINK, ACK, AF_UNSPEC, ifindex, 0);
	return nl_commit(nl, &batch, "removing the bridge", NULL, err);
}

/* --- ports ------------------------------------------------------------------------------------------------------- */

static void add_port_flags(struct nl *nl, struct nl_batch *b, unsigned ifindex)
{
	static const struct {
		uint16_t key;
		uint8_t value;
	} flags[] = {
		{ IFLA_BRPORT_ISOLATED, 1 },	{ IFLA_BRPORT_LEARNING, 0 },	     { IFLA_BRPORT_UNICAST_FLOOD, 0 },
		{ IFLA_BRPORT_MCAST_FLOOD, 0 }, { IFLA_BRPORT_BCAST_FLOOD, 0 },	     { IFLA_BRPORT_GUARD, 1 },
		{ IFLA_BRPORT_MODE, 0 },	{ IFLA_BRPORT_MULTICAST_ROUTER, 0 },
	};
	struct nlmsghdr *h = link_message(nl, b, RTM_SETLINK, ACK, AF_BRIDGE, ifindex, 0);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_PROTINFO);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		mnl_attr_put_u8(h, flags[i].key, flags[i].value);
	mnl_attr_nest_end(h, info);
}

int link_port_attach(struct nl *nl, const struct net_names *names, unsigned bridge, unsigned ifindex, struct err *err)
{
	struct nl_batch batch;
	int why;

	nl_begin(nl, &batch);
	struct nlmsghdr *h = link_message(nl, &batch, RTM_SETLINK, ACK, AF_UNSPEC, ifindex, 0);
	mnl_attr_put_u32(h, IFLA_GROUP, names->group);
	mnl_attr_put_u32(h, IFLA_TXQLEN, QUEUE_PACKETS);
	mnl_attr_put_u32(h, IFLA_MASTER, bridge);
	put_protocols(h, false);
	add_no_ipv6(nl, &batch, ifindex);
	add_port_flags(nl, &batch, ifindex);
	link_message(nl, &batch, RTM_SETLINK, ACK, AF_UNSPEC, ifindex, IFF_UP);
	if (nl_commit(nl, &batch, "attaching a tap", &why, err) == 0)
		return 0;
	if (why == EXFULL)
		return err_set(err, ERR_FULL, "the bridge has no port left: it has room for 1023 taps");
	return -1;
}

static void add_neighbour(struct nl *nl, struct nl_batch *b, uint16_t type, unsigned bridge, uint32_t address)
{
	uint8_t mac[MAC_SIZE];
	struct ndmsg *n;
	struct nlmsghdr *h = nl_add(nl, b, type, type == RTM_NEWNEIGH ? MAKE | NLM_F_REPLACE : ACK, sizeof *n, &n);
	n->ndm_family = AF_INET;
	n->ndm_ifindex = (int)bridge;
	n->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(h, NDA_DST, htonl(address));
	net_mac(address, mac);
	if (type == RTM_NEWNEIGH)
		mnl_attr_put(h, NDA_LLADDR, sizeof mac, mac);
	else
		nl_may_fail(b);
}

static void add_forwarding(struct nl *nl, struct nl_batch *b, uint16_t type, unsigned ifindex, uint32_t address)
{
	uint8_t mac[MAC_SIZE];
	struct ndmsg *n;
	struct nlmsghdr *h = nl_add(nl, b, type, type == RTM_NEWNEIGH ? MAKE | NLM_F_REPLACE : ACK, sizeof *n, &n);
	n->ndm_family = AF_BRIDGE;
	n->ndm_ifindex = (int)ifindex;
	n->ndm_flags = NTF_MASTER;
	n->ndm_state = NUD_NOARP; /* "static": neither aged nor moved to another port */
	net_mac(address, mac);
	mnl_attr_put(h, NDA_LLADDR, sizeof mac, mac);
	if (type == RTM_DELNEIGH)
		nl_may_fail(b);
}

int link_port_address(struct nl *nl, unsigned bridge, unsigned ifindex, uint32_t before, uint32_t after,
		      struct err *err)
{
	struct nl_batch batch;

	nl_begin(nl, &batch);
	if (before) {
		add_neighbour(nl, &batch, RTM_DELNEIGH, bridge, before);
		add_forwarding(nl, &batch, RTM_DELNEIGH, ifindex, before);
	}
	if (after) {
		add_forwarding(nl, &batch, RTM_NEWNEIGH, ifindex, after);
		add_neighbour(nl, &batch, RTM_NEWNEIGH, bridge, after);
	}
	return nl_commit(nl, &batch, "addressing a tap", NULL, err);
}

static int take_port_state(const struct nlmsghdr *h, void *ctx)
{
	const struct nlattr *a = nl_attribute(h, sizeof(struct ifinfomsg), IFLA_LINKINFO);
	a = a ? nl_nested(a, IFLA_INFO_SLAVE_DATA) : NULL;
	a = a ? nl_nested(a, IFLA_BRPORT_STATE) : NULL;
	*(bool *)ctx = a && mnl_attr_get_u8(a) == BR_STATE_FORWARDING;
	return MNL_CB_STOP;
}

int link_port_forwards(struct nl *nl, unsigned ifindex, bool *out, struct err *err)
{
	struct nl_batch batch;
	*out = false;
	nl_begin(nl, &batch);
	link_message(nl, &batch, RTM_GETLINK, 0, AF_UNSPEC, ifindex, 0);
	return nl_dump(nl, &batch, take_port_state, out, err);
}

/* --- removal ----------------------------------------------------------------------------------------------------- */

/* Removing one tap takes the kernel a grace period or two; removing a group of them takes it as many. */
static int delete_group(struct nl *nl, uint32_t group, struct err *err)
{
	struct nl_batch batch;
	int why;
	nl_begin(nl, &batch);
	struct nlmsghdr *h = link_message(nl, &batch, RTM_DELLINK, ACK, AF_UNSPEC, 0, 0);
	mnl_attr_put_u32(h, IFLA_GROUP, group);
	if (nl_commit(nl, &batch, "removing taps", &why, err) < 0 && why != ENODEV)
		return -1;
	return 0;
}

int link_ports_delete(struct nl *nl, const struct net_names *names, unsigned bridge, const struct link_doomed *ports,
		      size_t n, struct err *err)
{
	struct nl_batch batch;
	int rc = 0;

	for (size_t i = 0; i < n;) {
		nl_begin(nl, &batch);
		for (unsigned k = 0; k < NL_BATCH_MESSAGES / 2 && i < n; k++, i++) {
			struct nlmsghdr *h = link_message(nl, &batch, RTM_SETLINK, ACK, AF_UNSPEC, ports[i].ifindex, 0);
			mnl_attr_put_u32(h, IFLA_GROUP, names->doomed);
			nl_may_fail(&batch); /* somebody else may have removed it */
			if (ports[i].address)
				add_neighbour(nl, &batch, RTM_DELNEIGH, bridge, ports[i].address);
		}
		rc = nl_commit(nl, &batch, "removing taps", NULL, err) < 0 ? -1 : rc;
	}
	return delete_group(nl, names->doomed, err) < 0 ? -1 : rc;
}

#define CLEAN_MAX 2048

struct found {
	const struct net_names *names;
	struct link_doomed taps[CLEAN_MAX];
	unsigned n, bridge;
	bool foreign; /* the bridge's name belongs to something else */
};

static bool is_ours(const struct net_names *names, const char *name, const char *alias)
{
	if (strcmp(alias, names->alias) == 0)
		return true;
	return strncmp(name, names->prefix, strlen(names->prefix)) == 0;
}

static int take_link(const struct nlmsghdr *h, void *ctx)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct found *f = ctx;
	const char *name = nl_text(nl_attribute(h, sizeof *i, IFLA_IFNAME));
	const char *alias = nl_text(nl_attribute(h, sizeof *i, IFLA_IFALIAS));
	bool tap = strncmp(name, f->names->tap_prefix, strlen(f->names->tap_prefix)) == 0;
	if (tap && f->n < CLEAN_MAX)
		f->taps[f->n++].ifindex = (unsigned)i->ifi_index;
	else if (!tap && is_ours(f->names, name, alias))
		f->bridge = (unsigned)i->ifi_index;
	else if (!tap && strcmp(name, f->names->bridge) == 0)
		f->foreign = true;
	return MNL_CB_OK;
}

int link_clean(struct nl *nl, const struct net_names *names, unsigned *found, struct err *err)
{
	static struct found f; /* large; called at the start and at the end only */
	struct nl_batch batch;

	memset(&f, 0, sizeof f);
	f.names = names;
	nl_begin(nl, &batch);
	link_message(nl, &batch, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC, 0, 0);
	if (nl_dump(nl, &batch, take_link, &f, err) < 0)
		return -1;
	*found = f.n + (f.bridge != 0);
	if (f.foreign)
		return err_set(err, ERR_CONFLICT,
			       "network.bridge: an interface %s is there already, and not one of this platform",
			       names->bridge);
	if (link_ports_delete(nl, names, f.bridge, f.taps, f.n, err) < 0)
		return -1;
	return f.bridge ? link_bridge_delete(nl, f.bridge, err) : 0;
}

struct subnet {
	uint32_t base, mask;
	unsigned taken_by; /* ifindex */
};

static int take_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *local = nl_attribute(h, sizeof *i, IFA_LOCAL);
	struct subnet *s = ctx;

	if (i->ifa_family != AF_INET || !local || mnl_attr_validate(local, MNL_TYPE_U32) < 0)
		return MNL_CB_OK;
	uint32_t other = ntohl(mnl_attr_get_u32(local));
	uint32_t wide = s->mask & (i->ifa_prefixlen ? ~0u << (32 - i->ifa_prefixlen) : 0); /* the larger network */
	if ((other & wide) == (s->base & wide))
		s->taken_by = i->ifa_index;
	return MNL_CB_OK;
}

int link_subnet_free(struct nl *nl, uint32_t base, unsigned prefix, struct err *err)
{
	struct subnet s = { .base = base, .mask = ~0u << (32 - prefix) };
	char name[IFNAMSIZ] = "?", text[16];
	struct nl_batch batch;
	struct ifaddrmsg *a;

	nl_begin(nl, &batch);
	nl_add(nl, &batch, RTM_GETADDR, NLM_F_DUMP, sizeof *a, &a);
	a->ifa_family = AF_INET;
	if (nl_dump(nl, &batch, take_address, &s, err) < 0)
		return -1;
	if (!s.taken_by)
		return 0;
	if_indextoname(s.taken_by, name);
	return err_set(err, ERR_CONFLICT,
		       "network.subnet: addresses of %s/%u are on interface %s already; choose another subnet",
		       net_ipv4_text(base, text), prefix, name);
}
