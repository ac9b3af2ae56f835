/* SPDX-License-Identifier: MIT
 *
 * ppce-proxy: the only door of the platform. See proxy.h for the parts and request.c for the path of a request.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/backend.h"
#include "proxy/forward.h"
#include "proxy/grants.h"
#include "proxy/health.h"
#include "proxy/login.h"
#include "proxy/proxy.h"
#include "proxy/request.h"
#include "proxy/rest_api.h"
#include "proxy/revoke.h"
#include "proxy/vmmd.h"

#define END_MS 3000u /* what is under way may still end in this time after SIGTERM */

/* --- the door ------------------------------------------------------------------------------------------------ */

/* Everything that comes in over TCP. TLS will end in front of this, in the server's connection; nothing here changes. */
static void door(void *ctx, struct http_exchange *x)
{
	struct proxy *p = ctx;
	if (strcmp(x->path, "/login") == 0)
		login_handle(p, x);
	else if (strcmp(x->path, "/logout") == 0)
		logout_handle(p, x);
	else if (grants_path(x->path))
		grants_handle(p, x);
	else if (strncmp(x->path, "/v1/", 4) == 0)
		rest_api_door(p, x);
	else if (strcmp(x->path, "/livez") == 0 || strcmp(x->path, "/readyz") == 0)
		rest_handle(p->rest, x);
	else
		request_start(p, x);
}

/* The file tells `ppce` where we listen: port 0 in the configuration stands for any. */
static int tell_address(const struct proxy *p, const char *bound, struct err *err)
{
	char path[512], tmp[520];
	config_path(&p->config, "run/listen", path, sizeof path);
	snprintf(tmp, sizeof tmp, "%s.new", path);
	FILE *f = fopen(tmp, "we");
	bool written = f && fprintf(f, "%s\n", bound) > 0;
	if (f && fclose(f) == 0 && written && rename(tmp, path) == 0)
		return 0;
	return err_errno(err, ERR_INTERNAL, "%s", path);
}

static int open_door(struct proxy *p, const char *listen_on, char *bound, size_t size, struct err *err)
{
	const struct http_limits limits = { .target_bytes = p->config.proxy.target_bytes,
					    .header_bytes = p->config.proxy.header_bytes,
					    .headers = PPCE_HEADERS_MAX,
					    .body_bytes = p->config.proxy.body_bytes,
					    .head_ms = p->config.proxy.head_ms,
					    .body_ms = p->config.proxy.body_ms,
					    .idle_ms = p->config.proxy.idle_ms,
					    .write_ms = http_limits_default.write_ms,
					    .connections = p->config.proxy.connections };
	int fd = http_bind_tcp(listen_on, bound, size, err);
	if (fd < 0)
		return -1;
	p->door = http_server_start(p->loop, fd, &limits, door, p, err);
	return p->door ? tell_address(p, bound, err) : -1;
}

static int open_api(struct proxy *p, struct err *err)
{
	char path[512];
	int fd = sock_listen_unix(config_path(&p->config, "run/proxy.sock", path, sizeof path), SOCK_STREAM, err);
	if (fd < 0)
		return -1;
	p->api = http_server_start(p->loop, fd, &http_limits_default, rest_handle, p->rest, err);
	if (!p->api)
		return -1;
	http_server_check_peers(p->api);
	return 0;
}

/* --- time and signals ---------------------------------------------------------------------------------------- */

static void on_second(uv_timer_t *timer)
{
	struct proxy *p = timer->data;
	uint64_t now = clock_ns();
	sessions_tick(&p->sessions);
	routes_sweep(&p->routes, now);
	registrations_sweep(&p->registrations, now);
}

static void stop(void *loop)
{
	uv_stop(loop);
}

static void start_clocks(struct proxy *p)
{
	uv_timer_init(p->loop, &p->second);
	uv_timer_init(p->loop, &p->waiting);
	p->second.data = p->waiting.data = p;
	uv_timer_start(&p->second, on_second, 1000, 1000);
	daemon_watch(&p->life, p->loop, stop, p->loop);
}

/* --- begin --------------------------------------------------------------------------------------------------- */

