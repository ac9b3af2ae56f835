/* SPDX-License-Identifier: MIT
 *
 * Two connections: one on which audit_write() waits, one that the loop watches. Acknowledgements come in order, so each
 * has to be the one that the oldest record sent is waiting for.
 */
#include "lib/audit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/audit.h>
#include "lib/audit_record.h"
#include "lib/buf.h"
#include "lib/names.h"
#include "lib/sock.h"

#define PATH_TEXT_MAX (16u << 10) /* a path is cut to so many bytes of JSON; all else is within bounds already */
#define WAITS_MAX 8192u		  /* records on their way; more fail at once */
#define TICK_MS 20u		  /* between attempts to connect, and looks at what waits too long */
#define ACKS_A_TURN 512u

struct packet { /* a record that was not sent yet */
	STAILQ_ENTRY(packet) link;
	struct audit_wait *wait;
	size_t len;
	char bytes[];
};

struct wire { /* the loop's connection; outlives the struct audit until libuv has let go of it */
	uv_poll_t poll;
	int fd;
	struct audit *audit; /* NULL once it was given up */
};

struct ticker {
	uv_timer_t timer;
	struct audit *audit;
};

TAILQ_HEAD(waits, audit_wait);

struct audit {
	char path[128], daemon[32];
	uint64_t next_id;
	bool usable;
	struct buf packet; /* head and record, while they are made */
	int sync;	   /* audit_write()'s connection, -1: none */
	uv_loop_t *loop;
	struct wire *wire; /* NULL: none */
	struct ticker *ticker;
	STAILQ_HEAD(, packet) unsent;
	struct waits sent, failed; /* failed: to be told from the loop */
	struct err why;		   /* of those in `failed` */
	unsigned waiting;
};

/* ---- records ---- */

static void put_member(struct buf *b, const char *key, const char *text, size_t max)
{
	if (!text || !*text)
		return;
	buf_printf(b, ",\"%s\":", key);
	audit_put_string(b, text, max);
}

static void put_count(struct buf *b, const char *key, uint64_t n)
{
	if (n)
		buf_printf(b, ",\"%s\":%llu", key, (unsigned long long)n);
}

static void put_record(struct buf *b, const char *daemon, const struct audit_record *r)
{
	const struct {
		const char *key, *text;
	} texts[] = { { "request_id", r->request_id }, { "actor", r->actor },
		      { "class", r->class_name },      { "session", r->session },
		      { "purpose", r->purpose },       { "app", r->app },
		      { "image", r->image },	       { "instance", r->instance },
		      { "address", r->address },       { "object", r->object },
		      { "category", r->category },     { "owners", r->owners },
		      { "label", r->label },	       { "before", r->before },
		      { "after", r->after },	       { "rule", r->rule },
		      { "reason", r->reason } };
	buf_puts(b, "{\"daemon\":");
	audit_put_string(b, daemon, SIZE_MAX);
	put_member(b, "event", r->event, SIZE_MAX);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		put_member(b, texts[i].key, texts[i].text, SIZE_MAX);
	put_member(b, "path", r->path, PATH_TEXT_MAX);
	buf_printf(b, ",\"allowed\":%s", r->allowed ? "true" : "false");
	put_count(b, "status", r->status > 0 ? (uint64_t)r->status : 0);
	put_count(b, "epoch", r->epoch);
	put_count(b, "rows", r->rows);
	buf_puts(b, "}");
}

/* The packet for `r` in a->packet, with a new id. */
static int make_packet(struct audit *a, const struct audit_record *r, struct err *err)
{
	struct audit_head head = { .magic = AUDIT_MAGIC, .id = ++a->next_id };
	struct buf *b = &a->packet;
	b->len = 0;
	b->failed = false;
	buf_append(b, &head, sizeof head);
	put_record(b, a->daemon, r);
	if (b->failed)
		return err_set(err, ERR_INTERNAL, "audit: a record of more than %u bytes", AUDIT_RECORD_MAX);
	head.length = (uint32_t)(b->len - sizeof head);
	memcpy(b->data, &head, sizeof head);
	return 0;
}

