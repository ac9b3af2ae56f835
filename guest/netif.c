/* SPDX-License-Identifier: MIT
 *
 * The network interface: frames in the two rings of struct ppce_net, one host call to move them, and TCP's timers. All
 * frames go to the gateway, which is the host; all come from it. */
#include "guest/net.h"

#include <lwip/init.h>
#include <lwip/ip4.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>

enum {
	HEADER = 14,
	TYPE_IPV4 = 0x0800,
	ROUND_MAX = 4 * PPCE_NET_SLOTS, /* frames taken in one go, so that a flood cannot keep a call from returning */
};
#define TICK_NS (TCP_TMR_INTERVAL * 1000000ull)

static struct ppce_net *net; /* NULL: no network */
static struct netif interface;
static uint64_t tick_at; /* when the timers are due; 0: nothing needs them */

/* The manifest names it; that it is there says that an image can use a network. */
void ppce_network(void);
void ppce_network(void)
{
}

bool los_net_up(void)
{
	return net;
}

const struct ppce_net *los_net_page(void)
{
	return net;
}

uint32_t los_random_word(void)
{
	uint32_t r;

	los_random(&r, sizeof r);
	return r;
}

/* The host writes its counters at any time that the guest is in a call. */
static uint32_t load(const uint32_t *counter)
{
	return *(const volatile uint32_t *)counter;
}

static uint8_t *slot(unsigned ring, uint32_t n)
{
	return (uint8_t *)net + PPCE_PAGE + (ring * PPCE_NET_SLOTS + n % PPCE_NET_SLOTS) * PPCE_NET_SLOT_BYTES;
}

static bool to_send(void)
{
	return net->tx_put != load(&net->tx_taken);
}

static bool to_take(void)
{
	return net->rx_taken != load(&net->rx_put);
}

static void exchange(uint64_t wait_us)
{
	if (los_call(PPCE_CALL_NET, wait_us, 0) < 0)
		los_panic("the host has taken the network away");
}

static err_t output(struct netif *i, struct pbuf *p, const ip4_addr_t *to)
{
	(void)i;
	(void)to;
	if (p->tot_len > PPCE_NET_FRAME_MAX - HEADER)
		return ERR_BUF;
	if (net->tx_put - load(&net->tx_taken) >= PPCE_NET_SLOTS)
		exchange(0);
	if (net->tx_put - load(&net->tx_taken) >= PPCE_NET_SLOTS)
		return ERR_MEM; /* lost; TCP sends it again */
	uint8_t *frame = slot(0, net->tx_put);
	los_copy(frame, net->gateway_mac, 6);
	los_copy(frame + 6, net->mac, 6);
	frame[12] = TYPE_IPV4 >> 8;
	frame[13] = TYPE_IPV4 & 0xff;
	pbuf_copy_partial(p, frame + HEADER, p->tot_len, 0);
	net->tx_len[net->tx_put % PPCE_NET_SLOTS] = (uint16_t)(p->tot_len + HEADER);
	net->tx_put++;
	return ERR_OK;
}

static void take_frame(const uint8_t *frame, size_t len)
{
	if (len <= HEADER || len > PPCE_NET_FRAME_MAX || frame[12] != TYPE_IPV4 >> 8 || frame[13] != (TYPE_IPV4 & 0xff))
		return;
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (uint16_t)(len - HEADER), PBUF_POOL);
	if (!p)
		return;
	pbuf_take(p, frame + HEADER, (uint16_t)(len - HEADER));
	if (ip4_input(p, &interface) != ERR_OK)
		pbuf_free(p);
}

static void take_frames(void)
{
	for (unsigned n = 0; n < ROUND_MAX && to_take(); n++) {
		take_frame(slot(1, net->rx_taken), net->rx_len[net->rx_taken % PPCE_NET_SLOTS]);
		net->rx_taken++;
	}
}

/* lwIP says when a connection begins; whether one needs timers now is asked below. */
void tcp_timer_needed(void)
{
}

/* An open connection over which nothing is under way waits for frames alone: an idle instance sleeps. */
static bool resting(const struct tcp_pcb *pcb)
{
	return (pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT) && !pcb->unsent && !pcb->unacked &&
	       !pcb->ooseq && !pcb->refused_data && !(pcb->so_options & SOF_KEEPALIVE) &&
	       !(pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND | TF_RXCLOSED));
}

static bool timers_needed(void)
{
	if (tcp_tw_pcbs)
		return true;
	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (!resting(pcb))
			return true;
	return false;
}

static void run_timers(void)
{
	uint64_t now = los_monotonic_ns();

	if (tick_at && now >= tick_at) {
		tcp_tmr();
		tick_at = 0;
	}
	if (!timers_needed())
		tick_at = 0;
	else if (!tick_at)
		tick_at = now + TICK_NS;
}

void los_net_flush(void)
{
	if (!net)
		return;
	if (to_send())
		exchange(0);
	run_timers();
}

static void pump(uint64_t wait_us)
{
	exchange(wait_us);
	take_frames();
	run_timers();
	if (to_send())
		exchange(0);
}

void los_net_poll(void)
{
	if (net)
		pump(0);
}

void los_net_wait(uint64_t until)
{
	if (!net) {
		__builtin_ia32_pause();
		return;
	}
	run_timers();
	if (tick_at && tick_at < until)
		until = tick_at;
	uint64_t now = los_monotonic_ns();
	if (to_take() || until <= now)
		pump(0);
	else
		pump(until == LOS_FOREVER ? PPCE_NET_FOREVER : (until - now + 999) / 1000);
}

static err_t setup(struct netif *i)
{
	i->mtu = net->mtu < 576 || net->mtu > PPCE_NET_FRAME_MAX - HEADER ? PPCE_NET_FRAME_MAX - HEADER
									  : (uint16_t)net->mtu;
	i->output = output;
	i->flags = NETIF_FLAG_LINK_UP;
	i->name[0] = 'p';
	i->name[1] = 'p';
	return ERR_OK;
}

void los_net_start(void)
{
	struct ppce_net *page = (struct ppce_net *)los_io->net_at;

	if (!page || net)
		return;
	net = page;
	net->tx_put = load(&net->tx_taken);
	net->rx_taken = load(&net->rx_put);
	ip4_addr_t ip = { lwip_htonl(net->ipv4) }, gateway = { lwip_htonl(net->gateway) };
	uint32_t prefix = net->prefix <= 32 ? net->prefix : 32;
	ip4_addr_t mask = { lwip_htonl(prefix ? UINT32_MAX << (32 - prefix) : 0) };
	lwip_init();
	netif_add(&interface, &ip, &mask, &gateway, NULL, setup, ip4_input);
	netif_set_default(&interface);
	netif_set_up(&interface);
}
