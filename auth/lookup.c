// SPDX-License-Identifier: MIT
#include "auth/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/sessions.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"

#define PACKETS_AT_ONCE 64  /* of one peer before the others get their turn */
#define PACKETS_WAITING 256 /* that a peer has not taken yet; more: disconnected */

struct packet {
	struct session_message m;
	struct packet *next;
};

struct peer {
	uv_poll_t poll;
	struct lookup *owner;
	int fd;
	unsigned slot;
	struct packet *out, **out_tail;
	unsigned waiting;
};

/* A revocation that some peers have still to acknowledge. */
struct revocation {
	uv_timer_t timer;
	struct lookup *owner;
	uint64_t id;
	uint64_t peers; /* bit per slot */
	void (*done)(void *ctx);
	void *ctx;
	struct revocation *next;
};

struct lookup {
	uv_poll_t listener;
	int fd;
	uv_loop_t *loop;
	struct db *db;
	const struct policy *policy;
	struct peer *peers[LOOKUP_PEERS];
	unsigned npeers;
	struct revocation *revocations;
	uint64_t last_id, answered;
	int64_t logged;	  /* last second in which a refused session was logged */
	unsigned handles; /* open ones that keep this structure alive */
	bool stopping;
};

static void peer_close(struct peer *p, const char *why);

/* ---- Revocations ---- */

static void handle_gone(struct lookup *l)
{
	if (!--l->handles && l->stopping)
		free(l);
}

static void on_revocation_closed(uv_handle_t *h)
{
	struct revocation *r = h->data;
	struct lookup *l = r->owner;

	free(r);
	handle_gone(l);
}

static void revocation_finish(struct revocation *r)
{
	struct revocation **at = &r->owner->revocations;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	uv_close((uv_handle_t *)&r->timer, on_revocation_closed);
	if (r->done)
		r->done(r->ctx);
}

/* The peer owes nothing for these any more: for all of them (id 0) when it is gone, else for the one it confirmed. */
static void settle(struct lookup *l, const struct peer *p, uint64_t id)
{
	struct revocation *r = l->revocations, *next;

	for (; r; r = next) {
		next = r->next;
		if (id && r->id != id)
			continue;
		r->peers &= ~(UINT64_C(1) << p->slot);
		if (!r->peers) {
			revocation_finish(r);
			/* `done` may have started or finished others: begin again. */
			next = l->revocations;
		}
	}
}

static void on_silence(uv_timer_t *timer)
{
	struct revocation *r = timer->data;
	struct lookup *l = r->owner;
	uint64_t late = r->peers;

	/* Closing the last one frees r: walk a copy of the set. */
	for (unsigned i = 0; i < LOOKUP_PEERS; i++)
		if ((late >> i & 1) && l->peers[i])
			peer_close(l->peers[i], "no answer to a revocation");
}

/* ---- Peers ---- */

static void on_peer_closed(uv_handle_t *h)
{
	struct peer *p = h->data;
	struct lookup *l = p->owner;
	struct packet *k;

	while ((k = p->out)) {
		p->out = k->next;
		free(k);
	}
	close(p->fd);
	free(p);
	handle_gone(l);
}

static void peer_close(struct peer *p, const char *why)
{
	struct lookup *l = p->owner;

	if (uv_is_closing((uv_handle_t *)&p->poll))
		return;
	if (why)
		log_warn("proxy disconnected from the session socket: %s", why);
	uv_poll_stop(&p->poll);
	/* The other side must see the end now, before the revocation is reported as done. */
	shutdown(p->fd, SHUT_RDWR);
	l->peers[p->slot] = NULL;
	l->npeers--;
	uv_close((uv_handle_t *)&p->poll, on_peer_closed);
	settle(l, p, 0);
}

static void on_peer(uv_poll_t *poll, int status, int events);

/* A peer that doesn't take its answers gets no new questions read. */
static void peer_watch(struct peer *p)
{
	if (!uv_is_closing((uv_handle_t *)&p->poll))
		uv_poll_start(&p->poll, p->out ? UV_WRITABLE | UV_DISCONNECT : UV_READABLE, on_peer);
}

static int peer_queue(struct peer *p, const struct session_message *m)
{
	struct packet *k = p->waiting < PACKETS_WAITING ? malloc(sizeof *k) : NULL;

	if (!k) {
		peer_close(p, "it does not take its packets");
		return -1;
	}
	k->m = *m;
	k->next = NULL;
	if (!p->out)
		p->out_tail = &p->out;
	*p->out_tail = k;
	p->out_tail = &k->next;
	p->waiting++;
	return 0;
}

