/* SPDX-License-Identifier: MIT */
#include "vmmd/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/store.h>
#include "lib/log.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"

#define RETRY_MS 250
#define MESSAGES_A_TURN 32 /* then other sockets get their turn */

static void on_poll(uv_poll_t *poll, int status, int events);

bool attach_connected(const struct vmmd *v)
{
	return v->attach.fd >= 0;
}

/* --- slots ------------------------------------------------------------------------------------------------------- */

static void free_slot(struct attach *a, uint32_t slot)
{
	if (a->slots[slot].state == ATTACH_ENDED)
		a->nended--;
	a->slots[slot].state = ATTACH_FREE;
	a->free[a->nfree++] = slot;
}

static uint32_t take_slot(struct attach *a, const struct instance *i)
{
	struct taint_value value = { .seq = 0 };
	uint32_t slot = a->free[--a->nfree];
	struct attach_slot *s = &a->slots[slot];

	s->state = ATTACH_USED;
	s->generation = a->generation;
	memcpy(s->uuid, i->uuid, sizeof s->uuid);
	memcpy(value.uuid, i->uuid, sizeof value.uuid);
	memcpy(value.label, i->label, sizeof value.label);
	taint_write(&a->taint->slot[slot], &value);
	return slot;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static int send_gone(struct attach *a, uint32_t slot)
{
	struct attach_message m = { .type = ATTACH_GONE, .slot = slot };

	memcpy(m.uuid, a->slots[slot].uuid, sizeof m.uuid);
	return sock_send_fds(a->fd, &m, sizeof m, NULL, 0);
}

/* Tells the store of ended instances while its socket takes it. A broken socket is the loop's affair. */
static void flush(struct attach *a)
{
	for (uint32_t slot = 0; slot < TAINT_SLOTS && a->nended; slot++) {
		if (a->slots[slot].state != ATTACH_ENDED)
			continue;
		if (send_gone(a, slot) < 0)
			break;
		a->slots[slot].state = ATTACH_WAITING;
		a->nended--;
	}
	uv_poll_start(a->poll, a->nended ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

static int hand_over(struct attach *a, const struct instance *i, const char *queries, int fd)
{
	struct attach_message m = { .type = ATTACH_INSTANCE, .slot = i->slot };

	memcpy(m.uuid, i->uuid, sizeof m.uuid);
	memcpy(m.app, i->app->r.name, sizeof m.app);
	memcpy(m.digest, i->digest, sizeof m.digest);
	snprintf(m.queries, sizeof m.queries, "%s", queries);
	return sock_send_fds(a->fd, &m, sizeof m, &fd, 1);
}

int attach_instance(struct vmmd *v, struct instance *i, const char *queries, struct err *err)
{
	struct attach *a = &v->attach;
	int pair[2];

	if (a->fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "app %s reads data, and the store is not connected",
			       i->app->r.name);
	if (!a->nfree || a->nended) /* a socket that is full of ends would take no beginning */
		return err_set(err, a->nfree ? ERR_UNAVAILABLE : ERR_FULL, "the store keeps up with no more instances");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_UNAVAILABLE, "no socket to the store can be made");
	i->slot = take_slot(a, i);
	int rc = hand_over(a, i, queries, pair[0]);
	close(pair[0]);
	if (rc == 0)
		return pair[1];
	err_errno(err, ERR_UNAVAILABLE, "the store took no instance");
	close(pair[1]);
	free_slot(a, i->slot); /* the store never heard of it */
	i->slot = TAINT_NONE;
	return -1;
}

void attach_release(struct vmmd *v, struct instance *i)
{
	struct attach *a = &v->attach;
	uint32_t slot = i->slot;

	i->slot = TAINT_NONE;
	if (slot == TAINT_NONE)
		return;
	if (a->fd < 0 || a->slots[slot].generation != a->generation) {
		free_slot(a, slot);
		return;
	}
	a->slots[slot].state = ATTACH_ENDED;
	if (a->nended++ == 0)
		flush(a);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void disconnect(struct attach *a)
{
	if (a->poll)
		uv_close((uv_handle_t *)a->poll, free_handle);
	a->poll = NULL;
	sock_close(&a->fd);
}

static void try_connect(uv_timer_t *timer);

/* Whoever holds the slots of the lost connection is to stop writing; their instances end, and then the slots are free. */
static void lose(struct vmmd *v, const char *why)
{
	struct attach *a = &v->attach;
	struct instance *i;

	log_warn("the store is gone (%s): its instances end", why);
	disconnect(a);
	for (uint32_t slot = 0; slot < TAINT_SLOTS; slot++)
		if (a->slots[slot].state == ATTACH_ENDED || a->slots[slot].state == ATTACH_WAITING)
			free_slot(a, slot);
	INSTANCE_FOREACH (v, i)
		if (i->slot != TAINT_NONE)
			instance_stop(i, "the store is gone");
	uv_timer_start(&a->retry, try_connect, RETRY_MS, 0);
}

static bool take_released(struct attach *a, const struct attach_message *m)
{
	if (m->type != ATTACH_RELEASED || m->slot >= TAINT_SLOTS || a->slots[m->slot].state != ATTACH_WAITING ||
	    strcmp(a->slots[m->slot].uuid, m->uuid) != 0)
		return false;
	free_slot(a, m->slot);
	return true;
}

/* Reads one packet. 1: taken, 0: nothing there, -1: the connection is to be given up, for *why. */
static int read_message(struct attach *a, const char **why)
{
	struct attach_message m;
	bool surplus;
	ssize_t n = sock_recv_packet(a->fd, &m, sizeof m, NULL, &surplus);

	if (n < 0 && errno == EAGAIN)
		return 0;
	*why = n < 0 ? strerror(errno) : "closed";
	if (n <= 0)
		return -1;
	if (!surplus && attach_valid(&m, (size_t)n) && take_released(a, &m))
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
		rc = read_message(&v->attach, &why);
	if (rc < 0)
		lose(v, why);
	else if (events & UV_WRITABLE)
		flush(&v->attach);
}

static int greet(struct attach *a, struct err *err)
{
	struct attach_message m = { .type = ATTACH_TABLE };

	if (sock_send_fds(a->fd, &m, sizeof m, &a->table, 1) < 0)
		return err_errno(err, ERR_UNAVAILABLE, "the store does not take the taint table");
	return 0;
}

static int start_connection(struct vmmd *v, struct err *err)
{
	struct attach *a = &v->attach;
	char path[300];

	a->fd = sock_connect_unix(config_path(&v->config, "run/store-attach.sock", path, sizeof path), SOCK_SEQPACKET,
				  err);
	if (a->fd < 0 || sock_check_peer(a->fd, NULL, err) < 0 || greet(a, err) < 0)
		return -1;
	a->poll = malloc(sizeof *a->poll);
	if (!a->poll)
		return err_set(err, ERR_INTERNAL, "out of memory");
	if (uv_poll_init(&v->loop, a->poll, a->fd) < 0) {
		free(a->poll);
		a->poll = NULL;
		return err_set(err, ERR_INTERNAL, "%s cannot be polled", path);
	}
	a->poll->data = v;
	uv_poll_start(a->poll, UV_READABLE, on_poll);
	return 0;
}

static void try_connect(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	struct attach *a = &v->attach;
	struct err err;

	if (start_connection(v, &err) < 0) {
		if (!a->missing_logged)
			log_info("no store yet, so apps that read data do not start; trying on: %s", err.text);
		a->missing_logged = true;
		disconnect(a);
		uv_timer_start(&a->retry, try_connect, RETRY_MS, 0);
		return;
	}
	a->generation++;
	a->missing_logged = false;
	log_info("connected to the store");
}

/* --- start and end -------------------------------------------------------------------------------------------------- */

/* Nobody can cut it under the feet of those who have it mapped. */
static int make_table(struct attach *a, struct err *err)
{
	a->table = memfd_create("ppce-taint", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (a->table < 0 || ftruncate(a->table, sizeof *a->taint) < 0 ||
	    fcntl(a->table, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_errno(err, ERR_INTERNAL, "the taint table");
	void *taint = mmap(NULL, sizeof *a->taint, PROT_READ | PROT_WRITE, MAP_SHARED, a->table, 0);
	if (taint == MAP_FAILED)
		return err_errno(err, ERR_INTERNAL, "mapping the taint table");
	a->taint = taint;
	return 0;
}

int attach_start(struct vmmd *v, struct err *err)
{
	struct attach *a = &v->attach;

	a->fd = -1;
	if (make_table(a, err) < 0)
		return -1;
	for (uint32_t slot = TAINT_SLOTS; slot-- > 0;)
		free_slot(a, slot);
	a->retry.data = v;
	uv_timer_init(&v->loop, &a->retry);
	try_connect(&a->retry);
	return 0;
}

void attach_end(struct vmmd *v)
{
	struct attach *a = &v->attach;

	disconnect(a);
	uv_close((uv_handle_t *)&a->retry, NULL);
	munmap(a->taint, sizeof *a->taint);
	sock_close(&a->table);
}

/* Opening it by its name in /proc makes an open file of its own, whose mode is not that of ours. */
int attach_table_reader(struct vmmd *v, struct err *err)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", v->attach.table);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_errno(err, ERR_INTERNAL, "%s, the taint table", path);
}

bool attach_has_read(const struct vmmd *v, const struct instance *i)
{
	struct taint_value value;
	if (i->slot == TAINT_NONE)
		return false;
	if (!taint_read(&v->attach.taint->slot[i->slot], &value) || strcmp(value.uuid, i->uuid) != 0)
		return true;
	return value.seq > 0 && strcmp(value.label, v->bottom) != 0;
}
