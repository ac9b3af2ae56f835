/* SPDX-License-Identifier: MIT */
#include "net/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/sock.h"
#include "net/net.h"

#define MESSAGES_A_TURN 32 /* then other sockets get their turn */
#define QUEUE_MAX 4096	   /* answers that a peer has not read */

struct waiting { /* an answer that the socket had no room for */
	STAILQ_ENTRY(waiting) link;
	struct net_message m;
	int fd;
};

struct peer {
	LIST_ENTRY(peer) link;
	struct net *n;
	uv_poll_t poll;
	int fd;
	pid_t pid;
	STAILQ_HEAD(, waiting) queue;
	unsigned queued;
};

static void on_peer(uv_poll_t *poll, int status, int events);

/* --- sending ----------------------------------------------------------------------------------------------------- */

static void free_peer(uv_handle_t *h)
{
	free(h->data);
}

static void lose(struct peer *p, const char *why)
{
	struct net *n = p->n;
	struct waiting *w;

	log_info("connection of process %d ends: %s", (int)p->pid, why);
	LIST_REMOVE(p, link);
	n->peers.count--;
	while ((w = STAILQ_FIRST(&p->queue))) {
		STAILQ_REMOVE_HEAD(&p->queue, link);
		sock_close(&w->fd);
		free(w);
	}
	uv_close((uv_handle_t *)&p->poll, free_peer);
	sock_close(&p->fd);
	taps_forget(n, p);
}

/* The loss is handled from the loop, so that nobody who answers finds the peer gone under its feet. */
static void break_off(struct peer *p)
{
	p->n->metrics.faults++;
	shutdown(p->fd, SHUT_RDWR);
}

static void enqueue(struct peer *p, const struct net_message *m, int fd)
{
	struct waiting *w = p->queued < QUEUE_MAX ? malloc(sizeof *w) : NULL;
	if (!w) {
		log_warn("process %d does not read its answers: %u wait", (int)p->pid, p->queued);
		sock_close(&fd);
		break_off(p);
		return;
	}
	w->m = *m;
	w->fd = fd;
	STAILQ_INSERT_TAIL(&p->queue, w, link);
	p->queued++;
	uv_poll_start(&p->poll, UV_WRITABLE, on_peer); /* no more questions until it has read */
}

/* ETOOMANYREFS: more descriptors are on their way than the kernel allows; they will not be for long. */
static bool full(void)
{
	return errno == EAGAIN || errno == ETOOMANYREFS;
}

void peer_answer(struct peer *p, const struct net_message *m, int fd)
{
	if (!p->queued && sock_send_fds(p->fd, m, sizeof *m, &fd, fd >= 0) == 0)
		sock_close(&fd);
	else if (p->queued || full())
		enqueue(p, m, fd);
	else
		sock_close(&fd); /* broken: the loop tells us next */
}

void peer_refuse(struct peer *p, uint64_t id, const struct err *err)
{
	struct net_message m = { .type = NET_REFUSED, .id = id, .kind = err->kind };
	snprintf(m.reason, sizeof m.reason, "%.199s", err->text);
	p->n->metrics.refused++;
	peer_answer(p, &m, -1);
}

static int flush(struct peer *p)
{
	struct waiting *w;
	while ((w = STAILQ_FIRST(&p->queue))) {
		if (sock_send_fds(p->fd, &w->m, sizeof w->m, &w->fd, w->fd >= 0) < 0)
			return full() ? 0 : -1;
		STAILQ_REMOVE_HEAD(&p->queue, link);
		p->queued--;
		sock_close(&w->fd);
		free(w);
	}
	uv_poll_start(&p->poll, UV_READABLE, on_peer);
	return 0;
}

/* --- receiving --------------------------------------------------------------------------------------------------- */

/* Reads one packet. 1: taken, 0: nothing there, -1: the connection is to be given up, for *why. */
static int read_message(struct peer *p, const char **why)
{
	struct net_message m;
	bool surplus;
	ssize_t n = sock_recv_packet(p->fd, &m, sizeof m, NULL, &surplus);

	if (n < 0 && errno == EAGAIN)
		return 0;
	*why = n < 0 ? strerror(errno) : "closed";
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return -1;
	if (n < 0 || surplus || !net_valid(&m, (size_t)n) || m.type > NET_GIVE) {
		*why = "it sent a malformed message";
		p->n->metrics.faults++;
		return -1;
	}
	if (m.type == NET_GIVE)
		taps_give(p->n, p, &m);
	else
		taps_ask(p->n, p, &m);
	return 1;
}

static void on_peer(uv_poll_t *poll, int status, int events)
{
	struct peer *p = poll->data;
	const char *why = "its socket failed";
	int rc = status < 0 ? -1 : 1;

	if (rc > 0 && (events & UV_WRITABLE) && flush(p) < 0)
		rc = -1;
	for (int i = 0; i < MESSAGES_A_TURN && rc > 0 && !p->queued && !p->n->ending; i++)
		rc = read_message(p, &why);
	if (rc < 0)
		lose(p, why);
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void adopt(struct net *n, int fd, pid_t pid)
{
	struct peer *p = n->peers.count < NET_CONNECTIONS_MAX ? calloc(1, sizeof *p) : NULL;
	int size = 4 << 20; /* cut by the kernel to what it allows */

	if (!p) {
		log_warn("process %d is turned away: %u connections are open", (int)pid, n->peers.count);
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	p->n = n;
	p->fd = fd;
	p->pid = pid;
	p->poll.data = p;
	STAILQ_INIT(&p->queue);
	uv_poll_init(&n->loop, &p->poll, fd);
	LIST_INSERT_HEAD(&n->peers.list, p, link);
	n->peers.count++;
	log_info("process %d is connected", (int)pid);
	uv_poll_start(&p->poll, UV_READABLE, on_peer);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct net *n = poll->data;
	struct err err;
	pid_t pid;

	(void)events;
	int fd = status < 0 ? -1 : accept4(n->peers.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (sock_check_peer(fd, &pid, &err) < 0) {
		log_warn("a connection was refused: %s", err.text);
		close(fd);
		return;
	}
	adopt(n, fd, pid);
}

int peers_start(struct net *n, struct err *err)
{
	char path[300];

	LIST_INIT(&n->peers.list);
	n->peers.poll.data = n;
	n->peers.fd = sock_listen_unix(config_path(&n->config, "run/net.sock", path, sizeof path), SOCK_SEQPACKET, err);
	if (n->peers.fd < 0)
		return -1;
	if (uv_poll_init(&n->loop, &n->peers.poll, n->peers.fd) < 0) {
		sock_close(&n->peers.fd);
		return err_set(err, ERR_INTERNAL, "%s cannot be polled", path);
	}
	return uv_poll_start(&n->peers.poll, UV_READABLE, on_connection);
}

void peers_end(struct net *n)
{
	char path[300];
	struct peer *p;
	while ((p = LIST_FIRST(&n->peers.list)))
		lose(p, "the daemon ends");
	uv_close((uv_handle_t *)&n->peers.poll, NULL);
	sock_close(&n->peers.fd);
	unlink(config_path(&n->config, "run/net.sock", path, sizeof path));
}
