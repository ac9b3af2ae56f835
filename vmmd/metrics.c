/* SPDX-License-Identifier: MIT */
#include "vmmd/metrics.h"

#include "vmmd/vmmd.h"

static const uint64_t bounds[HISTOGRAM_BOUNDS] = { 25,	 50,   100,  200,  300,	  400,	 500,	 750,	 1000,
						   1500, 2000, 3000, 5000, 10000, 30000, 100000, 300000, 1000000 };

void histogram_add(struct histogram *h, uint64_t us)
{
	unsigned i = 0;
	while (i < HISTOGRAM_BOUNDS && us > bounds[i])
		i++;
	h->counts[i]++;
	h->total++;
	h->sum_us += us;
}

static void put_histogram(struct buf *out, const char *name, const char *help, const struct histogram *h)
{
	uint64_t sum = 0;
	buf_printf(out, "# HELP ppce_vmmd_%s_us %s\n# TYPE ppce_vmmd_%s_us histogram\n", name, help, name);
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		sum += h->counts[i];
		buf_printf(out, "ppce_vmmd_%s_us_bucket{le=\"%llu\"} %llu\n", name, (unsigned long long)bounds[i],
			   (unsigned long long)sum);
	}
	buf_printf(out,
		   "ppce_vmmd_%s_us_bucket{le=\"+Inf\"} %llu\nppce_vmmd_%s_us_sum %llu\nppce_vmmd_%s_us_count %llu\n",
		   name, (unsigned long long)h->total, name, (unsigned long long)h->sum_us, name,
		   (unsigned long long)h->total);
}

static void put(struct buf *out, const char *type, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP ppce_vmmd_%s %s\n# TYPE ppce_vmmd_%s %s\nppce_vmmd_%s %llu\n", name, help, name, type,
		   name, (unsigned long long)value);
}

/* A counter in two parts. */
static void put_pair(struct buf *out, const char *name, const char *help, const char *key, const char *first,
		     uint64_t nfirst, const char *second, uint64_t nsecond)
{
	buf_printf(out,
		   "# HELP ppce_vmmd_%s %s\n# TYPE ppce_vmmd_%s counter\nppce_vmmd_%s{%s=\"%s\"} %llu\n"
		   "ppce_vmmd_%s{%s=\"%s\"} %llu\n",
		   name, help, name, name, key, first, (unsigned long long)nfirst, name, key, second,
		   (unsigned long long)nsecond);
}

static void put_gauges(const struct vmmd *v, struct buf *out)
{
	put(out, "gauge", "instances", "Instances, including those that are ending.", v->instances.count);
	put(out, "gauge", "tenders", "Tender processes of every kind.", v->tenders.count);
	put(out, "gauge", "shells", "Shells that are ready.", v->shells.ready);
	put(out, "gauge", "shells_wanted", "Shells that are to be ready.", v->shells.want);
	unsigned ready, want;
	pools_total(v, &ready, &want);
	put(out, "gauge", "warm", "Instances made ahead that are ready.", ready);
	put(out, "gauge", "warm_wanted", "Instances that are to be made ahead.", want);
	put(out, "gauge", "images", "Images.", v->images.count);
	put(out, "gauge", "apps", "Apps.", v->apps.count);
	put(out, "gauge", "store_connected", "1 while the store is connected.", attach_connected(v) ? 1 : 0);
	put(out, "gauge", "store_slots", "Slots of the taint table that are not free.", TAINT_SLOTS - v->attach.nfree);
	put(out, "gauge", "network_connected", "1 while ppce-net is connected.", network_connected(v) ? 1 : 0);
	put(out, "gauge", "taps", "Taps that instances have.", v->network.taps);
	put(out, "gauge", "taps_asked", "Taps that instances wait for.", v->network.asked);
	put(out, "gauge", "proxy_connected", "1 while a proxy is connected.", v->route.peer ? 1 : 0);
}

static void put_counters(const struct metrics *m, struct buf *out)
{
	put_pair(out, "starts_total", "Instances started, from a shell or with nothing made ahead.", "from", "shell",
		 m->starts_shell, "nothing", m->starts_cold);
	put_pair(out, "starts_by_mode_total", "Instances started, from the snapshot or by booting the image anew.",
		 "start", "restore", m->starts_restore, "boot", m->starts_boot);
	put_pair(out, "taps_total", "Taps that instances got, made ahead or for them.", "from", "pool", m->taps_pool,
		 "nothing", m->taps_fresh);
	put(out, "counter", "ends_total", "Instances ended.", m->ends);
	put(out, "counter", "failures_total", "Instances that ended by a failure of their own.", m->ends_failed);
	put(out, "counter", "refused_total", "Questions for an instance that were refused.", m->refused);
	put(out, "counter", "boot_failures_total", "Boots of images that failed.", m->boots_failed);
	put(out, "counter", "shell_failures_total", "Shells that died before they were used.", m->shell_failures);
	put(out, "counter", "warm_failures_total", "Instances made ahead that died at once or could not be made.",
	    m->warm_failures);
	put(out, "counter", "log_lines_total", "Lines that guests logged.", m->log_lines);
	put(out, "counter", "log_dropped_total", "Lines over the rate limit.", m->log_dropped);
	put(out, "counter", "proxy_connects_total", "Connections of proxies.", m->proxy_connects);
	put(out, "counter", "proxy_faults_total", "Connections of proxies ended for a fault.", m->proxy_faults);
}

void metrics_write(void *vmmd, struct buf *out)
{
	const struct vmmd *v = vmmd;
	const struct metrics *m = &v->metrics;
	put_gauges(v, out);
	put_counters(m, out);
	put_histogram(out, "spawn", "Starting a tender process.", &m->spawn);
	put_histogram(out, "create", "From a tender's start to its empty VM, as it says.", &m->create);
	put_histogram(out, "bind", "Cloning the snapshot, as the tender says.", &m->bind);
	put_histogram(out, "tap", "A tap, from the question to the answer, as ppce-net says.", &m->tap);
	put_histogram(out, "boot", "Booting an image, as the tender says.", &m->boot);
	put_histogram(out, "need", "From reading a question to sending the channel, with a tap if it needs one.",
		      &m->need);
}
