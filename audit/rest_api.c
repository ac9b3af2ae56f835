// SPDX-License-Identifier: MIT
//
// GET /v1/audit and its like. Searching reads the files, as `ppce audit` does, in a thread of libuv's pool: a long search
// must not hold up a record.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/auditd.h"
#include "audit/query.h"
#include "lib/audit_files.h"
#include "lib/sock.h"

#define CONNECTIONS_MAX 64u

struct rest_api {
	struct rest_config config;
	struct rest *rest;
	struct http_server *server;
};

struct job { /* one search; the thread sees dir, query, seq and the results */
	uv_work_t work;
	struct rest_call *call;
	char dir[300];
	bool proof;
	uint64_t seq;
	struct query query;
	json_t *found;
	struct err err;
};

/* ---- in the thread ---- */

static void run_job(uv_work_t *work)
{
	struct job *j = work->data;
	if (!j->proof) {
		j->found = query_run(j->dir, &j->query, &j->err);
		return;
	}
	/* A checkpoint may be written between two of the files that are read: the second try then finds them. */
	for (int tries = 0; tries < 3 && !j->found; tries++)
		audit_proof_make(j->dir, j->seq, &j->found, &j->err);
}

/* ---- in the loop ---- */

static void on_job_done(uv_work_t *work, int status)
{
	struct job *j = work->data;
	(void)status;
	if (j->found)
		rest_reply(j->call, 200, j->found);
	else
		rest_fail(j->call, &j->err);
	free(j);
}

static void start_job(struct auditd *d, struct rest_call *call, struct job *j)
{
	struct job *copy = malloc(sizeof *copy);
	if (!copy) {
		rest_fail(call, &(struct err){ ERR_INTERNAL, "out of memory" });
		return;
	}
	*copy = *j;
	snprintf(copy->dir, sizeof copy->dir, "%s", d->dir);
	copy->call = rest_defer(call);
	copy->work.data = copy;
	uv_queue_work(d->loop, &copy->work, run_job, on_job_done);
}

static void audit_get(struct rest_call *call)
{
	struct auditd *d = call->ctx;
	struct job j = { 0 };
	struct err err;
	if (query_parse(call->x->query, d->tree.size, &j.query, &err) < 0)
		rest_fail(call, &err);
	else
		start_job(d, call, &j);
}

static void checkpoint_get(struct rest_call *call)
{
	struct auditd *d = call->ctx;
	struct note_checkpoint at;
	char text[NOTE_SIZE], vkey[NOTE_VKEY_SIZE];
	struct err err;
	if (audit_checkpoint_read(d->dir, &d->key, &at, text, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	note_key_format(&d->key, vkey);
	rest_reply(call, 200,
		   json_pack("{s:I, s:I, s:s, s:s}", "size", (json_int_t)at.size, "records", (json_int_t)d->tree.size,
			     "key", vkey, "checkpoint", text));
}

static void proof_get(struct rest_call *call)
{
	struct auditd *d = call->ctx;
	struct job j = { .proof = true };
	struct err err;
	char *end;
	j.seq = strtoull(call->param[0], &end, 10);
	if (*end || strspn(call->param[0], "0123456789") != strlen(call->param[0]) || strlen(call->param[0]) > 18) {
		err_set(&err, ERR_INVALID, "the number of a record was expected");
		rest_fail(call, &err);
		return;
	}
	/* A record that no checkpoint covers yet gets one; if that fails, the job says what is missing. */
	if (j.seq < d->tree.size && j.seq >= d->signed_size && checkpoint_write(d, &err) < 0 && d->failed) {
		rest_fail(call, &err);
		return;
	}
	start_job(d, call, &j);
}

static bool ready(void *ctx, struct err *why)
{
	const struct auditd *d = ctx;
	if (d->stop)
		err_set(why, ERR_UNAVAILABLE, "%s: %s",
			d->stop == STOP_HARD ? "the log is stopped until an operator acts"
					     : "the log takes no records at the moment",
			d->why);
	return d->stop == STOP_NONE;
}

static void figure(struct buf *out, const char *name, const char *type, const char *help, unsigned long long value)
{
	buf_printf(out, "# HELP ppce_audit_%s %s\n# TYPE ppce_audit_%s %s\nppce_audit_%s %llu\n", name, help, name,
		   type, name, value);
}

static void metrics(void *ctx, struct buf *out)
{
	const struct auditd *d = ctx;
	figure(out, "records", "gauge", "Records in the log.", d->tree.size);
	figure(out, "signed_records", "gauge", "Records that the last checkpoint covers.", d->signed_size);
	figure(out, "batches_total", "counter", "Writes; each takes all records that waited.", d->batches);
	figure(out, "malformed_total", "counter", "Records that were not understood.", d->malformed);
	figure(out, "refused_total", "counter", "Records refused because the log was stopped.", d->refused);
	figure(out, "clients", "gauge", "Connections on which records come.", d->nclients);
	figure(out, "stopped", "gauge", "1 while no records are taken.", d->stop != STOP_NONE);
}

static const struct rest_route routes[] = {
	{ "GET", "/v1/audit", audit_get,
	  "Records: ?from=&to=&limit=&event=&actor=&app=&request_id=&owner=; without `from` the last ones", NULL },
	{ "GET", "/v1/audit/checkpoint", checkpoint_get, "The last signed checkpoint, and the key", NULL },
	{ "GET", "/v1/audit/proof/{seq}", proof_get, "A proof that a record is in the log", NULL },
	{ 0 },
};

int rest_api_start(struct auditd *d, struct err *err)
{
	struct http_limits limits = http_limits_default;
	char path[512];
	struct rest_api *api = calloc(1, sizeof *api);
	if (!api)
		return err_set(err, ERR_INTERNAL, "out of memory");
	d->api = api;
	limits.connections = CONNECTIONS_MAX;
	api->config = (struct rest_config){
		.title = "ppce-audit", .routes = routes, .ctx = d, .ready = ready, .metrics = metrics
	};
	api->rest = rest_new(&api->config);
	if (!api->rest)
		return err_set(err, ERR_INTERNAL, "out of memory");
	int fd = sock_listen_unix(config_path(&d->config, "run/audit.sock", path, sizeof path), SOCK_STREAM, err);
	if (fd < 0)
		return -1;
	api->server = http_server_start(d->loop, fd, &limits, rest_handle, api->rest, err);
	if (!api->server)
		return -1;
	http_server_check_peers(api->server);
	return 0;
}

void rest_api_stop(struct auditd *d)
{
	if (d->api && d->api->server)
		http_server_stop(d->api->server);
}

void rest_api_free(struct auditd *d)
{
	if (!d->api)
		return;
	rest_free(d->api->rest);
	free(d->api);
}
