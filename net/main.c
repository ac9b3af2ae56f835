/* SPDX-License-Identifier: MIT
 *
 * ppce-net: the bridge and the taps. See net/net.h.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "net/jail.h"
#include "net/net.h"
#include "net/plan.h"
#include "net/probe.h"
#include "net/rest.h"
#include "net/tap.h"

struct daemon {
	struct net n;
	struct daemon_life life;
};

static const char usage[] =
	"usage: ppce-net -C DIR\n"
	"       ppce-net --probe\n"
	"\n"
	"Owns the bridge and the taps of the platform in DIR (section `network` of DIR/ppce.yaml), and\n"
	"gives taps to ppce-vmmd over DIR/run/net.sock. DIR/run/net-rest.sock has metrics and a list.\n"
	"Needs CAP_NET_ADMIN. Usually started by `ppce up`. --probe: can this machine do it?\n";

/* --- start -------------------------------------------------------------------------------------------------------- */

static int load_config(struct net *n, const char *dir, struct err *err)
{
	setenv("UV_THREADPOOL_SIZE", "1", 1); /* net/maker.h: one job at a time */
	if (daemon_begin("net", dir, &n->config, err) < 0)
		return -1;
	daemon_raise_files();
	if (!n->config.network.enabled)
		return err_set(err, ERR_CONFIG, "network.enabled is false in %s/ppce.yaml", n->config.dir);
	if (daemon_mkdir(&n->config, "run", err) < 0)
		return -1;
	return jail_check(err);
}

/* Users whose processes may open connections to instances: root, ours, and the directory's owner. */
static void find_openers(struct net *n)
{
	struct rules *r = &n->rules;
	struct stat st;

	r->openers[r->nopeners++] = 0;
	if (geteuid() != 0)
		r->openers[r->nopeners++] = geteuid();
	if (stat(n->config.dir, &st) == 0 && st.st_uid != 0 && st.st_uid != geteuid())
		r->openers[r->nopeners++] = st.st_uid;
}

/* Are there sinks on other machines, to which packets are routed? */
static bool routes_on(const struct net *n)
{
	for (unsigned i = 0; i < n->config.network.sinks; i++)
		if (n->config.network.sink[i].address)
			return true;
	return false;
}

/* What the configuration says, for all modules. */
static int plan_network(struct net *n, uint32_t *base, struct err *err)
{
	unsigned reuse_s = n->config.network.reuse_s;

	config_subnet(n->config.network.subnet, base, &n->bridge.prefix);
	n->bridge.address = *base + 1;
	net_mac(n->bridge.address, n->bridge.mac);
	net_names(&n->config, &n->names);
	n->rules.names = n->names;
	n->rules.gateway = n->bridge.address;
	memcpy(n->rules.mac, n->bridge.mac, sizeof n->rules.mac);
	n->rules.flow_s = reuse_s < RULES_FLOW_MIN_S   ? RULES_FLOW_MIN_S
			  : reuse_s > RULES_FLOW_MAX_S ? RULES_FLOW_MAX_S
						       : reuse_s;
	find_openers(n);
	return addresses_init(&n->addresses, *base, n->bridge.prefix, reuse_s, err);
}

static int clean_network(struct net *n, uint32_t base, struct err *err)
{
	struct nl *nl = &n->maker.nl;
	unsigned found = 0;

	if (link_clean(nl, &n->names, &found, err) < 0 || link_subnet_free(nl, base, n->bridge.prefix, err) < 0) {
		if (err->kind == ERR_CONFLICT)
			err->kind = ERR_CONFIG; /* trying again will not help */
		return -1;
	}
	n->metrics.cleaned = found;
	if (found)
		log_warn("%u links of an earlier life were removed", found);
	return 0;
}

/* The rules first, so that nothing is ever open. */
static int make_network(struct net *n, struct err *err)
{
	uint32_t base = 0;
	bool table;

	if (tap_check(err) < 0) {
		err->kind = ERR_CONFIG;
		return err_prefix(err, "network.enabled needs taps");
	}
	if (plan_network(n, &base, err) < 0 || clean_network(n, base, err) < 0 ||
	    rules_create(&n->rules, &table, err) < 0)
		return -1;
	if (!n->rules.owned)
		log_info("this kernel cannot guard the nftables table against others; it is looked for every 2 s");
	return link_bridge_create(&n->maker.nl, &n->names, &n->bridge, routes_on(n), err);
}

/* Everything of ours in the kernel goes: the taps before the rules that keep them closed. */
static void remove_network(struct net *n)
{
	unsigned found;
	struct err err;

	if (n->maker.nl.sock && link_clean(&n->maker.nl, &n->names, &found, &err) < 0)
		log_error("%s", err.text);
	if (n->rules.nl.sock && rules_delete(&n->rules, &err) < 0 && !n->failed)
		log_error("%s", err.text);
}

/* The socket comes first: it is what keeps a second daemon away from the same directory. */
static int start(struct net *n, struct err *err)
{
	taps_init(n);
	if (peers_start(n, err) < 0 || maker_start(n, err) < 0)
		return -1;
	if (make_network(n, err) < 0 || watch_start(n, err) < 0 || net_rest_start(n, err) < 0 || jail_enter(err) < 0) {
		struct err why = *err;
		if (n->names.prefix[0] && why.kind != ERR_CONFIG)
			remove_network(n);
		*err = why;
		return -1;
	}
	plan_start(n);
	return 0;
}

/* --- run and end -------------------------------------------------------------------------------------------------- */

/* The loop ends with the job of the worker that runs. */
static void end(void *daemon)
{
	struct daemon *d = daemon;
	struct net *n = &d->n;
	if (n->ending)
		return;
	n->ending = true; /* from here on nobody raises a signal */
	log_info("ending: %u taps", n->taps.all);
	net_rest_end(n);
	peers_end(n);
	plan_end(n);
	watch_end(n);
	daemon_unwatch(&d->life);
}

void net_fail(struct net *n, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("%s", text);
	n->failed = true;
	if (!n->ending)
		raise(SIGTERM); /* ends it from the loop, not from under whoever calls */
}

static void clean_up(struct net *n)
{
	remove_network(n);
	taps_end(n);
	rules_end(&n->rules);
	maker_end(n);
	net_rest_free(n);
	addresses_end(&n->addresses);
	uv_loop_close(&n->loop);
}

static int run(const char *dir, struct err *err)
{
	static struct daemon d;

	if (load_config(&d.n, dir, err) < 0)
		return -1;
	if (uv_loop_init(&d.n.loop) < 0)
		return err_set(err, ERR_INTERNAL, "no event loop");
	daemon_watch(&d.life, &d.n.loop, end, &d);
	if (start(&d.n, err) < 0)
		return -1;
	log_info("bridge %s, subnet %s, %u sinks", d.n.names.bridge, d.n.config.network.subnet,
		 d.n.config.network.sinks);
	log_info("ready");
	uv_run(&d.n.loop, UV_RUN_DEFAULT);
	clean_up(&d.n);
	return d.n.failed ? err_set(err, ERR_INTERNAL, "ended, since the network was changed by others") : 0;
}

static int probe(void)
{
	struct err err;
	if (net_probe(&err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	puts("ok");
	return 0;
}

int main(int argc, char **argv)
{
	struct err err;

	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return probe();
	return run(daemon_arguments(argc, argv, usage, NULL, NULL), &err) < 0 ? daemon_failed(&err) : 0;
}
