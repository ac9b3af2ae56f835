// SPDX-License-Identifier: MIT
//
// ppce-auth: users, logins and sessions. One loop; see hasher.h for the only other threads.
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/sessions.h"
#include "auth/withdraw.h"
#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"

#define THROTTLE_ENTRIES 16384 /* 256 KiB per table */
#define SWEEP_MS 60000

struct daemon {
	struct auth auth;
	uv_loop_t loop;
	struct rest_config rest_config;
	struct rest *rest;
	struct http_server *server;
	struct daemon_life life;
	uv_timer_t sweep;
};

/* JSON texts of requests hold passwords: nothing of jansson's goes back to the heap unwiped. */
static void free_wiped(void *p)
{
	if (p)
		sodium_memzero(p, malloc_usable_size(p));
	free(p);
}

/* ---- Start ---- */

static int load_config(struct auth *a, const char *dir, struct err *err)
{
	char path[320];

	json_set_alloc_funcs(malloc, free_wiped);
	if (daemon_begin("auth", dir, &a->config, err))
		return -1;
	a->policy = policy_load(config_path(&a->config, "policy.yaml", path, sizeof path), err);
	if (!a->policy)
		return -1;
	if (daemon_mkdir(&a->config, "state", err) || daemon_mkdir(&a->config, "run", err) ||
	    daemon_mkdir(&a->config, "log", err))
		return -1;
	return 0;
}

static int open_state(struct auth *a, struct err *err)
{
	char path[320];

	a->db = db_open(config_path(&a->config, "state/auth.db", path, sizeof path), err);
	if (!a->db)
		return -1;
	a->audit = audit_open(NULL, config_path(&a->config, "run/audit-log.sock", path, sizeof path), "auth", err);
	if (!a->audit)
		return -1;
	a->by_user = throttle_new(THROTTLE_ENTRIES, a->config.auth.tries_per_minute);
	a->by_address = throttle_new(THROTTLE_ENTRIES, 5 * a->config.auth.tries_per_minute);
	if (!a->by_user || !a->by_address)
		return err_set(err, ERR_INTERNAL, "out of memory");
	random_bytes(a->decoy_secret, sizeof a->decoy_secret);
	return 0;
}

static int open_session_socket(struct daemon *d, struct err *err)
{
	struct auth *a = &d->auth;
	char path[320];
	int fd = sock_listen_unix(config_path(&a->config, "run/auth-session.sock", path, sizeof path), SOCK_SEQPACKET,
				  err);

	if (fd < 0)
		return -1;
	a->lookup = lookup_new(&d->loop, fd, a->db, a->policy, err);
	return a->lookup ? 0 : -1;
}

static int open_outbox(struct daemon *d, struct err *err)
{
	struct auth *a = &d->auth;
	char path[320];

	config_path(&a->config, "run/store.sock", path, sizeof path);
	a->outbox = outbox_new(&d->loop, a->db, path, automaton_count(a->policy) > 0, err);
	return a->outbox ? 0 : -1;
}

static int open_rest_socket(struct daemon *d, struct err *err)
{
	struct http_limits limits = http_limits_default;
	char path[320];
	int fd = sock_listen_unix(config_path(&d->auth.config, "run/auth.sock", path, sizeof path), SOCK_STREAM, err);

	if (fd < 0)
		return -1;
	limits.body_bytes = 16 << 10; /* a login is a few hundred bytes */
	limits.connections = 256;
	rest_api_config(&d->auth, &d->rest_config);
	d->rest = rest_new(&d->rest_config);
	if (!d->rest) {
		close(fd);
		return err_set(err, ERR_INTERNAL, "out of memory");
	}
	d->server = http_server_start(&d->loop, fd, &limits, rest_handle, d->rest, err);
	if (!d->server)
		return -1;
	http_server_check_peers(d->server);
	return 0;
}

static int start_hasher(struct daemon *d, struct err *err)
{
	const struct config *c = &d->auth.config;
	struct hasher_config h = { c->auth.hash_workers, c->auth.hash_queue, c->auth.argon2_passes,
				   (size_t)c->auth.argon2_memory_mib << 20 };

	d->auth.hasher = hasher_new(&d->loop, &h, err);
	return d->auth.hasher ? 0 : -1;
}

/* ---- Run and end ---- */

static void on_sweep(uv_timer_t *timer)
{
	struct auth *a = timer->data;
	struct err err;

	if (session_sweep(a->db, clock_unix(), &err) < 0)
		log_warn("expired sessions stay in the database for now: %s", err.text);
}

/* Each part answers what it still owes, closes its handles and so lets the loop end. */
static void end(void *daemon)
{
	struct daemon *d = daemon;
	log_info("ending");
	if (d->auth.hasher)
		hasher_stop(d->auth.hasher);
	expiry_stop(&d->auth);
	if (d->auth.lookup)
		lookup_stop(d->auth.lookup);
	if (d->auth.outbox)
		outbox_stop(d->auth.outbox);
	if (d->server)
		http_server_stop(d->server);
	uv_close((uv_handle_t *)&d->sweep, NULL);
	daemon_grace(&d->life, "answers");
}

static void start_handles(struct daemon *d)
{
	daemon_watch(&d->life, &d->loop, end, d);
	uv_timer_init(&d->loop, &d->sweep);
	d->sweep.data = &d->auth;
	uv_timer_start(&d->sweep, on_sweep, 0, SWEEP_MS);
	expiry_init(&d->auth, &d->loop);
}

static int start(struct daemon *d, struct err *err)
{
	if (open_state(&d->auth, err))
		return -1;
	if (start_hasher(d, err) || open_outbox(d, err) || open_session_socket(d, err) || open_rest_socket(d, err))
		return -1;
	expiry_update(&d->auth);
	return 0;
}

static void close_state(struct auth *a)
{
	throttle_free(a->by_user);
	throttle_free(a->by_address);
	if (a->audit)
		audit_close(a->audit);
	db_close(a->db);
	policy_free(a->policy);
}

static int run(struct daemon *d, struct err *err)
{
	int rc;

	uv_loop_init(&d->loop);
	start_handles(d);
	rc = start(d, err);
	if (rc)
		end(d);
	else
		log_info("ready");
	uv_run(&d->loop, UV_RUN_DEFAULT);
	daemon_close(&d->life);
	rest_free(d->rest);
	close_state(&d->auth);
	return rc;
}

static const char usage[] = "usage: ppce-auth -C DIR\n"
			    "\n"
			    "Users, logins and sessions of the platform in DIR (made by `ppce init DIR`).\n"
			    "Usually started by `ppce up`. SIGTERM ends it.\n";

int main(int argc, char **argv)
{
	static struct daemon d;
	const char *dir = daemon_arguments(argc, argv, usage, NULL, NULL);
	struct err err;

	return load_config(&d.auth, dir, &err) || run(&d, &err) ? daemon_failed(&err) : 0;
}
