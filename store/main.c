// SPDX-License-Identifier: MIT
//
// ppce-store: the labelled data gateway. One loop decides; pool.h has the only other threads.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "lib/sock.h"
#include "store/attach.h"
#include "store/certificates.h"

struct daemon {
	struct store store;
	uv_loop_t loop;
	struct rest_config rest_config;
	struct rest *rest;
	struct http_server *server;
	struct daemon_life life;
	uv_signal_t hup;
};

/* ---- Start ---- */

/* A platform without queries.yaml has no queries. */
static int load_queries(struct store *s, struct err *err)
{
	char path[320];
	config_path(&s->config, "queries.yaml", path, sizeof path);
	s->queries = access(path, F_OK) < 0 && errno == ENOENT ? queries_parse(s->policy, path, "", 0, err)
							       : queries_load(s->policy, path, err);
	for (size_t i = 0; s->queries && i < s->queries->n; i++)
		s->automata = s->automata || s->queries->query[i].use.set;
	return s->queries ? 0 : -1;
}

static int load_config(struct store *s, const char *dir, struct err *err)
{
	char path[320];
	if (daemon_begin("store", dir, &s->config, err) < 0)
		return -1;
	s->policy = policy_load(config_path(&s->config, "policy.yaml", path, sizeof path), err);
	if (!s->policy || load_queries(s, err) < 0)
		return -1;
	if (ticket_key_load(config_path(&s->config, "secrets/ticket.key", path, sizeof path), s->key, err) < 0)
		return -1;
	if (daemon_mkdir(&s->config, "state", err) < 0 || daemon_mkdir(&s->config, "run", err) < 0)
		return -1;
	return 0;
}

static int open_state(struct store *s, struct err *err)
{
	char path[320], auth[300];
	s->state = state_open(config_path(&s->config, "state/store.db", path, sizeof path), err);
	if (!s->state)
		return -1;
	s->certificates = certificates_load(s->policy, s->config.dir, err);
	if (!s->certificates)
		return -1;
	s->audit = audit_open(s->loop, config_path(&s->config, "run/audit-log.sock", path, sizeof path), "store", err);
	if (!s->audit)
		return -1;
	s->http = http_client_new(s->loop);
	snprintf(s->auth_address, sizeof s->auth_address, "unix:%s",
		 config_path(&s->config, "run/auth.sock", auth, sizeof auth));
	return s->http ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

static int start_pool(struct store *s, struct err *err)
{
	static char path[320];
	struct database_config c = { .queries = s->queries,
				     .path = config_path(&s->config, "state/data.db", path, sizeof path) };
	s->pool = pool_new(s->loop, &c, err);
	return s->pool ? 0 : -1;
}

static int open_attach_socket(struct store *s, struct err *err)
{
	char path[320];
	int fd = sock_listen_unix(config_path(&s->config, "run/store-attach.sock", path, sizeof path), SOCK_SEQPACKET,
				  err);
	if (fd < 0)
		return -1;
	s->attach = attach_new(s, fd, err);
	return s->attach ? 0 : -1;
}

static int open_rest_socket(struct daemon *d, struct err *err)
{
	char path[320];
	rest_api_config(&d->store, &d->rest_config);
	d->rest = rest_new(&d->rest_config);
	if (!d->rest)
		return err_set(err, ERR_INTERNAL, "out of memory");
	d->server = rest_listen_unix(&d->loop, config_path(&d->store.config, "run/store.sock", path, sizeof path),
				     d->rest, err);
	return d->server ? 0 : -1;
}

/* ---- Run and end ---- */

/* Instances first: nobody gets anything after that. Then each part closes its handles and so lets the loop end. */
static void end(void *daemon)
{
	struct daemon *d = daemon;
	struct store *s = &d->store;
	log_info("ending");
	if (s->attach)
		attach_stop(s->attach);
	if (s->pool)
		pool_stop(s->pool);
	if (d->server)
		http_server_stop(d->server);
	if (s->http)
		http_client_free(s->http);
	if (s->audit)
		audit_close(s->audit);
	s->http = NULL;
	s->audit = NULL;
	uv_close((uv_handle_t *)&d->hup, NULL);
	daemon_grace(&d->life, "calls");
}

static void on_hup(uv_signal_t *signal, int number)
{
	struct daemon *d = signal->data;
	struct err err;
	(void)number;
	if (d->store.certificates && store_reload(&d->store, &err) < 0)
		log_error("certificates stay as they were: %s", err.text);
}

static void start_handles(struct daemon *d)
{
	daemon_watch(&d->life, &d->loop, end, d);
	uv_signal_init(&d->loop, &d->hup);
	d->hup.data = d;
	uv_signal_start(&d->hup, on_hup, SIGHUP);
}

static int start(struct daemon *d, struct err *err)
{
	struct store *s = &d->store;
	s->loop = &d->loop;
	if (open_state(s, err) < 0 || start_pool(s, err) < 0 || open_attach_socket(s, err) < 0)
		return -1;
	return open_rest_socket(d, err);
}

static void close_state(struct store *s)
{
	certificates_free(s->certificates);
	state_close(s->state);
	queries_free(s->queries);
	policy_free(s->policy);
	sodium_memzero(&s->key, sizeof s->key);
}

static int run(struct daemon *d, struct err *err)
{
	uv_loop_init(&d->loop);
	start_handles(d);
	int rc = start(d, err);
	if (rc < 0)
		end(d);
	else
		log_info("ready");
	uv_run(&d->loop, UV_RUN_DEFAULT);
	daemon_close(&d->life);
	rest_free(d->rest);
	close_state(&d->store);
	return rc;
}

static const char usage[] =
	"usage: ppce-store -C DIR\n"
	"\n"
	"Labelled data behind named queries, for the apps of the platform in DIR (made by `ppce init DIR`).\n"
	"Usually started by `ppce up`. SIGTERM ends it; SIGHUP reads certificates anew.\n";

int main(int argc, char **argv)
{
	static struct daemon d;
	const char *dir = daemon_arguments(argc, argv, usage, NULL, NULL);
	struct err err;
	return load_config(&d.store, dir, &err) < 0 || run(&d, &err) < 0 ? daemon_failed(&err) : 0;
}
