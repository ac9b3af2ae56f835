/* SPDX-License-Identifier: MIT */
#include "vmmd/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/routing.h>
#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"

#define MESSAGES_A_TURN 32 /* then other sockets get their turn */
#define PARKED_MAX 1024	   /* questions waiting for images to boot */

struct waiting { /* a message that the proxy's socket had no room for */
	STAILQ_ENTRY(waiting) link;
	struct routing_message m;
	int fd;
};

struct route_peer {
	struct vmmd *v;
	uv_poll_t poll;
	int fd;
	pid_t pid;
	STAILQ_HEAD(, waiting) queue;
	unsigned queued;
};

struct parked { /* a question whose image is being booted */
	uint64_t generation;
	struct routing_message m;
};

static void on_peer(uv_poll_t *poll, int status, int events);

bool route_connected(const struct vmmd *v)
{
	return v->route.peer != NULL;
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

static void free_peer(uv_handle_t *h)
{
	free(h->data);
}

static void lose_peer(struct vmmd *v, const char *why)
{
	struct route_peer *p = v->route.peer;
	struct waiting *w;

	if (!p)
		return;
	log_info("the proxy (pid %d) is gone: %s", (int)p->pid, why);
	v->route.peer = NULL;
	v->route.generation++;
	v->route.lost_ns = clock_ns();
	while ((w = STAILQ_FIRST(&p->queue))) {
		STAILQ_REMOVE_HEAD(&p->queue, link);
		sock_close(&w->fd);
		free(w);
	}
	uv_close((uv_handle_t *)&p->poll, free_peer);
	sock_close(&p->fd);
}

/* The loss is handled from the loop, so that nobody who sends finds its connection gone under its feet. */
static void break_off(struct route_peer *p)
{
	p->v->metrics.proxy_faults++;
	shutdown(p->fd, SHUT_RDWR);
}

static void enqueue(struct route_peer *p, const struct routing_message *m, int fd)
{
	struct waiting *w = p->queued < ROUTE_QUEUE_MAX ? malloc(sizeof *w) : NULL;
	if (!w) {
		log_warn("the proxy does not read its socket: %u messages wait", p->queued);
		sock_close(&fd);
		break_off(p);
		return;
	}
	w->m = *m;
	w->fd = fd;
	STAILQ_INSERT_TAIL(&p->queue, w, link);
	p->queued++;
	uv_poll_start(&p->poll, UV_READABLE | UV_WRITABLE, on_peer);
}

/* Takes `fd` over (-1: none). ETOOMANYREFS: more descriptors are on their way than the kernel allows; they will not be
 * for long. */
static void post(struct vmmd *v, const struct routing_message *m, int fd)
{
	struct route_peer *p = v->route.peer;
	if (!p) {
		sock_close(&fd);
	} else if (p->queued || sock_send_fds(p->fd, m, sizeof *m, &fd, fd >= 0) < 0) {
		if (p->queued || errno == EAGAIN || errno == ETOOMANYREFS)
			enqueue(p, m, fd);
		else
			sock_close(&fd); /* broken: the loop tells us next */
	} else {
		sock_close(&fd);
	}
}

static int flush(struct route_peer *p)
{
	struct waiting *w;
	while ((w = STAILQ_FIRST(&p->queue))) {
		if (sock_send_fds(p->fd, &w->m, sizeof w->m, &w->fd, w->fd >= 0) < 0)
			return errno == EAGAIN || errno == ETOOMANYREFS ? 0 : -1;
		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->queued--;
		sock_close(&w->fd);
		free(w);
	}
	uv_poll_start(&p->poll, UV_READABLE, on_peer);
	return 0;
}

void route_app(struct vmmd *v, const struct app *app)
{
	struct routing_message m = { .type = ROUTING_APP };
	app_describe(v, app, &m);
	post(v, &m, -1);
}

void route_app_gone(struct vmmd *v, const char *name)
{
	struct routing_message m = { .type = ROUTING_APP_GONE };
	snprintf(m.app, sizeof m.app, "%s", name);
	post(v, &m, -1);
}

void route_gone(struct vmmd *v, const struct instance *i, const char *reason)
{
	struct routing_message m = { .type = ROUTING_GONE };
	memcpy(m.app, i->app->r.name, sizeof m.app);
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	text_visible(m.reason, sizeof m.reason, reason);
	post(v, &m, -1);
}

/* The id to answer with, 0 if nobody waits for it; it is answered from now on. */
static uint64_t take_question(const struct vmmd *v, struct route_question *asked)
{
	uint64_t id = asked->generation == v->route.generation ? asked->id : 0;
	asked->id = 0;
	return id;
}

void route_instance(struct vmmd *v, struct instance *i, int channel)
{
	uint64_t id = take_question(v, &i->asked);
	if (!route_connected(v)) {
		sock_close(&i->held);
		i->held = channel;
		return;
	}
	struct routing_message m = {
		.type = ROUTING_INSTANCE,
		.id = id,
		.age_s = (uint32_t)((clock_ns() - i->started_ns) / 1000000000ull),
		.requests = (uint32_t)i->tender->stats->requests,
		.spawn_us = i->spawn_us,
		.create_us = i->create_us,
		.bind_us = i->bind_us,
		.from_shell = i->from_shell,
		.foreign = i->external,
		.keep = i->pool != NULL,
		.ipv4 = i->net ? i->net->ipv4 : 0,
		.port = i->net ? i->app->r.port : 0,
		.flow_s = i->net ? i->net->flow_s : 0,
	};
	app_describe(v, i->app, &m);
	memcpy(m.label, i->label, sizeof m.label);
	memcpy(m.owner, i->owner, sizeof m.owner);
	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	memcpy(m.digest, i->digest, sizeof m.digest); /* its own, should the image have been replaced */
	m.has_store = i->slot != TAINT_NONE;
	m.slot = i->slot;
	post(v, &m, channel);
}

static void refuse(struct vmmd *v, uint64_t id, const struct err *err)
{
	struct routing_message m = { .type = ROUTING_REFUSED, .id = id, .kind = err->kind };
	text_visible(m.reason, sizeof m.reason, err->text);
	v->metrics.refused++;
	post(v, &m, -1);
}

void route_refuse(struct vmmd *v, struct route_question *asked, const struct err *err)
{
	uint64_t id = take_question(v, asked);
	if (id)
		refuse(v, id, err);
}

/* --- questions --------------------------------------------------------------------------------------------------- */

static void on_image(struct vmmd *v, void *ctx, const struct err *err);

static int park(struct vmmd *v, struct image *image, const struct routing_message *m, struct err *err)
{
	struct parked *q = v->route.parked < PARKED_MAX ? malloc(sizeof *q) : NULL;
	if (!q)
		return err_set(err, ERR_FULL, "%u questions wait for images to boot", v->route.parked);
	q->generation = v->route.generation;
	q->m = *m;
	v->route.parked++;
	if (image_wait(v, image, on_image, q, err) == 0)
		return 0;
	v->route.parked--;
	free(q);
	return -1;
}

static int start_needed(struct vmmd *v, const struct routing_message *m, struct err *err)
{
	struct instance_wish wish = { .label = m->label, .owner = m->owner, .id = m->id };
	struct app *app = app_find(v, m->app);
	uint64_t start = clock_ns();
	if (v->ending)
		return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
	if (!app)
		return err_set(err, ERR_NOT_FOUND, "there is no such app");
	if (instance_check(v, app, m->label, m->owner, err) < 0)
		return -1;
	if (app->image->state != IMAGE_READY)
		return park(v, app->image, m, err);
	const struct instance *i = instance_start(v, app, &wish, err);
	if (i && i->announced)
		histogram_add(&v->metrics.need, (clock_ns() - start) / 1000);
	return i ? 0 : -1;
}

static void on_need(struct vmmd *v, const struct routing_message *m)
{
	struct err err;
	if (start_needed(v, m, &err) < 0)
		refuse(v, m->id, &err);
}

static void on_image(struct vmmd *v, void *ctx, const struct err *err)
{
	struct parked *q = ctx;
	v->route.parked--;
	if (q->generation == v->route.generation && !v->ending) {
		if (err)
			refuse(v, q->m.id, err);
		else
			on_need(v, &q->m);
	}
	free(q);
}

/* An instance that is gone already is no mistake: its ROUTING_GONE and this crossed. */
static void on_stop(struct vmmd *v, const struct routing_message *m)
{
	struct instance *i = instance_find(v, m->uuid);
	char reason[PPCE_REASON_SIZE];
	if (i)
		instance_stop(i, "the proxy: %s", text_visible(reason, sizeof reason, m->reason));
}

/* Reads one packet. 1: taken, 0: nothing there, -1: the connection is to be given up, for *why. */
static int read_message(struct route_peer *p, const char **why)
{
	struct routing_message m;
	bool surplus;
	ssize_t n = sock_recv_packet(p->fd, &m, sizeof m, NULL, &surplus);

	if (n < 0 && errno == EAGAIN)
		return 0;
	*why = n < 0 ? strerror(errno) : "closed";
	if (n <= 0)
		return -1;
	if (surplus || !routing_valid(&m, (size_t)n) || m.type > ROUTING_STOP) {
		*why = "it sent a malformed message";
		p->v->metrics.proxy_faults++;
		return -1;
	}
	if (m.type == ROUTING_NEED)
		on_need(p->v, &m);
	else
		on_stop(p->v, &m);
	return 1;
}

static void on_peer(uv_poll_t *poll, int status, int events)
{
	struct route_peer *p = poll->data;
	const char *why = "its socket failed";
	int rc = status < 0 ? -1 : 1;

	if (rc > 0 && (events & UV_WRITABLE) && flush(p) < 0)
		rc = -1;
	for (int i = 0; i < MESSAGES_A_TURN && rc > 0 && (events & UV_READABLE); i++)
		rc = read_message(p, &why);
	if (rc < 0)
		lose_peer(p->v, why);
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void send_table(struct vmmd *v)
{
	struct routing_message m = { .type = ROUTING_TAINT, .slot = TAINT_NONE };
	struct err err;
	int fd = attach_table_reader(v, &err);

	if (fd >= 0) {
		post(v, &m, fd);
		return;
	}
	log_error("the proxy cannot be served: %s", err.text);
	break_off(v->route.peer);
}

static void synchronise(struct vmmd *v)
{
	struct routing_message m = { .type = ROUTING_SYNCED };
	const struct app *app;
	struct instance *i;

	send_table(v);
	TAILQ_FOREACH (app, &v->apps.list, link)
		route_app(v, app);
	INSTANCE_FOREACH (v, i) {
		if (!i->announced)
			continue;
		int fd = i->held >= 0 || i->external ? i->held : instance_rechannel(i);
		i->held = -1;
		if ((fd >= 0 || i->external) && i->state != INSTANCE_ENDING)
			route_instance(v, i, fd);
		else
			sock_close(&fd);
	}
	post(v, &m, -1);
}

static void adopt(struct vmmd *v, int fd, pid_t pid)
{
	struct route_peer *p = calloc(1, sizeof *p);
	int size = 4 << 20; /* cut by the kernel to what it allows */

	if (!p) {
		close(fd);
		return;
	}
	lose_peer(v, "a newer connection replaces it");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	p->v = v;
	p->fd = fd;
	p->pid = pid;
	p->poll.data = p;
	STAILQ_INIT(&p->queue);
	uv_poll_init(&v->loop, &p->poll, fd);
	v->route.peer = p;
	v->metrics.proxy_connects++;
	log_info("a proxy (pid %d) is connected", (int)pid);
	uv_poll_start(&p->poll, UV_READABLE, on_peer);
	synchronise(v);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct vmmd *v = poll->data;
	struct err err;
	pid_t pid;

	(void)events;
	if (status < 0)
		return;
	int fd = accept4(v->route.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (sock_check_peer(fd, &pid, &err) < 0) {
		log_warn("a connection to the routing socket was refused: %s", err.text);
		close(fd);
		return;
	}
	adopt(v, fd, pid);
}

int route_start(struct vmmd *v, struct err *err)
{
	char path[300];
	struct route *r = &v->route;

	r->lost_ns = clock_ns();
	r->fd = sock_listen_unix(config_path(&v->config, "run/vmmd-route.sock", path, sizeof path), SOCK_SEQPACKET,
				 err);
	if (r->fd < 0)
		return -1;
	r->poll.data = v;
	if (uv_poll_init(&v->loop, &r->poll, r->fd) < 0) {
		sock_close(&r->fd);
		return err_set(err, ERR_INTERNAL, "%s cannot be polled", path);
	}
	uv_poll_start(&r->poll, UV_READABLE, on_connection);
	return 0;
}

void route_end(struct vmmd *v)
{
	char path[300];
	lose_peer(v, "the daemon ends");
	uv_close((uv_handle_t *)&v->route.poll, NULL);
	sock_close(&v->route.fd);
	unlink(config_path(&v->config, "run/vmmd-route.sock", path, sizeof path));
}
