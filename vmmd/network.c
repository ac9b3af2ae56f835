/* SPDX-License-Identifier: MIT */
#include "vmmd/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/sock.h"
#include "vmmd/sinks.h"
#include "vmmd/vmmd.h"

#define RETRY_MS 250
#define MESSAGES_A_TURN 32 /* then other sockets get their turn */

struct network_question {
	LIST_ENTRY(network_question) link;
	struct instance *instance; /* NULL: it ended meanwhile; a tap that comes goes back */
	network_taken_fn *done;
	uint64_t id;
	bool named;
	char uuid[PPCE_UUID_SIZE];
};

struct network_waiting {
	STAILQ_ENTRY(network_waiting) link;
	struct net_message m;
};

static void on_poll(uv_poll_t *poll, int status, int events);

bool network_connected(const struct vmmd *v)
{
	return v->network.fd >= 0;
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

/* A broken socket is the loop's affair, so that nobody who asks finds the connection gone under its feet. */
static void post(struct network *n, const struct net_message *m)
{
	if (STAILQ_EMPTY(&n->queue) && (sock_send_fds(n->fd, m, sizeof *m, NULL, 0) == 0 || errno != EAGAIN))
		return;
	struct network_waiting *w = malloc(sizeof *w);
	if (!w) {
		shutdown(n->fd, SHUT_RDWR);
		return;
	}
	w->m = *m;
	STAILQ_INSERT_TAIL(&n->queue, w, link); /* bounded by the instances: a question and an end of each */
	uv_poll_start(n->poll, UV_READABLE | UV_WRITABLE, on_poll);
}

static void flush(struct network *n)
{
	struct network_waiting *w;
	while ((w = STAILQ_FIRST(&n->queue))) {
		if (sock_send_fds(n->fd, &w->m, sizeof w->m, NULL, 0) < 0 && errno == EAGAIN)
			return;
		STAILQ_REMOVE_HEAD(&n->queue, link);
		free(w);
	}
	uv_poll_start(n->poll, UV_READABLE, on_poll);
}

static void give_back(struct network *n, const char *uuid)
{
	struct net_message m = { .type = NET_GIVE, .id = ++n->last_id };
	if (n->fd < 0) /* then ppce-net has taken back everything */
		return;
	memcpy(m.uuid, uuid, sizeof m.uuid);
	post(n, &m);
}

/* --- questions --------------------------------------------------------------------------------------------------- */

static struct network_question *ask(struct network *n, struct instance *i, network_taken_fn *done)
{
	struct network_question *q = calloc(1, sizeof *q);
	if (!q)
		return NULL;
	q->instance = i;
	q->done = done;
	q->id = ++n->last_id;
	memcpy(q->uuid, i->uuid, sizeof q->uuid);
	LIST_INSERT_HEAD(&n->questions, q, link);
	n->asked++;
	i->net->question = q;
	return q;
}

int network_take(struct vmmd *v, struct instance *i, const struct network_wish *wish, network_taken_fn *done,
		 struct err *err)
{
	struct network *n = &v->network;
	if (!v->config.network.enabled)
		return err_set(err, ERR_UNAVAILABLE,
			       "app %s needs a network: set network.enabled: true in ppce.yaml and start again",
			       i->app->r.name);
	if (n->fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "app %s needs a tap, and ppce-net is not connected",
			       i->app->r.name);
	struct network_question *q = ask(n, i, done);
	if (!q)
		return err_set(err, ERR_INTERNAL, "out of memory");
	struct net_message m = { .type = wish->named ? NET_TAKE_NAMED : NET_TAKE,
				 .id = q->id,
				 .fresh = wish->fresh,
				 .uid = wish->uid,
				 .gid = wish->gid };
	q->named = wish->named;
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	memcpy(m.label, i->label, sizeof m.label);
	memcpy(m.sinks, wish->sinks, sizeof m.sinks);
	post(n, &m);
	return 0;
}

void network_release(struct vmmd *v, struct instance *i)
{
	struct instance_net *net = i->net;
	if (net && net->question)
		net->question->instance = NULL;
	if (net && net->held) {
		v->network.taps--;
		give_back(&v->network, i->uuid);
	}
	if (net) {
		net->question = NULL;
		net->held = false;
	}
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* Takes the question out of the list; its instance, or NULL if that has ended. */
static struct instance *settle(struct network *n, struct network_question *q)
{
	LIST_REMOVE(q, link);
	n->asked--;
	if (q->instance)
		q->instance->net->question = NULL;
	return q->instance;
}

static void answer_refused(struct vmmd *v, struct network_question *q, enum err_kind kind, const char *reason)
{
	struct err err;
	struct instance *i = settle(&v->network, q);
	err_set(&err, kind > ERR_NONE && kind < ERR_KINDS ? kind : ERR_INTERNAL, "no tap: %s", reason);
	if (i)
		q->done(i, NULL, &err);
	free(q);
}

/* Takes `fd` over. */
static void answer_taken(struct vmmd *v, struct network_question *q, const struct net_message *m, int fd)
{
	struct network *n = &v->network;
	struct network_tap tap = { .taken = *m, .tap = fd };
	struct instance *i = settle(n, q);

	if (i) {
		i->net->held = true;
		i->net->from_pool = m->from_pool != 0;
		i->net->ipv4 = m->ipv4;
		i->net->flow_s = m->flow_s;
		memcpy(i->net->name, m->name, sizeof i->net->name);
		n->taps++;
		if (m->from_pool)
			v->metrics.taps_pool++;
		else
			v->metrics.taps_fresh++;
		histogram_add(&v->metrics.tap, m->took_us);
		q->done(i, &tap, NULL);
	} else {
		sock_close(&fd);
		give_back(n, q->uuid);
	}
	free(q);
}

static bool is_usable(const struct network_question *q, const struct net_message *m, int fd)
{
	static const uint8_t nobody[6];
	return strcmp(m->uuid, q->uuid) == 0 && (fd >= 0) == !q->named && m->name[0] && m->ipv4 && m->gateway &&
	       m->prefix >= 16 && m->prefix <= 29 && m->mtu >= 576 && m->mtu <= 65535 &&
	       memcmp(m->mac, nobody, 6) != 0 && memcmp(m->gateway_mac, nobody, 6) != 0;
}

static void take_lost(struct vmmd *v, const struct net_message *m)
{
	struct instance *i = instance_find(v, m->uuid);
	if (!i || !i->net || !i->net->held) /* it has ended, and this and our NET_GIVE crossed */
		return;
	i->net->held = false;
	v->network.taps--;
	instance_stop(i, "its tap was taken away: %s", m->reason);
}

/* Takes `fd` over (-1: none). False: that was no answer that can be. */
static bool take_message(struct vmmd *v, const struct net_message *m, int fd)
{
	struct network_question *q;
	LIST_FOREACH (q, &v->network.questions, link)
		if (q->id == m->id)
			break;
	if (m->type == NET_TAKEN && q && is_usable(q, m, fd)) {
		answer_taken(v, q, m, fd);
		return true;
	}
	bool known = m->type == NET_LOST || m->type == NET_GIVEN || m->type == NET_REFUSED;
	bool surplus = fd >= 0;
	sock_close(&fd);
	if (!known || surplus || (m->type == NET_GIVEN && q))
		return false;
	if (m->type == NET_LOST)
		take_lost(v, m);
	else if (m->type == NET_REFUSED && q)
		answer_refused(v, q, m->kind, m->reason);
	else if (m->type == NET_REFUSED)
		log_debug("ppce-net took no tap back: %s", m->reason);
	return true;
}

/* --- the connection ---------------------------------------------------------------------------------------------- */

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void disconnect(struct network *n)
{
	struct network_waiting *w;
	if (n->poll)
		uv_close((uv_handle_t *)n->poll, free_handle);
	n->poll = NULL;
	sock_close(&n->fd);
	while ((w = STAILQ_FIRST(&n->queue))) {
		STAILQ_REMOVE_HEAD(&n->queue, link);
		free(w);
	}
}

static void try_connect(uv_timer_t *timer);

static void lose(struct vmmd *v, const char *why)
{
	struct network *n = &v->network;
	struct network_question *q;
	struct instance *i;

	log_warn("ppce-net is gone (%s): instances with taps end", why);
	disconnect(n);
	while ((q = LIST_FIRST(&n->questions)))
		answer_refused(v, q, ERR_UNAVAILABLE, "ppce-net is gone");
	INSTANCE_FOREACH (v, i) {
		if (!i->net || !i->net->held)
			continue;
		i->net->held = false;
		n->taps--;
		instance_stop(i, "ppce-net is gone, and the instance's tap with it");
	}
	uv_timer_start(&n->retry, try_connect, RETRY_MS, 0);
}

/* Reads one packet. 1: taken, 0: nothing there, -1: the connection is to be given up, for *why. */
static int read_message(struct vmmd *v, const char **why)
{
	struct net_message m;
	int fd;
	bool surplus;
	ssize_t size = sock_recv_packet(v->network.fd, &m, sizeof m, &fd, &surplus);

	if (size < 0 && errno == EAGAIN)
		return 0;
	*why = size < 0 ? strerror(errno) : "closed";
	if (size <= 0)
		return -1;
	if (surplus || !net_valid(&m, (size_t)size))
		sock_close(&fd);
	else if (take_message(v, &m, fd))
		return 1;
	*why = "it sent a malformed message";
	return -1;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct vmmd *v = poll->data;
	const char *why = "its socket failed";
	int rc = status < 0 ? -1 : 1;

	for (int i = 0; i < MESSAGES_A_TURN && rc > 0 && (events & UV_READABLE); i++)
		rc = read_message(v, &why);
	if (rc < 0)
		lose(v, why);
	else if (events & UV_WRITABLE)
		flush(&v->network);
}

static int start_connection(struct vmmd *v, struct err *err)
{
	struct network *n = &v->network;
	char path[300];

	n->fd = sock_connect_unix(config_path(&v->config, "run/net.sock", path, sizeof path), SOCK_SEQPACKET, err);
	if (n->fd < 0 || sock_check_peer(n->fd, NULL, err) < 0)
		return -1;
	n->poll = malloc(sizeof *n->poll);
	if (!n->poll)
		return err_set(err, ERR_INTERNAL, "out of memory");
	if (uv_poll_init(&v->loop, n->poll, n->fd) < 0) {
		free(n->poll);
		n->poll = NULL;
		return err_set(err, ERR_INTERNAL, "%s cannot be polled", path);
	}
	n->poll->data = v;
	uv_poll_start(n->poll, UV_READABLE, on_poll);
	return 0;
}

static void try_connect(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	struct network *n = &v->network;
	struct err err;

	if (start_connection(v, &err) < 0) {
		if (!n->missing_logged)
			log_info("no ppce-net yet, so apps with taps do not start; trying on: %s", err.text);
		n->missing_logged = true;
		disconnect(n);
		uv_timer_start(&n->retry, try_connect, RETRY_MS, 0);
		return;
	}
	n->missing_logged = false;
	log_info("connected to ppce-net");
}

/* --- start and end ----------------------------------------------------------------------------------------------- */

int network_start(struct vmmd *v, struct err *err)
{
	struct network *n = &v->network;

	n->fd = -1;
	LIST_INIT(&n->questions);
	STAILQ_INIT(&n->queue);
	uv_timer_init(&v->loop, &n->retry);
	n->retry.data = v;
	if (!v->config.network.enabled)
		return 0;
	if (sinks_check_labels(v->policy, &v->config, err) < 0)
		return -1;
	try_connect(&n->retry);
	return 0;
}

void network_end(struct vmmd *v)
{
	struct network *n = &v->network;
	struct network_question *q;

	disconnect(n);
	while ((q = LIST_FIRST(&n->questions))) {
		settle(n, q);
		free(q);
	}
	uv_close((uv_handle_t *)&n->retry, NULL);
}

/* --- what an instance gets --------------------------------------------------------------------------------------- */

/* Where an instance may send to is on record before it exists. Waits for the log: only apps with sinks do. */
static int record(struct vmmd *v, const struct instance *i, const char *sink, bool allowed, enum flow_rule rule,
		  struct err *err)
{
	const struct audit_record r = { .event = "egress",
					.actor = i->owner,
					.app = i->app->r.name,
					.image = i->digest,
					.instance = i->uuid,
					.object = sink,
					.label = i->label,
					.allowed = allowed,
					.rule = flow_rule_name(rule) };
	return audit_write(v->audit, &r, err);
}

static int record_grant(struct vmmd *v, const struct instance *i, const struct sinks_grant *grant, struct err *err)
{
	for (unsigned s = 0; s < grant->ngranted; s++)
		if (record(v, i, grant->granted[s], true, FLOW_R6_EGRESS, err) < 0)
			return -1;
	for (unsigned s = 0; s < grant->nrefused; s++)
		if (record(v, i, grant->refused[s].name, false, grant->refused[s].verdict.rule, err) < 0)
			return -1;
	return 0;
}

int network_grant(struct vmmd *v, struct instance *i, const char *wanted, struct err *err)
{
	struct sinks_grant grant;
	if (sinks_judge(v->policy, &v->config, wanted, i->label, &grant, err) < 0)
		return err_prefix(err, "app %s", i->app->r.name);
	if (record_grant(v, i, &grant, err) < 0)
		return -1;
	sinks_list(&grant, i->net->sinks);
	i->net->hears = grant.hears;
	for (unsigned s = 0; s < grant.nrefused; s++)
		event_add(&v->events, "sink-withheld", i->app->r.name, i->uuid, "%s, by %s: %s", grant.refused[s].name,
			  flow_rule_name(grant.refused[s].verdict.rule), grant.refused[s].verdict.why);
	return 0;
}

void network_describe(const struct vmmd *v, const struct network_tap *tap, unsigned port, const char *sinks,
		      struct control_net *out)
{
	const struct net_message *m = &tap->taken;
	out->ipv4 = m->ipv4;
	out->prefix = m->prefix;
	out->gateway = m->gateway;
	out->mtu = m->mtu;
	memcpy(out->mac, m->mac, sizeof out->mac);
	memcpy(out->gateway_mac, m->gateway_mac, sizeof out->gateway_mac);
	out->port = (uint16_t)port;
	sinks_describe(&v->config, sinks, out);
}
