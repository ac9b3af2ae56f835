// SPDX-License-Identifier: MIT
//
// ppce-audit: the only writer of the audit log. See auditd.h for the parts and docs/audit.md for the files.
#include <stdio.h>
#include <sys/prctl.h>

#include "audit/auditd.h"
#include "lib/daemon.h"
#include "lib/log.h"

struct daemon {
	struct auditd a;
	uv_loop_t loop;
	struct daemon_life life;
};

static const char usage[] = "usage: ppce-audit -C DIR\n"
			    "\n"
			    "Writes the audit log of the platform in DIR (made by `ppce init DIR`) to DIR/log/audit.\n"
			    "Usually started by `ppce up`. SIGTERM ends it.\n";

/* ---- what stops the log ---- */

void auditd_stop(struct auditd *d, enum stop stop, const struct err *why)
{
	if (d->stop == STOP_HARD)
		return;
	if (d->stop != stop)
		log_error("no records are taken: %s", why->text);
	d->stop = stop;
	snprintf(d->why, sizeof d->why, "%s", why->text);
}

void auditd_go_on(struct auditd *d)
{
	if (d->stop != STOP_SOFT)
		return;
	log_info("records are taken again");
	d->stop = STOP_NONE;
}

void auditd_fail(struct auditd *d, const struct err *why)
{
	log_error("%s", why->text);
	auditd_stop(d, STOP_HARD, why);
	d->failed = 1;
	if (d->loop)
		uv_stop(d->loop);
}

/* ---- start ---- */

static int load_config(struct auditd *a, const char *dir, struct err *err)
{
	char path[320];

	if (daemon_begin("audit", dir, &a->config, err) < 0)
		return -1;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	daemon_raise_files();
	config_path(&a->config, "log/audit", a->dir, sizeof a->dir);
	a->tree.dir = a->dir;
	a->data = (struct data){ .dir = a->dir,
				 .rotate = (uint64_t)a->config.audit.rotate_mib << 20,
				 .power = a->config.audit.durability == DURABILITY_POWER,
				 .fd = -1 };
	if (daemon_mkdir(&a->config, "run", err) < 0)
		return -1;
	return signer_start(&a->signer, config_path(&a->config, "secrets/audit.key", path, sizeof path),
			    a->config.vmmd.tender_user, &a->key, err);
}

/* The sockets come first: they are what keeps a second writer away from the same log. */
static int start(struct auditd *a, struct err *err)
{
	return clients_start(a, err) < 0 || rest_api_start(a, err) < 0 || recover(a, err) < 0 ? -1 : 0;
}

/* ---- run and end ---- */

static void on_tick(uv_timer_t *timer)
{
	struct auditd *a = timer->data;
	struct err err;
	bool retry = a->checkpoint_due;
	if (a->stop != STOP_HARD && (retry || a->tree.size > a->signed_size) && checkpoint_write(a, &err) == 0 && retry)
		auditd_go_on(a);
}

static void stop(void *loop)
{
	uv_stop(loop);
}

static void watch(struct daemon *d)
{
	daemon_watch(&d->life, &d->loop, stop, &d->loop);
	uv_timer_init(&d->loop, &d->a.tick);
	d->a.tick.data = &d->a;
	uv_timer_start(&d->a.tick, on_tick, d->a.config.audit.checkpoint_ms, d->a.config.audit.checkpoint_ms);
}

/* What is in the log when we end is covered by a checkpoint. */
static void end(struct daemon *d)
{
	struct auditd *a = &d->a;
	struct err err;
	clients_end(a);
	if (a->stop != STOP_HARD && a->tree.size > a->signed_size && checkpoint_write(a, &err) < 0)
		log_error("the last records are not signed: %s", err.text);
	rest_api_stop(a);
	uv_close((uv_handle_t *)&a->tick, NULL);
	daemon_grace(&d->life, "answers");
	uv_run(&d->loop, UV_RUN_DEFAULT);
	daemon_close(&d->life);
}

static int run(struct daemon *d, const char *dir, struct err *err)
{
	struct auditd *a = &d->a;
	a->signer.fd = a->listener = -1;
	if (load_config(a, dir, err) < 0)
		return -1;
	if (uv_loop_init(&d->loop) < 0)
		return err_set(err, ERR_INTERNAL, "no event loop");
	a->loop = &d->loop;
	if (start(a, err) < 0)
		return -1;
	watch(d);
	clients_run(a);
	log_info("ready");
	uv_run(&d->loop, UV_RUN_DEFAULT);
	log_info("ending");
	end(d);
	rest_api_free(a);
	data_close(&a->data);
	buf_free(&a->lines);
	return a->failed ? err_set(err, ERR_INTERNAL, "%s", a->why) : 0;
}

int main(int argc, char **argv)
{
	static struct daemon d; /* large: the tree's edge */
	const char *dir = daemon_arguments(argc, argv, usage, NULL, NULL);
	struct err err;
	int rc = run(&d, dir, &err);

	signer_end(&d.a.signer);
	return rc == 0 ? 0 : daemon_failed(&err);
}
