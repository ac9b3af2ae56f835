/* SPDX-License-Identifier: MIT */
#include "net/port.h"

#include <time.h>
#include <unistd.h>

#include "lib/sock.h"
#include "net/tap.h"

#define FORWARDS_TRIES 200
#define FORWARDS_WAIT_NS 50000

/* The kernel opens a port a little after its tap has a descriptor again; frames sent before that would be lost. */
static int await_forwarding(struct nl *nl, const struct port *p, struct err *err)
{
	static const struct timespec wait = { .tv_nsec = FORWARDS_WAIT_NS };
	for (int i = 0; i < FORWARDS_TRIES; i++) {
		bool forwards;
		if (link_port_forwards(nl, p->ifindex, &forwards, err) < 0)
			return -1;
		if (forwards)
			return 0;
		nanosleep(&wait, NULL);
	}
	return err_set(err, ERR_INTERNAL, "tap %s: its port does not come up", p->name);
}

int port_make(struct nl *nl, const struct net_names *names, unsigned bridge, struct port *p, struct err *err)
{
	p->fd = tap_create(p->name, &p->ifindex, err);
	if (p->fd < 0)
		return -1;
	if (link_port_attach(nl, names, bridge, p->ifindex, err) == 0 &&
	    link_port_address(nl, bridge, p->ifindex, 0, p->after, err) == 0 && await_forwarding(nl, p, err) == 0)
		return 0;
	const struct link_doomed half = { p->ifindex, p->after };
	struct err ignored;
	sock_close(&p->fd);
	link_ports_delete(nl, names, bridge, &half, 1, &ignored);
	return -1;
}

int port_recycle(struct nl *nl, unsigned bridge, struct port *p, struct err *err)
{
	struct err ignored;

	if (p->fd < 0) {
		p->fd = tap_attach(p->name, err);
		if (p->fd < 0)
			return -1;
		if (p->reown && tap_lend(p->fd, geteuid(), getegid(), err) < 0)
			return -1;
	}
	if (link_port_address(nl, bridge, p->ifindex, p->before, p->after, err) < 0) {
		link_port_address(nl, bridge, p->ifindex, p->after, 0, &ignored);
		return -1;
	}
	return p->after ? await_forwarding(nl, p, err) : 0;
}
