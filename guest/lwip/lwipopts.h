/* SPDX-License-Identifier: MIT
 *
 * What of lwIP a guest has: IPv4 and TCP over one interface, by the raw API, without a heap of its own beyond fixed pools.
 * No ARP (both sides are told each other's MAC), no ICMP, UDP, fragments or IP options: the host passes none of them.
 * Sizes: about 230 KiB of memory in all, none of it touched before a network is used. */
#ifndef GUEST_LWIP_LWIPOPTS_H
#define GUEST_LWIP_LWIPOPTS_H

#include <stdint.h>

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0 /* guest/netif.c runs TCP's timers, and only while a connection needs them */
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_ICMP 0
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_TCP 1
#define IP_FORWARD 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define IP_OPTIONS_ALLOWED 0

#define MEM_ALIGNMENT 8
#define MEM_SIZE (48 * 1024) /* what is being sent */
#define MEMP_NUM_PBUF 4
#define MEMP_NUM_TCP_PCB 24
#define MEMP_NUM_TCP_PCB_LISTEN 4
#define MEMP_NUM_TCP_SEG 96
#define PBUF_POOL_SIZE 24 /* frames on their way in, and segments that wait for one before them */
#define PBUF_POOL_BUFSIZE 1536

#define TCP_MSS 1460
#define TCP_WND (6 * TCP_MSS)
#define TCP_SND_BUF (6 * TCP_MSS)
#define TCP_SND_QUEUELEN 24
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 6
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_KEEPALIVE 1
/* The other end is in the same machine, or near: the timers are finer than for the open Internet. */
#define TCP_TMR_INTERVAL 50
#define LWIP_TCP_RTO_TIME 1000
#define TCP_MSL 1000

uint32_t los_random_word(void);
#define LWIP_RAND() los_random_word()
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) los_random_word()

#define MEMCPY(to, from, len) los_copy(to, from, len)
#define SMEMCPY(to, from, len) los_copy(to, from, len)

#endif
