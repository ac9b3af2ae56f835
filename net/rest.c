/* SPDX-License-Identifier: MIT */
#include "net/rest.h"

#include <unistd.h>

#include "lib/names.h"
#include "lib/rest.h"
#include "net/net.h"

static struct rest *rest;
static struct http_server *server;

static const char *const states[TAP_STATES] = {
	[TAP_MAKING] = "making",   [TAP_READY] = "ready", [TAP_LENDING] = "lending", [TAP_TAKEN] = "taken",
	[TAP_RESTING] = "resting", [TAP_BARE] = "bare",	  [TAP_DOOMED] = "doomed",
};

static json_t *sink_names(const struct net *n, uint32_t sinks)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < n->config.network.sinks; i++)
		if (sinks & (1u << i))
			json_array_append_new(list, json_string(n->config.network.sink[i].name));
	return list;
}

static json_t *row(const struct net *n, const struct tap *t)
{
	char address[16], mac[18];
	uint8_t m[MAC_SIZE];
	json_t *j = json_pack("{s:s, s:s}", "name", t->name, "state", states[t->state]);
	if (t->address) {
		net_mac(t->address, m);
		snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
		json_object_set_new(j, "address", json_string(net_ipv4_text(t->address, address)));
		json_object_set_new(j, "mac", json_string(mac));
	}
	if (t->state == TAP_TAKEN || t->state == TAP_LENDING) {
		json_object_set_new(j, "instance", json_string(t->uuid));
		json_object_set_new(j, "label", json_string(t->label));
		json_object_set_new(j, "sinks", sink_names(n, t->sinks));
		json_object_set_new(j, "named", json_boolean(t->named));
	}
	return j;
}

static void get_taps(struct rest_call *call)
{
	struct net *n = call->ctx;
	char gateway[16];
	json_t *list = json_array();
	for (unsigned i = 0; i < TAPS_MAX; i++)
		if (n->taps.by_number[i])
			json_array_append_new(list, row(n, n->taps.by_number[i]));
	rest_reply(call, 200,
		   json_pack("{s:s, s:s, s:s, s:b, s:o}", "bridge", n->names.bridge, "subnet", n->config.network.subnet,
			     "gateway", net_ipv4_text(n->bridge.address, gateway), "guarded", n->rules.owned, "taps",
			     list));
}

static const struct rest_route routes[] = {
	{ "GET", "/v1/taps", get_taps, "The bridge and the taps.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static void put(struct buf *out, const char *type, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP ppce_net_%s %s\n# TYPE ppce_net_%s %s\nppce_net_%s %llu\n", name, help, name, type,
		   name, (unsigned long long)value);
}

static void put_gauges(struct net *n, struct buf *out)
{
	buf_printf(out, "# HELP ppce_net_taps Taps by what they are doing.\n# TYPE ppce_net_taps gauge\n");
	for (int i = 0; i < TAP_STATES; i++)
		buf_printf(out, "ppce_net_taps{state=\"%s\"} %u\n", states[i], n->taps.count[i]);
	put(out, "gauge", "taps_wanted", "Taps that are to be ready.", n->config.network.taps);
	put(out, "gauge", "waiting", "Questions that wait for a tap.", n->taps.waiting);
	put(out, "gauge", "connections", "Connections to the socket.", n->peers.count);
	put(out, "gauge", "addresses", "Addresses for instances in the subnet.", n->addresses.total);
	put(out, "gauge", "addresses_free", "Addresses that may be used now.",
	    n->addresses.free - addresses_resting(&n->addresses, clock_ns()));
	put(out, "gauge", "addresses_resting", "Addresses that rest after use.",
	    addresses_resting(&n->addresses, clock_ns()));
}

static void metrics(void *ctx, struct buf *out)
{
	struct net *n = ctx;
	const struct net_metrics *m = &n->metrics;

	put_gauges(n, out);
	buf_printf(out,
		   "# HELP ppce_net_takes_total Taps handed over, made ahead or on demand.\n"
		   "# TYPE ppce_net_takes_total counter\nppce_net_takes_total{from=\"pool\"} %llu\n"
		   "ppce_net_takes_total{from=\"nothing\"} %llu\n",
		   (unsigned long long)m->takes_pool, (unsigned long long)m->takes_made);
	put(out, "counter", "gives_total", "Taps taken back.", m->gives);
	put(out, "counter", "refused_total", "Questions refused.", m->refused);
	put(out, "counter", "made_total", "Taps made.", m->made);
	put(out, "counter", "recycled_total", "Taps made ready again after use.", m->recycled);
	put(out, "counter", "removed_total", "Taps removed.", m->removed);
	put(out, "counter", "still_held_total", "Taps whose descriptor was kept after they were given back.",
	    m->still_held);
	put(out, "counter", "lost_total", "Taps that others removed or detached.", m->lost);
	put(out, "counter", "faults_total", "Connections ended for what they sent or did not read.", m->faults);
	put(out, "counter", "make_us_total", "Time of making taps.", m->make_us);
	put(out, "counter", "recycle_us_total", "Time of making taps ready again.", m->recycle_us);
	put(out, "counter", "remove_us_total", "Time of removing taps.", m->remove_us);
	put(out, "gauge", "cleaned", "Links of an earlier life that were found at the start.", m->cleaned);
}

static bool ready(void *ctx, struct err *why)
{
	return taps_working(ctx, why);
}

int net_rest_start(struct net *n, struct err *err)
{
	static struct rest_config config = {
		.title = "ppce-net", .routes = routes, .ready = ready, .metrics = metrics
	};
	char path[300];

	config.ctx = n;
	rest = rest_new(&config);
	if (!rest)
		return err_set(err, ERR_INTERNAL, "out of memory");
	server = rest_listen_unix(&n->loop, config_path(&n->config, "run/net-rest.sock", path, sizeof path), rest, err);
	return server ? 0 : -1;
}

void net_rest_end(struct net *n)
{
	char path[300];
	http_server_stop(server);
	unlink(config_path(&n->config, "run/net-rest.sock", path, sizeof path));
}

void net_rest_free(struct net *n)
{
	(void)n;
	rest_free(rest);
}
