// SPDX-License-Identifier: MIT
#include "store/instance.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "store/call.h"

#define PAYLOAD_BYTES_MAX (512u << 20) /* of all instances together */

static void on_closed(uv_handle_t *handle)
{
	struct instance *i = handle->data;
	i->store->payload_bytes -= i->payload ? i->head.length : 0;
	free(i->payload);
	buf_free(&i->answer);
	monitor_free(&i->monitor);
	free(i);
}

void instance_close(struct instance *i)
{
	if (uv_is_closing((uv_handle_t *)&i->pipe))
		return;
	i->slot = NULL;
	if (i->call)
		call_abandon(i->call);
	i->call = NULL;
	i->gone(i);
	uv_close((uv_handle_t *)&i->pipe, on_closed);
}

static void refuse(struct instance *i, const char *why)
{
	log_warn("instance %s of %s: %s; its store is closed", i->monitor.uuid, i->monitor.app, why);
	instance_close(i);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct instance *i = handle->data;
	(void)suggested;
	if (i->have < sizeof i->head)
		*out = uv_buf_init((char *)&i->head + i->have, (unsigned)(sizeof i->head - i->have));
	else
		*out = uv_buf_init(i->payload + (i->have - sizeof i->head),
				   (unsigned)(i->head.length - (i->have - sizeof i->head)));
}

/* The head is complete: is it one, and is there room for what follows? */
static int begin_payload(struct instance *i)
{
	const struct store_call *h = &i->head;
	const char *why = NULL;
	if (h->magic != STORE_CALL_MAGIC || h->length < 1 || h->length > PPCE_DATA_BYTES_MAX ||
	    h->max > PPCE_DATA_BYTES_MAX)
		why = "a malformed call";
	else if (i->store->payload_bytes + h->length > PAYLOAD_BYTES_MAX)
		why = "too many bytes in calls of all instances";
	else if (!(i->payload = malloc(h->length)))
		why = "out of memory";
	if (why) {
		refuse(i, why);
		return -1;
	}
	i->store->payload_bytes += h->length;
	return 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct instance *i = stream->data;
	(void)buf;
	if (n < 0) {
		instance_close(i);
		return;
	}
	i->have += (size_t)n;
	if (i->have < sizeof i->head || (!i->payload && begin_payload(i) < 0))
		return;
	if (i->have < sizeof i->head + i->head.length)
		return;
	uv_read_stop(stream);
	call_start(i);
}

static void next_call(struct instance *i)
{
	i->store->payload_bytes -= i->payload ? i->head.length : 0;
	free(i->payload);
	i->payload = NULL;
	i->have = 0;
	buf_free(&i->answer);
	uv_read_start((uv_stream_t *)&i->pipe, on_alloc, on_read);
}

static void on_written(uv_write_t *write, int status)
{
	struct instance *i = write->data;
	if (uv_is_closing((uv_handle_t *)&i->pipe))
		return;
	if (status < 0 || i->bad_tickets >= INSTANCE_BAD_TICKETS_MAX)
		instance_close(i);
	else
		next_call(i);
}

void instance_reply(struct instance *i, enum store_status status, struct buf *answer)
{
	i->call = NULL;
	if (uv_is_closing((uv_handle_t *)&i->pipe))
		return;
	i->store->calls[status]++;
	i->answer = *answer;
	*answer = (struct buf){ 0 };
	i->reply = (struct store_reply){ .magic = STORE_REPLY_MAGIC, .status = status };
	if (status == STORE_OK)
		i->reply.length = (uint32_t)i->answer.len;
	uv_buf_t bufs[] = { uv_buf_init((char *)&i->reply, sizeof i->reply),
			    uv_buf_init(i->answer.data, i->reply.length) };
	i->write.data = i;
	if (uv_write(&i->write, (uv_stream_t *)&i->pipe, bufs, i->reply.length ? 2 : 1, on_written) < 0)
		instance_close(i);
}

int instance_publish(struct instance *i, struct err *err)
{
	struct taint_value value;
	if (!i->slot)
		return err_set(err, ERR_INTERNAL, "the instance is gone");
	if (monitor_taint(&i->monitor, &value, err) < 0)
		return -1;
	taint_write(i->slot, &value);
	return 0;
}

bool instance_may(const struct instance *i, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = i->queries; *at;) {
		size_t n = strcspn(at, ",");
		if (n == len && !memcmp(at, name, n))
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

static int check_socket(int fd, struct err *err)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
		return err_set(err, ERR_INVALID, "the descriptor is no Unix stream socket");
	return 0;
}

struct instance *instance_new(struct store *s, const struct attach_message *m, struct taint_slot *slot, int fd,
			      void (*gone)(struct instance *i), void *ctx, struct err *err)
{
	struct taint_value value;
	struct instance *i = calloc(1, sizeof *i);
	int rc = i ? check_socket(fd, err) : err_set(err, ERR_INTERNAL, "out of memory");
	/* A slot whose last writer died in the middle says nothing: nothing may be read on its word. */
	if (rc == 0 && !taint_read(slot, &value))
		rc = err_set(err, ERR_INVALID, "its slot holds no consistent value");
	if (rc == 0)
		rc = monitor_init(&i->monitor, s->policy, m->uuid, m->app, &value, err);
	if (rc == 0 && uv_pipe_init(s->loop, &i->pipe, 0) < 0)
		rc = err_set(err, ERR_INTERNAL, "the socket cannot be watched");
	if (rc < 0) {
		close(fd);
		free(i);
		return NULL;
	}
	i->store = s;
	i->slot = slot;
	i->slot_at = m->slot;
	i->gone = gone;
	i->ctx = ctx;
	i->pipe.data = i;
	memcpy(i->digest, m->digest, sizeof i->digest);
	memcpy(i->queries, m->queries, sizeof i->queries);
	if (uv_pipe_open(&i->pipe, fd) < 0) {
		close(fd);
		instance_close(i);
		err_set(err, ERR_INTERNAL, "the socket cannot be watched");
		return NULL;
	}
	uv_read_start((uv_stream_t *)&i->pipe, on_alloc, on_read);
	return i;
}
