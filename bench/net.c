/* SPDX-License-Identifier: MIT
 *
 * What taps cost: made and attached by netlink as ppce-net does it, the same by three `ip` commands, taken from the pool
 * of a running ppce-net and given back. Everything happens in a network namespace of its own.
 *
 *   bench-net [--quick] [--json]      needs root; ppce-net is expected in ../bin beside this program
 */
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ppce/net.h>
#include "lib/names.h"
#include "lib/sock.h"
#include "net/port.h"

#define BATCH 50 /* taps that are there at the same time */
#define SAMPLES_MAX 1000
#define ADDRESS 0x0a4d0001u
#define POOL 8
#define ROW 8

static double samples[SAMPLES_MAX];
static bool as_json;

struct place { /* where the first two measurements happen */
	struct nl nl;
	struct net_names names;
	struct link_bridge bridge;
};

static _Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "\nbench-net: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static double now_us(void)
{
	return (double)clock_ns() / 1000.0;
}

static void progress(const char *what, unsigned done, unsigned all)
{
	if (isatty(STDERR_FILENO) || done == all)
		fprintf(stderr, "\r%-44s %4u of %u%s", what, done, all, done == all ? "\n" : "");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Prints one row and returns the median. */
static double report(const char *key, const char *what, unsigned n)
{
	double sum = 0, median;
	qsort(samples, n, sizeof *samples, by_value);
	for (unsigned i = 0; i < n; i++)
		sum += samples[i];
	median = samples[n / 2];
	if (as_json) {
		printf("\"%s\": {\"n\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, \"mean_us\": %.1f, \"samples_us\": [",
		       key, n, median, samples[n * 99 / 100], sum / n);
		for (unsigned i = 0; i < n; i++)
			printf("%s%.3f", i ? ", " : "", samples[i]);
		printf("]}, ");
	} else {
		printf("%-44s %9.1f %9.1f %9.1f  %5u\n", what, median, samples[n * 99 / 100], sum / n, n);
	}
	fflush(stdout);
	return median;
}

/* --- taps by hand ------------------------------------------------------------------------------------------------ */

static void set_up(struct place *p)
{
	static struct config config = { .dir = "/bench-net", .network = { .bridge = "auto" } };
	struct err err;

	if (unshare(CLONE_NEWNET) < 0)
		die("a network namespace: %s (root is needed)", strerror(errno));
	net_names(&config, &p->names);
	p->bridge = (struct link_bridge){ .address = ADDRESS, .prefix = 22 };
	net_mac(ADDRESS, p->bridge.mac);
	if (nl_open(&p->nl, NETLINK_ROUTE, &err) < 0 ||
	    link_bridge_create(&p->nl, &p->names, &p->bridge, false, &err) < 0)
		die("%s", err.text);
}

static void make_by_netlink(struct place *p, struct port *port)
{
	struct err err;
	if (port_make(&p->nl, &p->names, p->bridge.ifindex, port, &err) < 0)
		die("%s", err.text);
}

static void run(char *const *argv)
{
	static char *const no_environment[] = { NULL };
	pid_t pid;
	int status;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, no_environment) != 0)
		die("cannot run %s", argv[0]);
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		die("`%s %s %s` failed", argv[0], argv[1], argv[2]);
}

static void make_by_commands(struct place *p, struct port *port)
{
	char ip[] = "/sbin/ip", tuntap[] = "tuntap", add[] = "add", dev[] = "dev", mode[] = "mode", tap[] = "tap",
	     link[] = "link", set[] = "set", master[] = "master", up[] = "up";

	run((char *[]){ ip, tuntap, add, dev, port->name, mode, tap, NULL });
	run((char *[]){ ip, link, set, port->name, master, p->names.bridge, NULL });
	run((char *[]){ ip, link, set, port->name, up, NULL });
	port->ifindex = if_nametoindex(port->name);
}

struct way {
	const char *key, *what;
	void (*make)(struct place *, struct port *);
	double samples[SAMPLES_MAX], removing;
};