/* -1: the peer is gone. */
static int peer_send(struct peer *p, const struct session_message *m)
{
	if (!p->out) {
		if (!sock_send_fds(p->fd, m, sizeof *m, NULL, 0))
			return 0;
		if (errno != EAGAIN && errno != ENOBUFS) {
			peer_close(p, NULL);
			return -1;
		}
	}
	return peer_queue(p, m);
}

static void peer_flush(struct peer *p)
{
	struct packet *k;

	while ((k = p->out)) {
		if (sock_send_fds(p->fd, &k->m, sizeof k->m, NULL, 0)) {
			if (errno != EAGAIN && errno != ENOBUFS)
				peer_close(p, NULL);
			return;
		}
		p->out = k->next;
		p->waiting--;
		free(k);
	}
}

/* Whoever holds such a token can ask as often as he likes: one line a second. */
static void log_refused_session(struct lookup *l, const struct err *why)
{
	int64_t now = clock_unix();

	if (l->logged != now)
		log_warn("a session is not honoured: %s", why->text);
	l->logged = now;
}

/* 1: `m` is the answer; 0: no such session; -1: the database failed. */
static int resolve(struct lookup *l, struct session_message *m)
{
	struct session s;
	struct user owner;
	struct err err;
	int64_t now = clock_unix();
	int rc = session_by_token(l->db, m->token_hash, now, &s, &owner, &err);

	if (rc < 0)
		log_error("session look-up failed: %s", err.text);
	if (rc != 1)
		return rc;
	if (session_check(l->db, l->policy, &s, &owner, now, &err) || db_epoch(l->db, &m->epoch, &err)) {
		if (err.kind != ERR_DENIED) {
			log_error("session look-up failed: %s", err.text);
			return -1;
		}
		log_refused_session(l, &err);
		return 0;
	}
	m->expires = s.expires;
	memcpy(m->session, s.uuid, sizeof m->session);
	memcpy(m->user, s.user, sizeof m->user);
	memcpy(m->class_name, s.class_name, sizeof m->class_name);
	memcpy(m->floor, s.floor, sizeof m->floor);
	memcpy(m->ceiling, s.ceiling, sizeof m->ceiling);
	memcpy(m->purpose, s.purpose, sizeof m->purpose);
	return 1;
}

static int answer_lookup(struct peer *p, const struct session_message *question)
{
	struct session_message m = { .id = question->id };
	int rc;

	memcpy(m.token_hash, question->token_hash, sizeof m.token_hash);
	rc = resolve(p->owner, &m);
	if (rc < 0) {
		/* There is no answer for "cannot tell", and "unknown" would log the user out. */
		peer_close(p, "the database does not work");
		return -1;
	}
	m.type = rc ? SESSION_FOUND : SESSION_UNKNOWN;
	p->owner->answered++;
	return peer_send(p, &m);
}

