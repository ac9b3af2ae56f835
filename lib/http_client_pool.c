/* SPDX-License-Identifier: MIT */
#include "lib/http_client_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IDLE_MS = 30000,
	IDLE_PER_ADDRESS = 8,
	IDLE_TOTAL = 1024,
	IN_START = 8192,
};

void http_client_free_if_done(struct http_client *c)
{
	if (c->freed && c->open_timers == 0 && c->nconns == 0)
		free(c);
}

/* FNV-1a */
static struct conn **bucket(struct http_client *c, const char *address)
{
	uint32_t hash = 2166136261u;
	for (; *address; address++)
		hash = (hash ^ (unsigned char)*address) * 16777619u;
	return &c->conns[(hash ^ hash >> 16) % HTTP_BUCKETS];
}

static void on_close(uv_handle_t *handle)
{
	struct conn *k = handle->data;
	struct http_client *c = k->client;
	if (k->prev)
		k->prev->next = k->next;
	else
		*bucket(c, k->address) = k->next;
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
	client_conn_take(k);
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
	struct conn **head = bucket(c, address);
	k->next = *head;
	if (k->next)
		k->next->prev = k;
	*head = k;
	c->nconns++;
	return k;
fail:
	free(k);
	free(in);
	return NULL;
}

struct conn *client_conn_find_idle(struct http_client *c, const char *address)
{
	for (struct conn *k = *bucket(c, address); k; k = k->next)
		if (k->idle_until && strcmp(k->address, address) == 0)
			return k;
	return NULL;
}

bool client_conn_may_keep(const struct conn *k)
{
	unsigned same = 0;
	if (k->client->keep_none || k->client->nidle >= IDLE_TOTAL || k->client->freed || k->is_unix || k->closed ||
	    k->forgotten || k->writing || k->write_failed || !k->msg.keep_alive ||
	    k->msg.framing == HTTP_BODY_UNTIL_END || k->start < k->end)
		return false;
	for (const struct conn *o = *bucket(k->client, k->address); o; o = o->next)
		same += o->idle_until && strcmp(o->address, k->address) == 0;
	return same < IDLE_PER_ADDRESS;
}

void client_conn_keep(struct conn *k)
{
	k->start = k->end = 0;
	k->idle_until = uv_now(k->client->loop) + IDLE_MS;
	k->client->nidle++;
}

void client_conn_keep_ahead(struct conn *k)
{
	if (k->forgotten || k->client->freed || k->client->nidle >= IDLE_TOTAL) {
		client_conn_close(k);
		return;
	}
	client_conn_keep(k);
	k->idle_until = UINT64_MAX;
}

void client_conn_take(struct conn *k)
{
	k->client->nidle -= k->idle_until != 0;
	k->idle_until = 0;
}

bool client_conn_sweep(struct http_client *c, uint64_t now)
{
	bool more = false;
	for (size_t b = 0; b < HTTP_BUCKETS && c->nidle > 0; b++)
		for (struct conn *k = c->conns[b]; k; k = k->next) {
			if (k->idle_until && now >= k->idle_until)
				client_conn_close(k);
			more |= k->idle_until && k->idle_until != UINT64_MAX;
		}
	return more;
}

void client_conn_close_all(struct http_client *c)
{
	for (size_t b = 0; b < HTTP_BUCKETS; b++)
		for (struct conn *k = c->conns[b]; k; k = k->next)
			client_conn_close(k);
}

static void forget_ahead(struct http_client *c, const char *address)
{
	for (struct http_pending *call = c->calls, *next; call; call = next) {
		next = call->next;
		if (call->ahead && strcmp(call->address, address) == 0)
			http_call_cancel(call);
	}
}

void http_client_forget(struct http_client *c, const char *address)
{
	forget_ahead(c, address);
	for (struct conn *k = *bucket(c, address); k; k = k->next) {
		if (strcmp(k->address, address) != 0)
			continue;
		k->forgotten = true;
		if (k->idle_until)
			client_conn_close(k);
	}
}
