/* SPDX-License-Identifier: MIT */
#include "lib/http_client_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IDLE_MS = 30000,
	IDLE_PER_ADDRESS = 8,
	IDLE_TOTAL = 64,
	IN_START = 8192,
};

void http_client_free_if_done(struct http_client *c)
{
	if (c->freed && c->open_timers == 0 && c->nconns == 0)
		free(c);
}

static void on_close(uv_handle_t *handle)
{
	struct conn *k = handle->data;
	struct http_client *c = k->client;
	if (k->prev)
		k->prev->next = k->next;
	else
		c->conns = k->next;
	if (k->next)
		k->next->prev = k->prev;
	c->nconns--;
	free(k->in);
	buf_free(&k->body);
	free(k);
	http_client_free_if_done(c);
}

/* The descriptor is closed at once; what the connection has received stays readable until the loop goes on. */
void client_conn_close(struct conn *k)
{
	if (k->closed)
		return;
	k->closed = true;
	/* An attempt to connect has nothing to reset, and says so. */
	if (!k->reset || uv_tcp_close_reset(&k->tcp, on_close) != 0)
		uv_close(&k->handle, on_close);
}

struct conn *client_conn_new(struct http_client *c, const char *address)
{
	struct conn *k = calloc(1, sizeof(*k));
	char *in = malloc(IN_START);
	if (!k || !in)
		goto fail;
	k->is_unix = strncmp(address, "unix:", 5) == 0;
	if (k->is_unix ? uv_pipe_init(c->loop, &k->pipe, 0) : uv_tcp_init(c->loop, &k->tcp))
		goto fail;
	k->handle.data = k;
	k->client = c;
	k->in = in;
	k->in_size = IN_START;
	snprintf(k->address, sizeof(k->address), "%s", address);
	k->next = c->conns;
	if (k->next)
		k->next->prev = k;
	c->conns = k;
	c->nconns++;
	return k;
fail:
	free(k);
	free(in);
	return NULL;
}

struct conn *client_conn_find_idle(struct http_client *c, const char *address)
{
	for (struct conn *k = c->conns; k; k = k->next)
		if (!k->call && !k->closed && k->idle_until && strcmp(k->address, address) == 0)
			return k;
	return NULL;
}

bool client_conn_may_keep(const struct conn *k)
{
	unsigned same = 0, all = 0;
	if (k->client->keep_none || k->client->freed || k->is_unix || k->closed || k->forgotten || k->writing ||
	    k->write_failed || !k->msg.keep_alive || k->msg.framing == HTTP_BODY_UNTIL_END || k->start < k->end)
		return false;
	for (const struct conn *o = k->client->conns; o; o = o->next) {
		if (o == k || o->call || o->closed)
			continue;
		all++;
		same += strcmp(o->address, k->address) == 0;
	}
	return same < IDLE_PER_ADDRESS && all < IDLE_TOTAL;
}

void client_conn_keep(struct conn *k)
{
	k->start = k->end = 0;
	k->idle_until = uv_now(k->client->loop) + IDLE_MS;
}

bool client_conn_sweep(struct http_client *c, uint64_t now)
{
	bool kept = false;
	for (struct conn *k = c->conns; k; k = k->next) {
		if (k->call || k->closed)
			continue;
		if (now >= k->idle_until)
			client_conn_close(k);
		else
			kept = true;
	}
	return kept;
}

void http_client_forget(struct http_client *c, const char *address)
{
	for (struct conn *k = c->conns; k; k = k->next) {
		if (strcmp(k->address, address) != 0)
			continue;
		k->forgotten = true;
		if (!k->call)
			client_conn_close(k);
	}
}
