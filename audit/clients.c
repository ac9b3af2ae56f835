// SPDX-License-Identifier: MIT
//
// The socket on which records come: DIR/run/audit-log.sock. A client that breaks the protocol, or does not take its
// acknowledgements, loses its connection; nobody else notices.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/auditd.h"
#include "lib/log.h"
#include "lib/sock.h"

#define CLIENTS_MAX 64u
#define PACKETS_A_TURN 256u /* of one client, so that others are heard too */

struct client {
	TAILQ_ENTRY(client) all;
	uv_poll_t poll;
	struct auditd *daemon;
	int fd;
	unsigned pending; /* records in the batch: they point here */
	bool closed;	  /* the handle is gone; freed when pending is 0 */
	bool closing;
	struct buf acks; /* that the socket did not take yet; nothing is read meanwhile */
};

static void free_if_done(struct client *c)
{
	if (!c->closed || c->pending)
		return;
	buf_free(&c->acks);
	free(c);
}

static void on_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	close(c->fd);
	c->closed = true;
	free_if_done(c);
}

static void close_client(struct client *c)
{
	if (c->closing)
		return;
	c->closing = true;
	TAILQ_REMOVE(&c->daemon->clients, c, all);
	c->daemon->nclients--;
	uv_close((uv_handle_t *)&c->poll, on_closed);
}

/* ---- in ---- */

/* A whole packet: 1 taken, 0 no room in this turn (left where it is), -1 not of the protocol. */
static int take_packet(struct client *c, const char *bytes, size_t len)
{
	struct audit_head head;
	if (len < sizeof head)
		return -1;
	memcpy(&head, bytes, sizeof head);
	if (head.magic != AUDIT_MAGIC || head.length < 2 || head.length > AUDIT_RECORD_MAX ||
	    head.length != len - sizeof head)
		return -1;
	if (!commit_add(c->daemon, c, head.id, bytes + sizeof head, head.length))
		return 0;
	c->pending++;
	return 1;
}

/* 1: go on; 0: nothing more now; -1: close. */
static int read_packet(struct client *c)
{
	static char bytes[sizeof(struct audit_head) + AUDIT_RECORD_MAX];
	struct auditd *d = c->daemon;
	bool gift;
	if (d->waiting == BATCH_RECORDS || d->lines.len + AUDIT_LINE_MAX + 1 > BATCH_BYTES)
		return 0;
	ssize_t n = sock_recv_packet(c->fd, bytes, sizeof bytes, NULL, &gift);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	return n == 0 || gift ? -1 : take_packet(c, bytes, (size_t)n);
}

static bool send_acks(struct client *c);

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct client *c = poll->data;
	int more = 1;
	if (status < 0) {
		close_client(c);
		return;
	}
	if ((events & UV_WRITABLE) && !send_acks(c))
		return;
	for (unsigned i = 0; (events & UV_READABLE) && more > 0 && i < PACKETS_A_TURN && !c->acks.len; i++)
		more = read_packet(c);
	if (more < 0)
		close_client(c);
}

/* ---- out ---- */

/* False when the client is closed. */
static bool send_acks(struct client *c)
{
	const size_t one = sizeof(struct audit_ack);
	size_t at = 0;
	while (at < c->acks.len && sock_send_fds(c->fd, c->acks.data + at, one, NULL, 0) == 0)
		at += one;
	bool dead = at < c->acks.len && errno != EAGAIN && errno != EWOULDBLOCK;
	buf_consume(&c->acks, at);
	if (dead) {
		close_client(c);
		return false;
	}
	uv_poll_start(&c->poll, c->acks.len ? UV_WRITABLE : UV_READABLE, on_ready);
	return true;
}

void client_answer(struct client *c, uint64_t id, enum audit_status status, uint64_t seq)
{
	struct audit_ack ack = { .magic = AUDIT_MAGIC, .status = status, .id = id };
	ack.seq = status == AUDIT_WRITTEN ? seq : 0;
	c->pending--;
	if (c->closing) {
		free_if_done(c);
		return;
	}
	buf_append(&c->acks, &ack, sizeof ack);
	if (c->pending)
		return;
	if (c->acks.failed)
		close_client(c);
	else
		send_acks(c);
}

/* ---- begin and end ---- */

static void greet(struct auditd *d, int fd)
{
	struct err why = { 0 };
	struct client *c = NULL;
	if (d->nclients == CLIENTS_MAX)
		err_set(&why, ERR_FULL, "there are %u clients already", CLIENTS_MAX);
	else if (sock_check_peer(fd, NULL, &why) == 0 && !(c = calloc(1, sizeof *c)))
		err_set(&why, ERR_INTERNAL, "out of memory");
	if (!c || uv_poll_init(d->loop, &c->poll, fd) < 0) {
		log_warn("a client was turned away: %s", why.text);
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	c->daemon = d;
	c->poll.data = c;
	c->acks.cap = BATCH_RECORDS * sizeof(struct audit_ack);
	TAILQ_INSERT_TAIL(&d->clients, c, all);
	d->nclients++;
	uv_poll_start(&c->poll, UV_READABLE, on_ready);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct auditd *d = poll->data;
	(void)status;
	(void)events;
	int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		greet(d, fd);
}

static void on_after_poll(uv_check_t *check)
{
	commit_run(check->data);
}

int clients_start(struct auditd *d, struct err *err)
{
	char path[512];
	TAILQ_INIT(&d->clients);
	d->lines.cap = BATCH_BYTES;
	d->listener =
		sock_listen_unix(config_path(&d->config, "run/audit-log.sock", path, sizeof path), SOCK_SEQPACKET, err);
	return d->listener < 0 ? -1 : 0;
}

void clients_run(struct auditd *d)
{
	uv_poll_init(d->loop, &d->accept, d->listener);
	uv_check_init(d->loop, &d->after_poll);
	d->accept.data = d->after_poll.data = d;
	uv_poll_start(&d->accept, UV_READABLE, on_connection);
	uv_check_start(&d->after_poll, on_after_poll);
}

void clients_end(struct auditd *d)
{
	struct client *c;
	commit_run(d);
	while ((c = TAILQ_FIRST(&d->clients)))
		close_client(c);
	uv_close((uv_handle_t *)&d->accept, NULL);
	uv_close((uv_handle_t *)&d->after_poll, NULL);
}
