// SPDX-License-Identifier: MIT
#include "store/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "store/instance.h"

#define PACKETS_AT_ONCE 64

struct answer { /* that vmmd has not taken yet */
	struct attach_message m;
	TAILQ_ENTRY(answer) link;
};

struct peer { /* the connection to vmmd */
	uv_poll_t poll;
	struct attach *owner;
	int fd;
	TAILQ_HEAD(, answer) answers;
};

struct attach {
	uv_poll_t listener;
	int fd;
	struct store *store;
	struct peer *peer; /* NULL: no vmmd */
	struct taint_table *table;
	struct instance *instance[TAINT_SLOTS]; /* by slot */
	unsigned ninstances;
	unsigned handles; /* that keep this structure alive */
	bool stopping;
};

static void handle_gone(struct attach *a)
{
	if (--a->handles || !a->stopping)
		return;
	free(a);
}

static void drop_table(struct attach *a)
{
	if (a->table)
		munmap(a->table, sizeof *a->table);
	a->table = NULL;
}

static void on_instance_gone(struct instance *i)
{
	struct attach *a = i->ctx;
	if (a->instance[i->slot_at] == i) {
		a->instance[i->slot_at] = NULL;
		a->ninstances--;
	}
}

static void on_peer_closed(uv_handle_t *handle)
{
	struct peer *p = handle->data;
	struct answer *w;
	while ((w = TAILQ_FIRST(&p->answers))) {
		TAILQ_REMOVE(&p->answers, w, link);
		free(w);
	}
	close(p->fd);
	handle_gone(p->owner);
	free(p);
}

/* Instances first: after that nothing points into the table. */
static void peer_close(struct peer *p, const char *why)
{
	struct attach *a = p->owner;
	if (uv_is_closing((uv_handle_t *)&p->poll))
		return;
	if (why)
		log_warn("vmmd is disconnected: %s", why);
	for (size_t i = 0; i < TAINT_SLOTS; i++)
		if (a->instance[i])
			instance_close(a->instance[i]);
	drop_table(a);
	a->peer = NULL;
	uv_poll_stop(&p->poll);
	shutdown(p->fd, SHUT_RDWR);
	uv_close((uv_handle_t *)&p->poll, on_peer_closed);
}

/* ---- Messages ---- */

static int take_table(struct attach *a, int fd, struct err *err)
{
	struct stat st;
	if (a->table)
		return err_set(err, ERR_INVALID, "a second taint table");
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof *a->table)
		return err_set(err, ERR_INVALID, "no taint table of the right size");
	void *at = mmap(NULL, sizeof *a->table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_errno(err, ERR_INVALID, "the taint table cannot be mapped");
	a->table = at;
	return 0;
}

/* An instance that is refused is closed, which its tender and so vmmd will see; the others live on. */
static int take_instance(struct attach *a, const struct attach_message *m, int *fd, struct err *err)
{
	struct err why;
	if (!a->table)
		return err_set(err, ERR_INVALID, "an instance before the taint table");
	if (m->slot >= TAINT_SLOTS || a->instance[m->slot])
		return err_set(err, ERR_INVALID, "a slot that is not free");
	if (!uuid_valid(m->uuid) || *fd < 0)
		return err_set(err, ERR_INVALID, "an instance without a UUID or a socket");
	struct instance *i = instance_new(a->store, m, &a->table->slot[m->slot], *fd, on_instance_gone, a, &why);
	*fd = -1;
	if (!i) {
		log_warn("instance %s of %s gets no store: %s", m->uuid, m->app, why.text);
		return 0;
	}
	a->instance[m->slot] = i;
	a->ninstances++;
	return 0;
}

static void flush_answers(struct peer *p)
{
	struct answer *w;
	while ((w = TAILQ_FIRST(&p->answers))) {
		if (sock_send_fds(p->fd, &w->m, sizeof w->m, NULL, 0) < 0) {
			if (errno != EAGAIN && errno != ENOBUFS)
				peer_close(p, strerror(errno));
			return;
		}
		TAILQ_REMOVE(&p->answers, w, link);
		free(w);
	}
}

