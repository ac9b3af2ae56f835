// SPDX-License-Identifier: MIT
//
// ppce-audit: the only writer of the audit log. See auditd.h for the parts and docs/audit.md for the files.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "audit/auditd.h"
#include "lib/log.h"

#define GRACE_MS 3000 /* for answers under way at the end */

struct daemon {
	struct auditd a;
	uv_loop_t loop;
	uv_signal_t term, interrupt;
	uv_timer_t grace;
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

static void set_up_process(void)
{
	static const struct rlimit no_core = { 0, 0 };
	struct rlimit files;

	if (getenv("PPCE_SUPERVISED"))
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write(2), not the end */
	setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
}

static int load_config(struct auditd *a, const char *dir, struct err *err)
{
	char path[320];
	enum log_level level;

	if (config_load(dir, &a->config, err) < 0)
		return -1;
	if (log_level_parse(a->config.log_level, &level) == 0)
		log_init("audit", level);
	config_path(&a->config, "log/audit", a->dir, sizeof a->dir);
	a->tree.dir = a->dir;
	a->data = (struct data){ .dir = a->dir,
				 .rotate = (uint64_t)a->config.audit.rotate_mib << 20,
				 .power = a->config.audit.durability == DURABILITY_POWER,
				 .fd = -1 };
	config_path(&a->config, "run", path, sizeof path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, ERR_CONFIG, "cannot make %s", path);
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

static void on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	uv_stop(handle->loop);
}

static void watch(struct daemon *d)
{
	uv_signal_init(&d->loop, &d->term);
	uv_signal_init(&d->loop, &d->interrupt);
	uv_timer_init(&d->loop, &d->a.tick);
	uv_timer_init(&d->loop, &d->grace);
	d->a.tick.data = &d->a;
	uv_signal_start(&d->term, on_signal, SIGTERM);
	uv_signal_start(&d->interrupt, on_signal, SIGINT);
	uv_timer_start(&d->a.tick, on_tick, d->a.config.audit.checkpoint_ms, d->a.config.audit.checkpoint_ms);
}

static void on_grace_over(uv_timer_t *timer)
{
	log_warn("answers under way were cut off");
	uv_stop(timer->loop);
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
	uv_close((uv_handle_t *)&d->term, NULL);
	uv_close((uv_handle_t *)&d->interrupt, NULL);
	uv_close((uv_handle_t *)&a->tick, NULL);
	uv_timer_start(&d->grace, on_grace_over, GRACE_MS, 0);
	uv_unref((uv_handle_t *)&d->grace);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&d->grace, NULL);
	uv_run(&d->loop, UV_RUN_NOWAIT);
	uv_loop_close(&d->loop);
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
	static const struct option known[] = { { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *dir = NULL;
	struct err err = { ERR_NONE, "" };
	int c;

	while ((c = getopt_long(argc, argv, "C:h", known, NULL)) != -1) {
		if (c == 'h')
			return fputs(usage, stdout) < 0;
		if (c != 'C')
			break;
		dir = optarg;
	}
	if (!dir || optind != argc || c != -1) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("audit", LOG_LEVEL_INFO);
	set_up_process();
	int rc = sodium_init() < 0 ? err_set(&err, ERR_INTERNAL, "libsodium does not start") : run(&d, dir, &err);
	signer_end(&d.a.signer);
	if (rc == 0)
		return 0;
	log_error("%s", err.text);
	return err_exit_code(err.kind);
}
