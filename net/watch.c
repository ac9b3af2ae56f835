/* SPDX-License-Identifier: MIT */
#include "net/watch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "net/net.h"

#define TABLE_CHECK_MS 2000
#define READS_A_TURN 64

/* RTM_DELLINK: family AF_BRIDGE when a port leaves its bridge, AF_UNSPEC when a link is gone. */
static int take_event(const struct nlmsghdr *h, void *ctx)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct net *n = ctx;

	if (h->nlmsg_type != RTM_DELLINK || mnl_nlmsg_get_payload_len(h) < sizeof *i || n->ending)
		return MNL_CB_OK;
	if ((unsigned)i->ifi_index == n->bridge.ifindex && i->ifi_family == AF_UNSPEC) {
		net_fail(n, "the bridge %s was removed by somebody else", n->names.bridge);
		return MNL_CB_OK;
	}
	struct tap *t = tap_by_index(n, (unsigned)i->ifi_index);
	if (!t || t->state == TAP_DOOMED)
		return MNL_CB_OK;
	if (n->maker.busy && n->maker.job.tap == t)
		t->lost = true; /* plan_done() sees to it */
	else
		tap_lost(n, t, "it was removed, or taken off the bridge, by somebody else");
	return MNL_CB_OK;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	_Alignas(8) char bytes[32768];
	struct net *n = poll->data;

	(void)events;
	for (int i = 0; status == 0 && i < READS_A_TURN && !n->ending; i++) {
		ssize_t got = recv(mnl_socket_get_fd(n->watch.nl.sock), bytes, sizeof bytes, MSG_DONTWAIT);
		if (got < 0 && errno == ENOBUFS)
			log_warn("so much changed in the network that some of it was not seen");
		else if (got <= 0)
			return;
		else
			mnl_cb_run(bytes, (size_t)got, 0, 0, take_event, n);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct net *n = timer->data;
	struct err err;
	if (rules_check(&n->rules, &err) < 0)
		net_fail(n, "%s", err.text);
}

int watch_start(struct net *n, struct err *err)
{
	struct watch *w = &n->watch;
	int group = RTNLGRP_LINK;

	if (nl_open(&w->nl, NETLINK_ROUTE, err) < 0)
		return -1;
	if (mnl_socket_setsockopt(w->nl.sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
		return err_errno(err, ERR_INTERNAL, "watching the network");
	uv_poll_init(&n->loop, &w->poll, mnl_socket_get_fd(w->nl.sock));
	uv_timer_init(&n->loop, &w->timer);
	w->poll.data = w->timer.data = n;
	uv_poll_start(&w->poll, UV_READABLE, on_event);
	if (!n->rules.owned)
		uv_timer_start(&w->timer, on_timer, TABLE_CHECK_MS, TABLE_CHECK_MS);
	return 0;
}

void watch_end(struct net *n)
{
	uv_close((uv_handle_t *)&n->watch.poll, NULL);
	uv_close((uv_handle_t *)&n->watch.timer, NULL);
	nl_close(&n->watch.nl);
}