static int release_slot(struct attach *a, const struct attach_message *m, struct err *err)
{
	struct answer *w = calloc(1, sizeof *w);
	if (!w || m->slot >= TAINT_SLOTS) {
		free(w);
		return err_set(err, ERR_INVALID, "a slot that there is not");
	}
	struct instance *i = a->instance[m->slot];
	if (i && !strcmp(i->monitor.uuid, m->uuid))
		instance_close(i);
	w->m.type = ATTACH_RELEASED;
	w->m.slot = m->slot;
	memcpy(w->m.uuid, m->uuid, sizeof w->m.uuid);
	TAILQ_INSERT_TAIL(&a->peer->answers, w, link);
	flush_answers(a->peer);
	return 0;
}

static int handle(struct attach *a, const struct attach_message *m, int *fds, struct err *err)
{
	switch (m->type) {
	case ATTACH_TABLE:
		return take_table(a, fds[0], err);
	case ATTACH_INSTANCE:
		return take_instance(a, m, &fds[0], err);
	case ATTACH_GONE:
		return release_slot(a, m, err);
	default:
		return err_set(err, ERR_INVALID, "a message of the wrong direction");
	}
}

/* One packet; false when there is none left, or the peer is gone. */
static bool receive(struct peer *p)
{
	struct attach *a = p->owner;
	struct attach_message m;
	int fds[SOCK_FDS_MAX];
	struct err err = { 0 };
	ssize_t n = sock_recv_fds(p->fd, &m, sizeof m, fds);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0 || !attach_valid(&m, (size_t)n))
		err_set(&err, ERR_INVALID, n == 0 ? "it closed the connection" : "a malformed message");
	else
		handle(a, &m, fds, &err);
	for (size_t i = 0; i < SOCK_FDS_MAX; i++)
		sock_close(&fds[i]);
	if (err.kind != ERR_NONE)
		peer_close(p, err.text);
	return a->peer == p;
}

static void on_peer(uv_poll_t *poll, int status, int events);

static void watch(struct peer *p)
{
	int events = UV_READABLE | UV_DISCONNECT | (TAILQ_EMPTY(&p->answers) ? 0 : UV_WRITABLE);
	uv_poll_start(&p->poll, events, on_peer);
}

static void on_peer(uv_poll_t *poll, int status, int events)
{
	struct peer *p = poll->data;
	struct attach *a = p->owner;
	if (status < 0) {
		peer_close(p, "the socket failed");
		return;
	}
	if (events & UV_WRITABLE)
		flush_answers(p);
	for (int i = 0; a->peer == p && i < PACKETS_AT_ONCE && receive(p); i++)
		;
	if (a->peer == p)
		watch(p);
}

/* ---- Connections ---- */

static int peer_new(struct attach *a, int fd, struct err *err)
{
	if (sock_check_peer(fd, NULL, err) < 0)
		return -1;
	if (a->peer)
		return err_set(err, ERR_CONFLICT, "a vmmd is connected already");
	struct peer *p = calloc(1, sizeof *p);
	if (!p || uv_poll_init(a->store->loop, &p->poll, fd) < 0) {
		free(p);
		return err_set(err, ERR_INTERNAL, "the socket cannot be watched");
	}
	TAILQ_INIT(&p->answers);
	p->owner = a;
	p->fd = fd;
	p->poll.data = p;
	a->peer = p;
	a->handles++;
	watch(p);
	return 0;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct attach *a = poll->data;
	struct err err;
	(void)events;
	int fd = status < 0 ? -1 : accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (peer_new(a, fd, &err) < 0) {
		log_warn("connection to the attach socket refused: %s", err.text);
		close(fd);
	}
}

struct attach *attach_new(struct store *s, int fd, struct err *err)
{
	struct attach *a = calloc(1, sizeof *a);
	if (!a || uv_poll_init(s->loop, &a->listener, fd) < 0) {
		err_set(err, ERR_INTERNAL, "the attach socket cannot be watched");
		free(a);
		close(fd);
		return NULL;
	}
	a->store = s;
	a->fd = fd;
	a->handles = 1;
	a->listener.data = a;
	uv_poll_start(&a->listener, UV_READABLE, on_connection);
	return a;
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct attach *a = handle->data;
	close(a->fd);
	handle_gone(a);
}

void attach_stop(struct attach *a)
{
	a->stopping = true;
	if (a->peer)
		peer_close(a->peer, NULL);
	uv_close((uv_handle_t *)&a->listener, on_listener_closed);
}

unsigned attach_instances(const struct attach *a)
{
	return a->ninstances;
}

bool attach_connected(const struct attach *a)
{
	return a->peer != NULL;
}