/* One batch; a bridge has room for some, and removing is not what is measured here. */
static void measure_batch(struct place *p, struct way *way, unsigned first, unsigned n)
{
	struct link_doomed made[BATCH];
	struct err err;

	for (unsigned i = 0; i < n; i++) {
		struct port port = { .fd = -1, .after = ADDRESS + 1 + i };
		net_tap_name(&p->names, i, port.name);
		double start = now_us();
		way->make(p, &port);
		way->samples[first + i] = now_us() - start;
		made[i] = (struct link_doomed){ port.ifindex, port.fd >= 0 ? port.after : 0 };
		if (port.fd >= 0)
			close(port.fd);
	}
	double start = now_us();
	if (link_ports_delete(&p->nl, &p->names, p->bridge.ifindex, made, n, &err) < 0)
		die("%s", err.text);
	way->removing += now_us() - start;
}

/* By turns, so that whatever else the machine does falls on both. Returns how many times as fast the first way is. */
static double measure_making(struct place *p, unsigned n, double *removal_us)
{
	static struct way ways[] = {
		{ .key = "netlink", .what = "make and attach by netlink", .make = make_by_netlink },
		{ .key = "commands", .what = "make and attach by three `ip` commands", .make = make_by_commands }
	};
	double median[2];

	for (unsigned i = 0; i < n; i += BATCH) {
		for (int k = 0; k < 2; k++)
			measure_batch(p, &ways[k], i, n - i < BATCH ? n - i : BATCH);
		progress("make and attach, both ways", i + BATCH < n ? i + BATCH : n, n);
	}
	for (int k = 0; k < 2; k++) {
		memcpy(samples, ways[k].samples, n * sizeof *samples);
		median[k] = report(ways[k].key, ways[k].what, n);
	}
	*removal_us = ways[0].removing / n;
	return median[1] / median[0];
}

/* --- the pool ---------------------------------------------------------------------------------------------------- */

struct daemon {
	char dir[100];
	pid_t pid;
	int fd;
};

static void write_config(const struct daemon *d, unsigned taps)
{
	char path[128];
	snprintf(path, sizeof path, "%s/ppce.yaml", d->dir);
	FILE *f = fopen(path, "we");
	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f, "log_level: error\nnetwork:\n  enabled: true\n  subnet: 10.78.0.0/16\n  reuse_s: 0\n  taps: %u\n",
		taps);
	fclose(f);
}

static void find_program(char *out, size_t size)
{
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
	if (n < 0)
		die("/proc/self/exe");
	own[n] = '\0';
	*strrchr(own, '/') = '\0';
	if ((size_t)snprintf(out, size, "%s/../bin/ppce-net", own) >= size || access(out, X_OK) < 0)
		die("%s/../bin/ppce-net is not there", own);
}

