/* SPDX-License-Identifier: MIT */
#include "net/maker.h"

#include <linux/netlink.h>
#include <time.h>
#include <unistd.h>

#include "lib/names.h"
#include "lib/sock.h"
#include "net/net.h"
#include "net/plan.h"
#include "net/tap.h"

#define FORWARDS_TRIES 100
#define FORWARDS_WAIT_NS 100000

/* The kernel opens a port a little after its tap has a descriptor again; frames sent before that would be lost. */
static int await_forwarding(struct nl *nl, struct job *job)
{
	static const struct timespec wait = { .tv_nsec = FORWARDS_WAIT_NS };
	for (int i = 0; i < FORWARDS_TRIES; i++) {
		bool forwards;
		if (link_port_forwards(nl, job->ifindex, &forwards, &job->err) < 0)
			return -1;
		if (forwards)
			return 0;
		nanosleep(&wait, NULL);
	}
	return err_set(&job->err, ERR_INTERNAL, "tap %s: its port does not come up", job->name);
}

int maker_make(struct nl *nl, const struct net_names *names, unsigned bridge, struct job *job)
{
	job->fd = tap_create(job->name, &job->ifindex, &job->err);
	if (job->fd < 0)
		return -1;
	if (link_port_attach(nl, names, bridge, job->ifindex, &job->err) == 0 &&
	    link_port_address(nl, bridge, job->ifindex, 0, job->after, &job->err) == 0 &&
	    await_forwarding(nl, job) == 0)
		return 0;
	const struct link_doomed half = { job->ifindex, job->after };
	struct err ignored;
	sock_close(&job->fd);
	link_ports_delete(nl, names, bridge, &half, 1, &ignored);
	return -1;
}

int maker_recycle(struct nl *nl, unsigned bridge, struct job *job)
{
	if (job->fd < 0) {
		job->fd = tap_attach(job->name, &job->err);
		if (job->fd < 0)
			return -1;
		if (job->reown && tap_lend(job->fd, geteuid(), getegid(), &job->err) < 0)
			return -1;
	}
	if (link_port_address(nl, bridge, job->ifindex, job->before, job->after, &job->err) < 0)
		return -1;
	return job->after ? await_forwarding(nl, job) : 0;
}

static int lend(struct job *job)
{
	int rc = tap_lend(job->fd, job->uid, job->gid, &job->err);
	sock_close(&job->fd);
	return rc;
}

static void work(uv_work_t *w)
{
	struct net *n = w->data;
	struct job *job = &n->maker.job;
	uint64_t start = clock_ns();

	switch (job->kind) {
	case JOB_MAKE:
		job->rc = maker_make(&n->maker.nl, &n->names, n->bridge.ifindex, job);
		break;
	case JOB_RECYCLE:
		job->rc = maker_recycle(&n->maker.nl, n->bridge.ifindex, job);
		break;
	case JOB_LEND:
		job->rc = lend(job);
		break;
	case JOB_REMOVE:
		job->rc = link_ports_delete(&n->maker.nl, &n->names, n->bridge.ifindex, job->doomed, job->ndoomed,
					    &job->err);
		break;
	}
	job->us = (clock_ns() - start) / 1000;
}

static void done(uv_work_t *w, int status)
{
	struct net *n = w->data;
	(void)status; /* never cancelled */
	n->maker.busy = false;
	plan_done(n, &n->maker.job);
}

int maker_start(struct net *n, struct err *err)
{
	n->maker.work.data = n;
	return nl_open(&n->maker.nl, NETLINK_ROUTE, err);
}

void maker_run(struct net *n)
{
	n->maker.busy = true;
	uv_queue_work(&n->loop, &n->maker.work, work, done);
}

void maker_end(struct net *n)
{
	nl_close(&n->maker.nl);
}
