/* SPDX-License-Identifier: MIT */
#include "proxy/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/sock.h"

/* Where frames land first. Most answers arrive whole in one read(2) and are used right here, without another copy; one
 * for all channels is enough, as nothing in it outlives the callback. */
static _Alignas(8) char landing[256 * 1024];

static void on_poll(uv_poll_t *poll, int status, int events);

static void free_handle(uv_handle_t *h)
{
	free(h);
}

void channel_close(struct channel *c)
{
	c->state = CHANNEL_CLOSED;
	if (c->poll)
		uv_close((uv_handle_t *)c->poll, free_handle);
	if (c->guard)
		uv_close((uv_handle_t *)c->guard, free_handle);
	c->poll = NULL;
	c->guard = NULL;
	sock_close(&c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
}

int channel_open(struct channel *c, uv_loop_t *loop, int fd, size_t answer_max, const struct channel_events *events,
		 void *ctx, struct err *err)
{
	*c = (struct channel){ .loop = loop,
			       .events = events,
			       .ctx = ctx,
			       .fd = fd,
			       .state = CHANNEL_IDLE,
			       .answer_max = answer_max,
			       .in = { .cap = sizeof(struct frame_header) + answer_max },
			       .out = { .cap = sizeof(struct frame_header) + PPCE_REQUEST_BYTES_MAX } };
	c->guard = malloc(sizeof *c->guard);
	if (c->guard) {
		uv_timer_init(loop, c->guard);
		c->guard->data = c;
	}
	c->poll = malloc(sizeof *c->poll);
	if (c->poll && (sock_set_nonblocking(fd) < 0 || uv_poll_init(loop, c->poll, fd) < 0)) {
		free(c->poll);
		c->poll = NULL;
	}
	if (!c->guard || !c->poll) {
		channel_close(c);
		return err_set(err, ERR_INTERNAL, "cannot watch a channel");
	}
	c->poll->data = c;
	uv_poll_start(c->poll, UV_READABLE, on_poll);
	return 0;
}

static void lose(struct channel *c, enum err_kind kind, const char *why)
{
	channel_close(c);
	c->events->lost(c->ctx, kind, why);
}

static void on_guard(uv_timer_t *timer)
{
	struct channel *c = timer->data;
	lose(c, ERR_TIMEOUT, c->state == CHANNEL_BUSY ? "no answer by the deadline" : "not ready again in time");
}

/* Writes what waits. -1: broken; the poll will tell when it is for good. */
static void flush(struct channel *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) { /* reading sees the end of the channel, and perhaps an answer before it */
			c->out.len = 0;
			break;
		}
		buf_consume(&c->out, (size_t)n);
	}
	uv_poll_start(c->poll, UV_READABLE, on_poll);
}

uint32_t channel_next_id(const struct channel *c)
{
	return c->id + 1;
}

void channel_send(struct channel *c, const void *frame, size_t len, uint32_t deadline_ms)
{
	assert(c->state == CHANNEL_IDLE);
	c->state = CHANNEL_BUSY;
	c->begun = false;
	c->id++;
	uv_timer_start(c->guard, on_guard, (uint64_t)deadline_ms + CHANNEL_GRACE_MS, 0);
	ssize_t n = send(c->fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)len || (n < 0 && errno != EAGAIN && errno != EINTR))
		return;
	size_t sent = n < 0 ? 0 : (size_t)n;
	if (buf_append(&c->out, (const char *)frame + sent, len - sent) < 0) {
		shutdown(c->fd, SHUT_RDWR); /* half a request cannot be taken back */
		return;
	}
	uv_poll_start(c->poll, UV_READABLE | UV_WRITABLE, on_poll);
}