/* One packet; -1 when there is none left, or the peer is gone. */
static int peer_receive(struct peer *p)
{
	struct session_message m;
	ssize_t n;

	do {
		/* No room for control data: descriptors sent along are dropped by the kernel. */
		n = recv(p->fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -1;
	if (n <= 0) {
		peer_close(p, NULL);
		return -1;
	}
	if (session_valid(&m, (size_t)n) && m.type == SESSION_LOOKUP)
		return answer_lookup(p, &m);
	if (session_valid(&m, (size_t)n) && m.type == SESSION_REVOKED_OK && m.id) {
		settle(p->owner, p, m.id);
		return 0;
	}
	peer_close(p, "it sent an invalid packet");
	return -1;
}

static void on_peer(uv_poll_t *poll, int status, int events)
{
	struct peer *p = poll->data;

	if (status < 0) {
		peer_close(p, NULL);
		return;
	}
	if (p->out)
		peer_flush(p);
	if (events & UV_DISCONNECT) {
		peer_close(p, NULL);
		return;
	}
	for (int i = 0; i < PACKETS_AT_ONCE && !p->out; i++)
		if (uv_is_closing((uv_handle_t *)poll) || peer_receive(p))
			break;
	peer_watch(p);
}

static unsigned free_slot(const struct lookup *l)
{
	unsigned slot = 0;

	while (slot < LOOKUP_PEERS && l->peers[slot])
		slot++;
	return slot;
}

static int peer_new(struct lookup *l, int fd, struct err *err)
{
	unsigned slot = free_slot(l);
	struct peer *p;

	if (sock_check_peer(fd, NULL, err))
		return -1;
	if (slot == LOOKUP_PEERS)
		return err_set(err, ERR_FULL, "%d proxies are connected already", LOOKUP_PEERS);
	p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, ERR_INTERNAL, "out of memory");
	p->owner = l;
	p->fd = fd;
	p->slot = slot;
	if (uv_poll_init(l->loop, &p->poll, fd)) {
		free(p);
		return err_set(err, ERR_INTERNAL, "the socket cannot be watched");
	}
	p->poll.data = p;
	l->peers[slot] = p;
	l->npeers++;
	l->handles++;
	peer_watch(p);
	return 0;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct lookup *l = poll->data;
	struct err err;
	int fd;

	(void)events;
	if (status < 0)
		return;
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (peer_new(l, fd, &err)) {
		log_warn("connection to the session socket refused: %s", err.text);
		close(fd);
	}
}

/* ---- Interface ---- */

struct lookup *lookup_new(uv_loop_t *loop, int fd, struct db *db, const struct policy *policy, struct err *err)
{
	struct lookup *l = calloc(1, sizeof *l);

	if (!l || uv_poll_init(loop, &l->listener, fd)) {
		err_set(err, ERR_INTERNAL, "the session socket cannot be watched");
		free(l);
		close(fd);
		return NULL;
	}
	l->fd = fd;
	l->loop = loop;
	l->db = db;
	l->policy = policy;
	l->handles = 1;
	l->listener.data = l;
	uv_poll_start(&l->listener, UV_READABLE, on_connection);
	return l;
}

static struct revocation *revocation_new(struct lookup *l, void (*done)(void *ctx), void *ctx)
{
	struct revocation *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->owner = l;
	r->id = ++l->last_id;
	r->done = done;
	r->ctx = ctx;
	uv_timer_init(l->loop, &r->timer);
	r->timer.data = r;
	uv_timer_start(&r->timer, on_silence, LOOKUP_ACK_MS, 0);
	l->handles++;
	return r;
}

static void disconnect_all(struct lookup *l, const char *why)
{
	for (unsigned i = 0; i < LOOKUP_PEERS; i++)
		if (l->peers[i])
			peer_close(l->peers[i], why);
}

static void describe(struct lookup *l, const struct lookup_target *target, struct session_message *m)
{
	struct err err;

	m->type = SESSION_REVOKE;
	if (target->hash)
		memcpy(m->token_hash, target->hash, sizeof m->token_hash);
	if (target->user)
		strncpy(m->user, target->user, sizeof m->user - 1);
	if (target->ceiling)
		strncpy(m->ceiling, target->ceiling, sizeof m->ceiling - 1);
	if (db_epoch(l->db, &m->epoch, &err)) /* the revocation itself must not fail for that */
		log_error("a revocation goes out without its epoch: %s", err.text);
}

void lookup_revoke(struct lookup *l, const struct lookup_target *target, void (*done)(void *ctx), void *ctx)
{
	struct session_message m = { 0 };
	struct revocation *r = l->npeers ? revocation_new(l, done, ctx) : NULL;

	if (!r) {
		disconnect_all(l, "out of memory"); /* as good as telling them */
		if (done)
			done(ctx);
		return;
	}
	describe(l, target, &m);
	m.id = r->id;
	for (unsigned i = 0; i < LOOKUP_PEERS; i++)
		r->peers |= (uint64_t) !!l->peers[i] << i;
	r->next = l->revocations;
	l->revocations = r;
	/* A peer that turns out dead is settled on the way; r stays until the last one, so keep only what is needed. */
	for (unsigned i = 0; i < LOOKUP_PEERS; i++)
		if (l->peers[i] && !peer_send(l->peers[i], &m))
			peer_watch(l->peers[i]);
}

unsigned lookup_peers(const struct lookup *l)
{
	return l->npeers;
}

uint64_t lookup_answered(const struct lookup *l)
{
	return l->answered;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct lookup *l = h->data;

	close(l->fd);
	handle_gone(l);
}

void lookup_stop(struct lookup *l)
{
	l->stopping = true;
	uv_poll_stop(&l->listener);
	disconnect_all(l, NULL);
	uv_close((uv_handle_t *)&l->listener, on_listener_closed);
}
