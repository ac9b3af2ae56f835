/* SPDX-License-Identifier: MIT
 *
 * The start of an instance of a foreign unikernel: tap, command line, and trying its port until it accepts.
 */
#include "vmmd/foreign.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ppce/exec.h>
#include "lib/names.h"
#include "vmmd/vmmd.h"

#define TAP_MS 10000
#define GAP_MIN_MS 5
#define GAP_MAX_MS 100
#define EXPANDED_SIZE 1024

struct attempt { /* one connection; freed by the loop */
	uv_tcp_t tcp;
	uv_connect_t request;
	struct foreign *foreign; /* NULL: given up */
};

struct foreign {
	struct vmmd *v;
	struct instance *instance;
	uv_timer_t timer;
	struct attempt *attempt;
	unsigned gap_ms;
	uint64_t since_ns; /* when it got its command line */
};

/* --- arguments ----------------------------------------------------------------------------------------------------- */

enum placeholder { IPV4, PREFIX, GATEWAY, PORT, PLACEHOLDERS };
static const char *const placeholders[PLACEHOLDERS] = { "{ipv4}", "{prefix}", "{gateway}", "{port}" };

static int placeholder_at(const char *text)
{
	for (int p = 0; p < PLACEHOLDERS; p++)
		if (strncmp(text, placeholders[p], strlen(placeholders[p])) == 0)
			return p;
	return -1;
}

int foreign_args_check(const char *args, struct err *err)
{
	for (const char *p = args; *p; p++) {
		if (*p < ' ' || *p > '~')
			return err_set(err, ERR_INVALID, "args: only printable ASCII can stand there");
		if (*p == '{' && placeholder_at(p) < 0)
			return err_set(
				err, ERR_INVALID,
				"args: unknown placeholder at `%.20s`; there are {ipv4}, {prefix}, {gateway} and "
				"{port}",
				p);
	}
	return 0;
}

/* False if it does not fit. */
static bool expand(const char *args, const char *const values[PLACEHOLDERS], char out[EXPANDED_SIZE])
{
	size_t len = 0;
	while (*args) {
		int p = *args == '{' ? placeholder_at(args) : -1;
		size_t from = p < 0 ? 1 : strlen(placeholders[p]), size = p < 0 ? 1 : strlen(values[p]);
		if (len + size >= EXPANDED_SIZE)
			return false;
		memcpy(out + len, p < 0 ? args : values[p], size);
		args += from;
		len += size;
	}
	out[len] = '\0';
	return true;
}

static void address_text(uint32_t address, char out[INET_ADDRSTRLEN])
{
	struct in_addr a = { .s_addr = htonl(address) };
	inet_ntop(AF_INET, &a, out, INET_ADDRSTRLEN);
}

/* --- the command line ---------------------------------------------------------------------------------------------- */

static int send_command(struct instance *i, const struct net_message *net, struct err *err)
{
	const struct image_record *image = &i->app->image->r;
	char ipv4[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN], prefix[8], port[8], args[EXPANDED_SIZE];
	char memory[32], tap[SOLO5_DEVICE_SIZE + NET_IFNAME_SIZE + 8], mac[SOLO5_DEVICE_SIZE + 40];
	const char *const values[PLACEHOLDERS] = { ipv4, prefix, gateway, port };
	const uint8_t *m = net->mac;

	address_text(net->ipv4, ipv4);
	address_text(net->gateway, gateway);
	snprintf(prefix, sizeof prefix, "%u", net->prefix & 63);
	snprintf(port, sizeof port, "%u", i->app->r.port & 65535);
	if (!expand(i->app->r.args, values, args))
		return err_set(err, ERR_INVALID, "the app's args are too long with everything filled in");
	snprintf(memory, sizeof memory, "--mem=%u", image->memory_mib);
	snprintf(tap, sizeof tap, "--net:%s=%s", image->device, net->name);
	snprintf(mac, sizeof mac, "--net-mac:%s=%02x:%02x:%02x:%02x:%02x:%02x", image->device, m[0], m[1], m[2], m[3],
		 m[4], m[5]);
	const char *const argv[] = { "solo5-hvt", memory, tap, mac, "--", EXEC_IMAGE, *args ? args : NULL, NULL };
	return tender_command(i->tender, argv, err);
}

/* --- trying its port ----------------------------------------------------------------------------------------------- */

static void free_attempt(uv_handle_t *h)
{
	free(h->data);
}

static void drop_attempt(struct foreign *f)
{
	if (!f->attempt)
		return;
	f->attempt->foreign = NULL;
	uv_close((uv_handle_t *)&f->attempt->tcp, free_attempt);
	f->attempt = NULL;
}