static int load(struct proxy *p, const char *dir, struct err *err)
{
	char path[512];
	if (daemon_begin("proxy", dir, &p->config, err) < 0)
		return -1;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	daemon_raise_files();
	p->policy = policy_load(config_path(&p->config, "policy.yaml", path, sizeof path), err);
	if (!p->policy)
		return -1;
	if (ticket_key_load(config_path(&p->config, "secrets/ticket.key", path, sizeof path), p->ticket_key, err) < 0)
		return -1;
	p->audit = audit_open(p->loop, config_path(&p->config, "run/audit-log.sock", path, sizeof path), "proxy", err);
	return p->audit ? 0 : -1;
}

static int begin(struct proxy *p, const char *listen_on, struct err *err)
{
	char path[512], bound[64];
	p->out.cap = sizeof(struct frame_header) + PPCE_REQUEST_BYTES_MAX;
	registrations_init(&p->registrations);
	revoke_init(p);
	p->client = http_client_new(p->loop);
	if (!p->client || routes_init(&p->routes, &backend_ops, p, p->config.proxy.queue, p->config.proxy.queue_ms) < 0)
		return err_set(err, ERR_INTERNAL, "out of memory");
	start_clocks(p);
	health_start(p);
	config_path(&p->config, "run/auth-session.sock", path, sizeof path);
	if (sessions_start(&p->sessions, p->loop, p->policy, path, revoke_instances, p, err) < 0 ||
	    vmmd_start(p, err) < 0 || rest_api_start(p, err) < 0 || open_api(p, err) < 0 ||
	    open_door(p, listen_on ? listen_on : p->config.listen, bound, sizeof bound, err) < 0)
		return -1;
	log_info("ready on http://%s", bound);
	return 0;
}

/* --- end ----------------------------------------------------------------------------------------------------- */

static void on_end(uv_timer_t *timer)
{
	struct proxy *p = timer->data;
	if (p->requests == 0 || uv_now(p->loop) >= p->end_ms)
		uv_stop(p->loop);
}

static void wait_for_requests(struct proxy *p)
{
	p->end_ms = uv_now(p->loop) + END_MS;
	uv_timer_start(&p->second, on_end, 0, 20);
	uv_run(p->loop, UV_RUN_DEFAULT);
}

/* No new requests; those under way get END_MS. */
static void drain(struct proxy *p)
{
	http_server_stop(p->door);
	http_server_stop(p->api);
	wait_for_requests(p);
}

/* Answers whatever is still under way, wherever it waits. */
static void refuse_rest(struct proxy *p)
{
	struct instance *i;
	routes_expire(&p->routes, UINT64_MAX);
	TAILQ_FOREACH (i, &p->routes.instances, all) {
		struct request *r = backend_take_request(backend_of(i));
		if (r)
			forward_lost(r, ERR_UNAVAILABLE, "stopped");
	}
	http_client_free(p->client);
	p->client = NULL;
	sessions_stop(&p->sessions);
}

static void end(struct proxy *p)
{
	char path[512];
	drain(p);
	refuse_rest(p);
	wait_for_requests(p); /* until the records of their refusals are written */
	audit_close(p->audit);
	link_stop(&p->vmmd);
	routes_free(&p->routes);
	registrations_free(&p->registrations);
	revoke_free(p);
	uv_close((uv_handle_t *)&p->second, NULL);
	uv_close((uv_handle_t *)&p->waiting, NULL);
	health_stop(p);
	daemon_unwatch(&p->life);
	unlink(config_path(&p->config, "run/proxy.sock", path, sizeof path));
	uv_run(p->loop, UV_RUN_DEFAULT);
	rest_free(p->rest);
	request_free_spares(p);
	buf_free(&p->out);
	taint_free(&p->taint);
	policy_free(p->policy);
	uv_loop_close(p->loop);
}

static const char usage[] =
	"usage: ppce-proxy -C DIR [--listen ADDRESS:PORT]\n"
	"The door of the platform in DIR, as made by `ppce init DIR`. Usually started by `ppce up`.\n";

int main(int argc, char **argv)
{
	static struct proxy proxy;
	const char *listen_on = NULL, *dir = daemon_arguments(argc, argv, usage, "listen", &listen_on);
	struct err err;
	proxy.loop = uv_default_loop();
	if (load(&proxy, dir, &err) < 0 || begin(&proxy, listen_on, &err) < 0)
		return daemon_failed(&err);
	uv_run(proxy.loop, UV_RUN_DEFAULT);
	log_info("ending");
	end(&proxy);
	return 0;
}
