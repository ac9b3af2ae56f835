/* SPDX-License-Identifier: MIT
 *
 * ppce-vmmd: images, apps, instances, and the tenders that run them.
 */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/names.h"
#include "vmmd/rest_api.h"
#include "vmmd/state.h"
#include "vmmd/vmmd.h"

struct daemon {
	struct vmmd v;
	struct rest_api *api;
	struct daemon_life life;
};

static const char usage[] = "usage: ppce-vmmd -C DIR\n"
			    "\n"
			    "Manages the virtual machines of the platform in DIR: DIR/ppce.yaml is its configuration,\n"
			    "DIR/run/vmmd.sock its REST interface. Usually started by `ppce up`.\n";

/* --- start -------------------------------------------------------------------------------------------------------- */

/* Descriptors 0 to 4 are taken from now on, so that what a tender gets as 3 and 4 never has one of these numbers here;
 * tenders inherit /dev/null as standard input and output, and nothing that we were given by whoever started us. */
static int set_up_descriptors(struct err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = null; fd >= 0 && fd < 4;)
		fd = null = dup(null); /* lands above the free ones below it */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, 3) < 0 ||
	    dup2(null, 4) < 0 || (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null, STDERR_FILENO) < 0))
		return err_errno(err, ERR_INTERNAL, "/dev/null");
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return err_errno(err, ERR_INTERNAL, "close_range");
	return 0;
}

static int load_config(struct vmmd *v, const char *dir, struct err *err)
{
	char path[300];
	struct label bottom;

	if (daemon_begin("vmmd", dir, &v->config, err) < 0)
		return -1;
	signal(SIGCHLD, SIG_DFL);
	daemon_raise_files();
	if (set_up_descriptors(err) < 0)
		return -1;
	v->policy = policy_load(config_path(&v->config, "policy.yaml", path, sizeof path), err);
	if (!v->policy)
		return -1;
	label_bottom(v->policy, &bottom);
	if (label_format(v->policy, &bottom, v->bottom, err) < 0)
		return -1;
	static const char *const dirs[] = { "run", "state", "images", "log", NULL };
	for (const char *const *d = dirs; *d; d++)
		if (daemon_mkdir(&v->config, *d, err) < 0)
			return -1;
	v->audit = audit_open(NULL, config_path(&v->config, "run/audit-log.sock", path, sizeof path), "vmmd", err);
	return v->audit ? applog_init(v->config.dir, err) : -1;
}

/* The sockets come first: they are what keeps a second daemon away from the same directory. */
static int start(struct daemon *d, struct err *err)
{
	struct vmmd *v = &d->v;
	char path[300];

	TAILQ_INIT(&v->images.list);
	TAILQ_INIT(&v->apps.list);
	TAILQ_INIT(&v->pools.list);
	LIST_INIT(&v->images.adds);
	if (tenders_init(v, err) < 0)
		return -1;
	d->api = rest_api_start(v, err);
	if (!d->api || route_start(v, err) < 0)
		return -1;
	v->state = state_open(config_path(&v->config, "state/vmmd.db", path, sizeof path), err);
	if (!v->state || images_load(v, err) < 0 || apps_load(v, err) < 0 || pools_load(v, err) < 0)
		return -1;
	instances_init(v);
	if (attach_start(v, err) < 0 || network_start(v, err) < 0)
		return -1;
	shells_init(v);
	images_boot_all(v);
	images_refresh_start(v);
	pools_start(v);
	return 0;
}

/* --- run and end -------------------------------------------------------------------------------------------------- */

/* Every tender is dead and reaped when this returns; the loop then ends as soon as the last answers are out. */
static void end(void *daemon)
{
	struct daemon *d = daemon;
	struct vmmd *v = &d->v;
	if (v->ending)
		return;
	log_info("ending %u instances", v->instances.count);
	v->ending = true;
	rest_api_stop(d->api);
	if (v->net_rest)
		http_client_free(v->net_rest);
	route_end(v);
	pools_end(v);
	shells_end(v);
	images_end(v);
	instances_end(v);
	attach_end(v);
	network_end(v);
	daemon_grace(&d->life, "answers");
}

static void clean_up(struct daemon *d)
{
	struct vmmd *v = &d->v;
	apps_end(v);
	rest_api_free(d->api);
	tenders_free(v);
	state_close(v->state);
	audit_close(v->audit);
	policy_free(v->policy);
	daemon_close(&d->life);
}

static int run(const char *dir, struct err *err)
{
	static struct daemon d; /* large: the ring of events */
	if (load_config(&d.v, dir, err) < 0)
		return -1;
	if (uv_loop_init(&d.v.loop) < 0)
		return err_set(err, ERR_INTERNAL, "no event loop");
	daemon_watch(&d.life, &d.v.loop, end, &d);
	if (start(&d, err) < 0)
		return -1; /* nothing runs yet: shells and boots start from the loop */
	log_info("%s backend, %u images, %u apps", d.v.tenders.kvm ? "kvm" : "process", d.v.images.count,
		 d.v.apps.count);
	log_info("ready");
	uv_run(&d.v.loop, UV_RUN_DEFAULT);
	clean_up(&d);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err;
	return run(daemon_arguments(argc, argv, usage, NULL, NULL), &err) < 0 ? daemon_failed(&err) : 0;
}