static void start_daemon(struct daemon *d, unsigned taps)
{
	char program[4200], path[128];
	struct err err;

	const char *tmp = getenv("TMPDIR");
	snprintf(d->dir, sizeof d->dir, "%s/ppce-bench-net-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(d->dir))
		die("mkdtemp");
	write_config(d, taps);
	find_program(program, sizeof program);
	d->pid = fork();
	if (d->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(program, "ppce-net", "-C", d->dir, NULL);
		_exit(127);
	}
	snprintf(path, sizeof path, "%s/run/net.sock", d->dir);
	for (int i = 0; (d->fd = sock_connect_unix(path, SOCK_SEQPACKET, &err)) < 0; i++) {
		if (i > 2000)
			die("ppce-net does not start: %s", err.text);
		poll(NULL, 0, 5);
	}
	poll(NULL, 0, 200); /* the pool fills up */
}

static void stop_daemon(struct daemon *d)
{
	char path[128];
	close(d->fd);
	kill(d->pid, SIGTERM);
	waitpid(d->pid, NULL, 0);
	snprintf(path, sizeof path, "%s/ppce.yaml", d->dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/run", d->dir);
	rmdir(path);
	rmdir(d->dir);
}

/* One question and its answer; returns the time in between. */
static double ask(struct daemon *d, struct net_message *m, int *fd)
{
	int fds[SOCK_FDS_MAX];
	struct pollfd p = { .fd = d->fd, .events = POLLIN };
	double start = now_us();
	if (sock_send_fds(d->fd, m, sizeof *m, NULL, 0) < 0 || poll(&p, 1, 5000) != 1 ||
	    sock_recv_fds(d->fd, m, sizeof *m, fds) != sizeof *m)
		die("ppce-net does not answer");
	double took = now_us() - start;
	if (m->type == NET_REFUSED)
		die("refused: %s", m->reason);
	*fd = fds[0];
	return took;
}

static double take(struct daemon *d, struct net_message *m, int *fd)
{
	*m = (struct net_message){ .type = NET_TAKE };
	uuid_new(m->uuid);
	return ask(d, m, fd);
}

static double give(struct daemon *d, const char *uuid, int fd)
{
	struct net_message m = { .type = NET_GIVE };
	memcpy(m.uuid, uuid, sizeof m.uuid);
	close(fd); /* as the end of a tender does */
	return ask(d, &m, &fd);
}

static void measure_pool(unsigned n)
{
	static double takes[SAMPLES_MAX], inside[SAMPLES_MAX], gives[SAMPLES_MAX];
	struct daemon d;
	struct net_message m;
	int fd;

	start_daemon(&d, POOL);
	for (unsigned i = 0; i < n;) {
		double took = take(&d, &m, &fd);
		bool pooled = m.from_pool;
		double within = m.took_us;
		poll(NULL, 0, 1);
		double gave = give(&d, m.uuid, fd);
		poll(NULL, 0, 3); /* the daemon makes it ready again meanwhile, off the path */
		if (!pooled)
			continue;
		takes[i] = took;
		inside[i] = within;
		gives[i++] = gave;
		progress("take from the pool and give back", i, n);
	}
	stop_daemon(&d);
	memcpy(samples, takes, sizeof samples);
	report("take", "take from the pool", n);
	memcpy(samples, inside, sizeof samples);
	report("take_inside", "  of it in ppce-net", n);
	memcpy(samples, gives, sizeof samples);
	report("give", "give back", n);
}

/* The same when both processes are awake already, as in the middle of serving requests. */
static void measure_row(unsigned n)
{
	struct net_message m[ROW];
	struct daemon d;
	int fd[ROW];

	start_daemon(&d, 2 * ROW);
	for (unsigned i = 0; i < n;) {
		for (unsigned k = 0; k < ROW; k++) {
			double took = take(&d, &m[k], &fd[k]);
			if (m[k].from_pool && i < n)
				samples[i++] = took;
		}
		for (unsigned k = 0; k < ROW; k++)
			give(&d, m[k].uuid, fd[k]);
		poll(NULL, 0, 40);
		progress("take from the pool, eight in a row", i, n);
	}
	stop_daemon(&d);
	report("take_row", "take from the pool, eight in a row", n);
}

/* The least that a question and an answer of this size can take here: a process that only echoes. */
static void measure_floor(unsigned n)
{
	struct net_message m = { .type = NET_TAKE };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		while (recv(pair[1], &m, sizeof m, 0) > 0)
			if (sock_send_fds(pair[1], &m, sizeof m, &pair[1], 1) < 0)
				break;
		_exit(0);
	}
	close(pair[1]);
	struct daemon d = { .fd = pair[0] };
	for (unsigned i = 0; i < n; i++) {
		int fd;
		samples[i] = ask(&d, &m, &fd);
		close(fd);
		poll(NULL, 0, 4); /* as far apart as those of the pool */
	}
	close(pair[0]);
	waitpid(pid, NULL, 0);
	report("floor", "a process that only sends a descriptor back", n);
}

static void measure_on_demand(unsigned n)
{
	struct daemon d;
	struct net_message m;
	int fd;

	start_daemon(&d, 0);
	for (unsigned i = 0; i < n; i++) {
		samples[i] = take(&d, &m, &fd);
		if (m.from_pool)
			die("a tap came from a pool that should be empty");
		close(fd); /* kept by name only: given back with the connection */
		progress("take, nothing made ahead", i + 1, n);
	}
	stop_daemon(&d);
	report("on_demand", "take, nothing made ahead", n);
}

int main(int argc, char **argv)
{
	unsigned n = SAMPLES_MAX;
	struct place p = { 0 };
	double removal;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			n = 100;
		else if (strcmp(argv[i], "--json") == 0)
			as_json = true;
		else
			die("usage: bench-net [--quick] [--json]");
	}
	set_up(&p);
	printf(as_json ? "{" : "%-44s %9s %9s %9s  %5s\n", "microseconds", "median", "p99", "mean", "n");
	double ratio = measure_making(&p, n, &removal);
	measure_pool(n);
	measure_row(n);
	measure_floor(n);
	measure_on_demand(n < 500 ? n : 500);
	if (as_json)
		printf("\"remove_each_us\": %.1f, \"batch\": %d, \"ratio\": %.2f}\n", removal, BATCH, ratio);
	else
		printf("netlink is %.1f times as fast as the commands; removing %d at once takes %.1f us each\n", ratio,
		       BATCH, removal);
	return 0;
}