static void free_foreign(uv_handle_t *h)
{
	free(h->data);
}

void foreign_release(struct instance *i)
{
	struct foreign *f = i->foreign;
	if (!f)
		return;
	i->foreign = NULL;
	drop_attempt(f);
	uv_close((uv_handle_t *)&f->timer, free_foreign);
}

static void answering(struct foreign *f)
{
	struct instance *i = f->instance;
	i->bind_us = (uint32_t)((clock_ns() - f->since_ns) / 1000);
	foreign_release(i);
	instance_announce(f->v, i, -1);
	instance_running(i);
}

/* A refusal is not acted upon: the timer tries again. */
static void on_connect(uv_connect_t *request, int status)
{
	struct attempt *a = request->data;
	if (a->foreign && status == 0 && a->foreign->instance->state == INSTANCE_BINDING)
		answering(a->foreign);
}

static void try_port(struct foreign *f)
{
	const struct instance *i = f->instance;
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)i->app->r.port),
				  .sin_addr.s_addr = htonl(i->net->ipv4) };
	struct attempt *a = calloc(1, sizeof *a);

	drop_attempt(f);
	if (!a)
		return;
	a->foreign = f;
	a->tcp.data = a->request.data = a;
	uv_tcp_init(&f->v->loop, &a->tcp);
	f->attempt = a;
	if (uv_tcp_connect(&a->request, &a->tcp, (const struct sockaddr *)&to, on_connect) < 0)
		drop_attempt(f);
}

/* A SYN that comes before the unikernel listens is lost or refused, so each try is a new one. */
static void on_timer(uv_timer_t *timer)
{
	struct foreign *f = timer->data;
	if (f->instance->state != INSTANCE_BINDING)
		return; /* it was stopped, and its process is not reaped yet */
	try_port(f);
	f->gap_ms = f->gap_ms * 2 < GAP_MAX_MS ? f->gap_ms * 2 : GAP_MAX_MS;
	uv_timer_start(timer, on_timer, f->gap_ms, 0);
}

static int watch_port(struct vmmd *v, struct instance *i, struct err *err)
{
	struct foreign *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(err, ERR_INTERNAL, "out of memory");
	f->v = v;
	f->instance = i;
	f->gap_ms = GAP_MIN_MS;
	f->since_ns = clock_ns();
	f->timer.data = f;
	uv_timer_init(&v->loop, &f->timer);
	uv_timer_start(&f->timer, on_timer, f->gap_ms, 0);
	i->foreign = f;
	return 0;
}

/* --- the start ------------------------------------------------------------------------------------------------------ */

static int begin(struct vmmd *v, struct instance *i, const struct net_message *net, struct err *err)
{
	i->state = INSTANCE_BINDING;
	tender_deadline(i->tender, v->config.vmmd.boot_ms, "accepting a connection on its port");
	if (send_command(i, net, err) < 0)
		return -1;
	return watch_port(v, i, err);
}

static void on_tap(struct instance *i, const struct network_tap *tap, const struct err *refused)
{
	struct vmmd *v = i->tender->v;
	struct err err;

	if (i->state != INSTANCE_WAITING)
		return; /* it was stopped, and its process is not reaped yet */
	if (!tap)
		instance_give_up(v, i, refused);
	else if (begin(v, i, &tap->taken, &err) < 0)
		instance_give_up(v, i, &err);
}

int foreign_start(struct vmmd *v, struct instance *i, struct err *err)
{
	const struct app *app = i->app;
	const struct image *image = app->image;
	struct network_wish wish = { .fresh = app->r.no_taps, .named = true };
	char program[FOREIGN_PATH_SIZE];

	if (foreign_program(v, program, err) < 0 || network_grant(v, i, app->r.sinks, err) < 0)
		return -1;
	memcpy(wish.sinks, i->net->sinks, sizeof wish.sinks);
	wish.uid = v->tenders.uid[0] ? (uint32_t)strtoul(v->tenders.uid, NULL, 10) : geteuid();
	wish.gid = v->tenders.gid[0] ? (uint32_t)strtoul(v->tenders.gid, NULL, 10) : getegid();
	if (network_take(v, i, &wish, on_tap, err) < 0)
		return -1;
	i->tender = tender_spawn_foreign(v, program, image->snapshot, image->r.memory_mib, &instance_owner, i, err);
	if (!i->tender)
		return -1;
	i->spawn_us = i->tender->spawn_us;
	tender_deadline(i->tender, TAP_MS, "getting a tap");
	return 0;
}