static int connect_log(const struct audit *a, struct err *err)
{
	int fd = sock_connect_unix(a->path, SOCK_SEQPACKET, err);
	if (fd >= 0 && sock_check_peer(fd, NULL, err) < 0) {
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		err->kind = ERR_UNAVAILABLE;
	return fd;
}

/* 1 and an acknowledgement; 0: none yet; -1: the connection is of no more use. */
static int receive_ack(int fd, struct audit_ack *ack)
{
	char bytes[sizeof *ack + 1];
	ssize_t n;
	do {
		n = recv(fd, bytes, sizeof bytes, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n != (ssize_t)sizeof *ack)
		return -1;
	memcpy(ack, bytes, sizeof *ack);
	return ack->magic == AUDIT_MAGIC ? 1 : -1;
}

static int ack_result(const struct audit_ack *ack, struct err *err)
{
	if (ack->status == AUDIT_WRITTEN)
		return 0;
	if (ack->status == AUDIT_STOPPED)
		return err_set(err, ERR_UNAVAILABLE, "the audit log is stopped; /readyz of ppce-audit says why");
	return err_set(err, ERR_INTERNAL, "the audit log did not understand a record");
}

/* ---- waiting ---- */

/* 0 when the descriptor is ready for `events` in time. */
static int wait_for(int fd, short events, uint64_t until_ns, struct err *err)
{
	for (;;) {
		uint64_t now = clock_ns();
		struct pollfd p = { .fd = fd, .events = events };
		if (now >= until_ns)
			return err_set(err, ERR_UNAVAILABLE, "the audit log does not answer");
		int n = poll(&p, 1, (int)((until_ns - now) / 1000000) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_errno(err, ERR_UNAVAILABLE, "audit");
	}
}

/* 1: sent; 0: the connection was closed meanwhile and nothing was sent; -1. */
static int sync_send(struct audit *a, uint64_t until_ns, struct err *err)
{
	for (;;) {
		if (sock_send_fds(a->sync, a->packet.data, a->packet.len, NULL, 0) == 0)
			return 1;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			return 0;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(err, ERR_UNAVAILABLE, "audit");
		if (wait_for(a->sync, POLLOUT, until_ns, err) < 0)
			return -1;
	}
}

static int sync_receive(struct audit *a, uint64_t until_ns, struct err *err)
{
	struct audit_ack ack;
	for (;;) {
		int got = receive_ack(a->sync, &ack);
		if (got < 0 || (got > 0 && ack.id != a->next_id))
			return err_set(err, ERR_UNAVAILABLE, "the audit log closed the connection");
		if (got > 0)
			break;
		if (wait_for(a->sync, POLLIN, until_ns, err) < 0)
			return -1;
	}
	return ack_result(&ack, err) < 0 ? -2 : 0;
}

/* 0; -1: the connection must go; -2: the log's own refusal. */
static int sync_exchange(struct audit *a, struct err *err)
{
	uint64_t until_ns = clock_ns() + AUDIT_WAIT_MS * 1000000ull;
	for (int tries = 0; tries < 2; tries++) {
		bool fresh = a->sync < 0;
		if (fresh && (a->sync = connect_log(a, err)) < 0)
			return -1;
		int sent = sync_send(a, until_ns, err);
		if (sent > 0)
			return sync_receive(a, until_ns, err);
		if (sent < 0 || fresh)
			break;
		sock_close(&a->sync); /* the log was started anew since the last record */
	}
	return err->kind ? -1 : err_set(err, ERR_UNAVAILABLE, "the audit log closed the connection");
}

int audit_write(struct audit *a, const struct audit_record *r, struct err *err)
{
	struct err own = { 0 };
	int rc = make_packet(a, r, &own);
	if (rc == 0) {
		rc = sync_exchange(a, &own);
		if (rc == -1)
			sock_close(&a->sync); /* a late acknowledgement must not be taken for the next record's */
		a->usable = rc == 0;
	}
	if (rc < 0 && err)
		*err = own;
	return rc < 0 ? -1 : 0;
}

/* ---- the loop's connection ---- */

static void on_ready(uv_poll_t *poll, int status, int events);
static void on_tick(uv_timer_t *timer);

static void finish(struct audit *a, struct audit_wait *w, const struct err *err)
{
	a->waiting--;
	w->done(w, err);
}

/* For the next turn of the loop; its reason becomes that of all that wait to be told. */
static void fail_later(struct audit *a, struct audit_wait *w, const struct err *why)
{
	a->why = *why;
	TAILQ_INSERT_TAIL(&a->failed, w, link);
	uv_timer_start(&a->ticker->timer, on_tick, 0, TICK_MS);
}

static void free_wire(uv_handle_t *handle)
{
	struct wire *w = handle->data;
	close(w->fd);
	free(w);
}

/* What was sent has failed; what was not may go over the next connection. */
static void drop_wire(struct audit *a, const struct err *why)
{
	struct audit_wait *w;
	if (a->wire) {
		a->wire->audit = NULL;
		uv_close((uv_handle_t *)&a->wire->poll, free_wire);
	}
	a->wire = NULL;
	a->usable = false;
	while ((w = TAILQ_FIRST(&a->sent))) {
		TAILQ_REMOVE(&a->sent, w, link);
		fail_later(a, w, why);
	}
}

static int open_wire(struct audit *a, struct err *err)
{
	struct wire *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(err, ERR_INTERNAL, "out of memory");
	w->fd = connect_log(a, err);
	if (w->fd < 0 || uv_poll_init(a->loop, &w->poll, w->fd) < 0) {
		sock_close(&w->fd);
		free(w);
		return -1;
	}
	w->poll.data = w;
	w->audit = a;
	a->wire = w;
	uv_poll_start(&w->poll, UV_READABLE, on_ready);
	return 0;
}

/* Sends what waits to be sent, as far as the socket takes it. The ticker tries again where there is no connection. */
static void flush(struct audit *a)
{
	struct err err = { ERR_UNAVAILABLE, "no connection to the audit log" };
	struct packet *p;
	if (!a->wire && !STAILQ_EMPTY(&a->unsent) && open_wire(a, &err) < 0) {
		a->usable = false;
		return;
	}
	while ((p = STAILQ_FIRST(&a->unsent))) {
		if (sock_send_fds(a->wire->fd, p->bytes, p->len, NULL, 0) < 0)
			break;
		TAILQ_INSERT_TAIL(&a->sent, p->wait, link);
		STAILQ_REMOVE_HEAD(&a->unsent, link);
		free(p);
	}
	if (!p)
		return;
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		uv_poll_start(&a->wire->poll, UV_READABLE | UV_WRITABLE, on_ready);
		return;
	}
	err_errno(&err, ERR_UNAVAILABLE, "audit");
	drop_wire(a, &err);
}

/* False: the connection is of no more use. `a` may have got new records, or lost the connection, in done(). */
static bool take_ack(struct audit *a, const struct audit_ack *ack)
{
	struct audit_wait *w = TAILQ_FIRST(&a->sent);
	struct err err;
	if (!w || w->id != ack->id)
		return false;
	TAILQ_REMOVE(&a->sent, w, link);
	a->usable = ack_result(ack, &err) == 0;
	finish(a, w, a->usable ? NULL : &err);
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct wire *w = poll->data;
	struct audit *a = w->audit;
	struct err err = { ERR_UNAVAILABLE, "the audit log closed the connection" };
	struct audit_ack ack;
	if (!a)
		return;
	if (events & UV_WRITABLE) {
		uv_poll_start(&w->poll, UV_READABLE, on_ready);
		flush(a);
	}
	for (unsigned i = 0; i < ACKS_A_TURN && w->audit == a; i++) {
		int got = status < 0 ? -1 : receive_ack(w->fd, &ack);
		if (got == 0)
			return;
		if (got < 0 || !take_ack(a, &ack)) {
			if (w->audit == a)
				drop_wire(a, &err);
			return;
		}
	}
}

/* ---- time ---- */

static void expire_unsent(struct audit *a, uint64_t before_ns, const struct err *why)
{
	struct packet *p;
	while ((p = STAILQ_FIRST(&a->unsent)) && p->wait->since_ns <= before_ns) {
		STAILQ_REMOVE_HEAD(&a->unsent, link);
		fail_later(a, p->wait, why);
		free(p);
	}
}

static void expire(struct audit *a)
{
	static const struct err why = { ERR_UNAVAILABLE, "the audit log does not answer" };
	uint64_t now = clock_ns(), wait = AUDIT_WAIT_MS * 1000000ull;
	uint64_t before = now > wait ? now - wait : 0;
	const struct audit_wait *oldest = TAILQ_FIRST(&a->sent);
	if (oldest && oldest->since_ns <= before)
		drop_wire(a, &why);
	expire_unsent(a, before, &why);
}

static void tell_failed(struct audit *a)
{
	struct waits failed = TAILQ_HEAD_INITIALIZER(failed);
	struct err why = a->why;
	struct audit_wait *w;
	TAILQ_CONCAT(&failed, &a->failed, link);
	while ((w = TAILQ_FIRST(&failed))) {
		TAILQ_REMOVE(&failed, w, link);
		finish(a, w, &why);
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct audit *a = ((struct ticker *)timer->data)->audit;
	if (!a)
		return;
	expire(a);
	tell_failed(a);
	flush(a);
	if (!a->waiting)
		uv_timer_stop(timer);
	else if (!TAILQ_EMPTY(&a->failed))
		uv_timer_start(timer, on_tick, 0, TICK_MS);
	else
		uv_timer_start(timer, on_tick, TICK_MS, TICK_MS);
}

static struct packet *copy_packet(const struct audit *a, struct audit_wait *w)
{
	struct packet *p = malloc(sizeof *p + a->packet.len);
	if (!p)
		return NULL;
	p->wait = w;
	p->len = a->packet.len;
	memcpy(p->bytes, a->packet.data, p->len);
	return p;
}

void audit_submit(struct audit *a, const struct audit_record *r, struct audit_wait *w)
{
	struct err err = { ERR_UNAVAILABLE, "too many records wait for the audit log" };
	struct packet *p = NULL;
	w->since_ns = clock_ns();
	if (a->waiting++ < WAITS_MAX && make_packet(a, r, &err) == 0) {
		w->id = a->next_id;
		p = copy_packet(a, w);
		if (!p)
			err_set(&err, ERR_INTERNAL, "out of memory");
	}
	if (!p) {
		fail_later(a, w, &err);
		return;
	}
	STAILQ_INSERT_TAIL(&a->unsent, p, link);
	if (!uv_is_active((uv_handle_t *)&a->ticker->timer))
		uv_timer_start(&a->ticker->timer, on_tick, TICK_MS, TICK_MS);
	if (STAILQ_FIRST(&a->unsent) == p) /* else somebody waits for the socket already */
		flush(a);
}

/* ---- begin and end ---- */

static int start_ticker(struct audit *a, uv_loop_t *loop, struct err *err)
{
	a->loop = loop;
	a->ticker = calloc(1, sizeof *a->ticker);
	if (!a->ticker)
		return err_set(err, ERR_INTERNAL, "out of memory");
	uv_timer_init(loop, &a->ticker->timer);
	a->ticker->timer.data = a->ticker;
	a->ticker->audit = a;
	return 0;
}

struct audit *audit_open(uv_loop_t *loop, const char *path, const char *daemon, struct err *err)
{
	struct audit *a = calloc(1, sizeof *a);
	if (!a || strlen(path) >= sizeof a->path || strlen(daemon) >= sizeof a->daemon) {
		err_set(err, a ? ERR_CONFIG : ERR_INTERNAL, "%s: %s", path, a ? "too long" : "out of memory");
		free(a);
		return NULL;
	}
	strcpy(a->path, path);
	strcpy(a->daemon, daemon);
	a->packet.cap = sizeof(struct audit_head) + AUDIT_RECORD_MAX;
	a->sync = -1;
	STAILQ_INIT(&a->unsent);
	TAILQ_INIT(&a->sent);
	TAILQ_INIT(&a->failed);
	if (loop && start_ticker(a, loop, err) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

bool audit_usable(const struct audit *a)
{
	return a->usable;
}

static void free_ticker(uv_handle_t *handle)
{
	free(handle->data);
}

void audit_close(struct audit *a)
{
	static const struct err why = { ERR_UNAVAILABLE, "ending" };
	if (!a)
		return;
	if (a->loop) {
		drop_wire(a, &why);
		expire_unsent(a, UINT64_MAX, &why);
		tell_failed(a);
		a->ticker->audit = NULL;
		uv_close((uv_handle_t *)&a->ticker->timer, free_ticker);
	}
	sock_close(&a->sync);
	buf_free(&a->packet);
	free(a);
}
