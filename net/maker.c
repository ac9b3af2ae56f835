/* SPDX-License-Identifier: MIT */
#include "net/maker.h"

#include <linux/netlink.h>

#include "lib/names.h"
#include "lib/sock.h"
#include "net/net.h"
#include "net/plan.h"
#include "net/tap.h"

static int lend(struct job *job)
{
	int rc = tap_lend(job->port.fd, job->uid, job->gid, &job->err);
	sock_close(&job->port.fd);
	return rc;
}

static void work(uv_work_t *w)
{
	struct net *n = w->data;
	struct job *job = &n->maker.job;
	uint64_t start = clock_ns();

	switch (job->kind) {
	case JOB_MAKE:
		job->rc = port_make(&n->maker.nl, &n->names, n->bridge.ifindex, &job->port, &job->err);
		break;
	case JOB_RECYCLE:
		job->rc = port_recycle(&n->maker.nl, n->bridge.ifindex, &job->port, &job->err);
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