int channel_begin(struct channel *c, const struct ticket *ticket, uint32_t deadline_ms)
{
	assert(c->state == CHANNEL_IDLE);
	char frame[sizeof(struct frame_header) + sizeof *ticket];
	size_t len = ticket ? sizeof frame : sizeof(struct frame_header);
	struct frame_header h = { .magic = FRAME_MAGIC,
				  .type = FRAME_BEGIN,
				  .flags = ticket ? FRAME_FLAG_TICKET : 0,
				  .id = channel_next_id(c),
				  .code = deadline_ms };
	memcpy(frame, &h, sizeof h);
	if (ticket)
		memcpy(frame + sizeof h, ticket, sizeof *ticket);
	if (send(c->fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return -1;
	c->state = CHANNEL_BUSY;
	c->begun = true;
	c->id++;
	uv_timer_start(c->guard, on_guard, (uint64_t)deadline_ms + CHANNEL_GRACE_MS, 0);
	return 0;
}

void channel_end(struct channel *c, bool reset)
{
	assert(c->state == CHANNEL_BUSY && c->begun);
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_END, .id = c->id };
	c->state = reset ? CHANNEL_RESETTING : CHANNEL_IDLE;
	c->owed += !reset;
	if (reset)
		uv_timer_start(c->guard, on_guard, CHANNEL_RESET_MS, 0);
	else
		uv_timer_stop(c->guard);
	ssize_t n = send(c->fd, &h, sizeof h, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n != sizeof h && (n > 0 || errno == EAGAIN || errno == EINTR))
		shutdown(c->fd, SHUT_RDWR); /* it reads nothing: reading sees the end, as for a socket that is broken */
}

/* ... while the answer comes another way? */
static const char *unexpected_begun(const struct channel *c, const struct frame_header *h)
{
	if (h->type != FRAME_FAILED || h->code == FRAME_TOO_LARGE)
		return "an answer on the channel to a request that went another way";
	return h->id == c->id ? NULL : "a failure of another request";
}

/* Is this header, well-formed as it may be, what the state allows? */
static const char *unexpected(const struct channel *c, const struct frame_header *h)
{
	if (!frame_valid(h, false) || h->length > c->answer_max)
		return "malformed frame";
	if (h->type == FRAME_READY && c->owed)
		return h->flags & FRAME_FLAG_LAST ? "the instance ends" : NULL;
	if (h->type == FRAME_READY)
		return c->state == CHANNEL_RESETTING ? NULL : "FRAME_READY out of turn";
	if (c->begun && c->state != CHANNEL_IDLE)
		return unexpected_begun(c, h);
	if (c->state != CHANNEL_BUSY)
		return "an answer that nobody asked for";
	if (c->out.len > 0 && h->type == FRAME_RESPONSE)
		return "an answer to half a request";
	return h->id == c->id ? NULL : "an answer to another request";
}

static void take_ready(struct channel *c, uint32_t reset_us, bool last)
{
	uv_timer_stop(c->guard);
	c->state = CHANNEL_IDLE;
	c->events->ready(c->ctx, reset_us, last);
}

/* Does the instance take the next request after this frame? */
static bool completes(const struct channel *c, const struct frame_header *h)
{
	if (h->type == FRAME_RESPONSE)
		return h->flags & FRAME_FLAG_READY;
	if (h->type == FRAME_READY && c->owed)
		return false; /* it did so before */
	return h->type == FRAME_READY || h->code == FRAME_TOO_LARGE;
}

/* Acts on one whole frame that unexpected() has let pass. */
static void take(struct channel *c, const struct frame_header *h, const void *payload)
{
	if (h->type == FRAME_READY && c->owed) {
		c->owed--;
		return;
	}
	if (h->type == FRAME_READY) {
		take_ready(c, h->load_us, c->begun && (h->flags & FRAME_FLAG_LAST));
		return;
	}
	c->state = CHANNEL_RESETTING;
	uv_timer_start(c->guard, on_guard, CHANNEL_RESET_MS, 0);
	c->events->answer(c->ctx, h, h->type == FRAME_RESPONSE ? payload : NULL);
	if (c->state == CHANNEL_RESETTING && completes(c, h))
		take_ready(c, 0, false);
}

/* Acts on every whole frame in data[len] (8-aligned); returns the bytes used. Stops when the channel was closed. */
static size_t take_frames(struct channel *c, const char *data, size_t len)
{
	size_t used = 0;
	struct frame_header h;
	while (c->state != CHANNEL_CLOSED && len - used >= sizeof h) {
		memcpy(&h, data + used, sizeof h);
		const char *why = unexpected(c, &h);
		if (!why && len - used < sizeof h + h.length)
			break;
		/* Nothing may follow before the next request was sent: it could pass for the answer to it. Therefore
		 * a frame with a payload is always the first one in the buffer, and aligned. */
		if (!why && completes(c, &h) && len - used > sizeof h + h.length)
			why = "bytes after the last frame";
		if (why) {
			lose(c, ERR_BAD_GATEWAY, why);
			return used;
		}
		take(c, &h, data + used + sizeof h);
		used += sizeof h + h.length;
	}
	return used;
}

/* Keeps the rest of an incomplete frame, whose header (if it is there) has been checked. */
static void keep(struct channel *c, const char *data, size_t len)
{
	if (len > 0 && c->state != CHANNEL_CLOSED && buf_append(&c->in, data, len) < 0)
		lose(c, ERR_BAD_GATEWAY, "a frame larger than announced");
}

static void read_landing(struct channel *c)
{
	ssize_t n = recv(c->fd, landing, sizeof landing, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(c, ERR_BAD_GATEWAY, n == 0 ? "the instance closed its channel" : strerror(errno));
		return;
	}
	size_t used = take_frames(c, landing, (size_t)n);
	keep(c, landing + used, (size_t)n - used);
}

/* The rest of a frame that began in an earlier read: exactly up to its end, so that it stands aligned in `in`. */
static void read_rest(struct channel *c)
{
	struct frame_header h;
	size_t want = sizeof h;
	if (c->in.len >= sizeof h) {
		memcpy(&h, c->in.data, sizeof h);
		want += h.length;
	}
	char *at = buf_reserve(&c->in, want - c->in.len);
	ssize_t n = at ? recv(c->fd, at, want - c->in.len, MSG_DONTWAIT) : -1;
	if (n < 0 && at && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(c, ERR_BAD_GATEWAY, "the instance closed its channel within a frame");
		return;
	}
	c->in.len += (size_t)n;
	/* Out of the channel's reach while it is in use: an event may close the channel. */
	struct buf whole = c->in;
	c->in = (struct buf){ .cap = whole.cap };
	size_t used = take_frames(c, whole.data, whole.len);
	if (used == 0 && c->state != CHANNEL_CLOSED)
		c->in = whole;
	else
		buf_free(&whole);
}

static void read_more(struct channel *c)
{
	if (c->in.len > 0)
		read_rest(c);
	else
		read_landing(c);
}

void channel_drain(struct channel *c)
{
	char byte;
	while (c->state == CHANNEL_BUSY && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		read_more(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct channel *c = poll->data;
	if (status < 0) {
		lose(c, ERR_BAD_GATEWAY, uv_strerror(status));
		return;
	}
	if (events & UV_WRITABLE)
		flush(c);
	if ((events & UV_READABLE) && c->state != CHANNEL_CLOSED)
		read_more(c);
}
