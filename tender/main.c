/* SPDX-License-Identifier: MIT
 *
 * ppce-tender: one process, one VM, one app. Started by vmmd, never by hand; include/ppce/control.h is its interface.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/control.h>
#include "lib/names.h"
#include "lib/sock.h"
#include "tender/exec.h"
#include "tender/guest.h"
#include "tender/jail.h"
#include "tender/serve.h"
#include "tender/serve_net.h"

static const char usage[] = "usage: ppce-tender --backend kvm|process [--jail-uid UID --jail-gid GID]\n"
			    "       ppce-tender --probe\n"
			    "       ppce-tender --exec PROGRAM --memory MIB [--jail-uid UID --jail-gid GID]\n"
			    "\n"
			    "Runs one guest for ppce-vmmd, which passes the control socket as descriptor 3 and a\n"
			    "statistics page as descriptor 4. --probe prints which backend this machine supports\n"
			    "(kvm or process) and, on standard error, why. --exec runs a tender of others; its\n"
			    "arguments come on standard input, each ended by NUL.\n";

struct options {
	const struct backend *backend;
	uid_t uid;
	gid_t gid;
	bool probe;
	const char *exec; /* a program of others */
	unsigned memory_mib;
};

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{ "backend", required_argument, NULL, 'b' },  { "jail-uid", required_argument, NULL, 'u' },
		{ "jail-gid", required_argument, NULL, 'g' }, { "probe", no_argument, NULL, 'p' },
		{ "exec", required_argument, NULL, 'e' },     { "memory", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },	      { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (c == 'b' && strcmp(optarg, "kvm") == 0)
			o->backend = &backend_kvm;
		else if (c == 'b' && strcmp(optarg, "process") == 0)
			o->backend = &backend_process;
		else if (c == 'u')
			o->uid = (uid_t)strtoul(optarg, NULL, 10);
		else if (c == 'g')
			o->gid = (gid_t)strtoul(optarg, NULL, 10);
		else if (c == 'e')
			o->exec = optarg;
		else if (c == 'm')
			o->memory_mib = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p')
			o->probe = true;
		else if (c == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else
			return -1;
	}
	return o->backend || o->probe || o->exec ? 0 : -1;
}

static int probe(void)
{
	struct err err;

	if (kvm_probe(&err) == 0) {
		puts("kvm");
		fputs("a virtual machine can be made through /dev/kvm\n", stderr);
	} else {
		puts("process");
		fprintf(stderr, "%s\n", err.text);
	}
	return 0;
}

static int run_program(const struct options *o)
{
	const struct exec_wish wish = { o->exec, o->uid, o->gid, o->memory_mib };
	struct err err;

	if (exec_program(&wish, &err) == 0)
		return 0;
	fprintf(stderr, "ppce-tender: %s\n", err.text);
	return 1;
}

static int tell(const struct control_message *m)
{
	return sock_send_fds(TENDER_CONTROL_FD, m, sizeof *m, NULL, 0);
}

static int tell_failure(const struct err *err)
{
	struct control_message m = { .type = CONTROL_FAILED };

	snprintf(m.reason, sizeof m.reason, "%s", err->text);
	(void)tell(&m);
	return 1;
}

/* The guest's log goes to vmmd; when its socket is full, lines are lost rather than the guest delayed. */
static void forward_log(int severity, const char *line)
{
	struct control_message m = { .type = CONTROL_LOG, .severity = (uint32_t)severity };

	snprintf(m.reason, sizeof m.reason, "%s", line);
	(void)send(TENDER_CONTROL_FD, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Waits for vmmd's next message. 0 when vmmd is gone. */
static int hear(struct control_message *m, int fds[SOCK_FDS_MAX], struct err *err)
{
	ssize_t n;

	do
		n = sock_recv_fds(TENDER_CONTROL_FD, m, sizeof *m, fds);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n < 0)
		return err_errno(err, ERR_INTERNAL, "reading the control socket");
	if (!control_valid(m, (size_t)n))
		return err_set(err, ERR_INTERNAL, "a malformed control message");
	return 1;
}

static int boot(struct guest *g, const struct control_message *order, const int *fds)
{
	struct control_message m = { .type = CONTROL_BOOTED };
	struct ppce_manifest manifest;
	uint64_t start = clock_ns();
	struct err err;

	if (guest_boot(g, fds[0], fds[1], order->deadline_ms, &manifest, &err) < 0)
		return tell_failure(&err);
	m.boot_us = (uint32_t)((clock_ns() - start) / 1000);
	m.manifest_memory_mib = manifest.memory_mib;
	m.manifest_request_kib = manifest.request_kib;
	m.manifest_response_kib = manifest.response_kib;
	m.manifest_network = manifest.network != NULL;
	memcpy(m.name, manifest.name, sizeof m.name);
	memcpy(m.queries, manifest.queries, sizeof m.queries);
	guest_destroy(g);
	return tell(&m) < 0;
}

/* The descriptors of a BIND or START. */
struct given {
	int source; /* snapshot or image */
	int channel, store, tap, memory;
};

/* False: not as many as the message says. They are received without gaps. */
static bool sort_descriptors(const struct control_message *m, const int fds[SOCK_FDS_MAX], struct given *out)
{
	size_t n = 0;

	out->source = fds[n++];
	out->channel = fds[n++];
	out->store = m->has_store ? fds[n++] : -1;
	out->tap = m->has_net ? fds[n++] : -1;
	out->memory = m->type == CONTROL_START ? fds[n++] : -1;
	return fds[n - 1] >= 0 && (n == SOCK_FDS_MAX || fds[n] < 0);
}

static int make_guest(struct guest *g, const struct control_message *order, const struct given *given, struct err *err)
{
	struct ppce_manifest manifest;

	if (order->type == CONTROL_BIND) {
		if (guest_clone(g, given->source, err) < 0)
			return -1;
	} else {
		if (order->reset == CONTROL_RESET_PRISTINE)
			return err_set(err, ERR_INTERNAL,
				       "an image that is started without a snapshot cannot be reset");
		if (guest_start(g, given->source, given->memory, order->deadline_ms, &manifest, err) < 0)
			return -1;
	}
	if (given->store >= 0 && !g->vm.layout.data_size)
		return err_set(err, ERR_INTERNAL, "a store was given to an image that lists no queries");
	g->store = given->store;
	return 0;
}

/* Serves one channel after the other: a restarted proxy comes back with a new one. */
static int serve(struct guest *g, const struct control_message *order, const struct given *given,
		 struct tender_stats *stats)
{
	static struct network_service network;
	struct control_message m = { .type = CONTROL_BOUND };
	enum control_reset reset =
		order->reset <= CONTROL_RESET_DISCARD ? (enum control_reset)order->reset : CONTROL_RESET_DISCARD;
	int fds[SOCK_FDS_MAX], channel = given->channel;
	uint64_t start = clock_ns();
	struct err err;

	network = (struct network_service){
		.guest = g, .reset = reset, .stats = stats, .net = { .tap = given->tap, .config = order->net }
	};
	if (make_guest(g, order, given, &err) < 0)
		return tell_failure(&err);
	m.bind_us = g->clone_us = (uint32_t)((clock_ns() - start) / 1000);
	if (tell(&m) < 0)
		return 1;
	for (;;) {
		int r = 0;
		if (channel >= 0)
			r = given->tap >= 0 ? serve_network(&network, channel, &err)
					    : serve_channel(g, channel, reset, stats, &err);
		sock_close(&channel);
		if (r < 0)
			return tell_failure(&err);
		if (r > 0)
			return 0;
		r = hear(&m, fds, &err);
		if (r <= 0)
			return r < 0 ? tell_failure(&err) : 0;
		channel = m.type == CONTROL_CHANNEL ? fds[0] : -1;
	}
}

static struct tender_stats *map_stats(struct err *err)
{
	void *page = mmap(NULL, PPCE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, TENDER_STATS_FD, 0);

	if (page == MAP_FAILED) {
		err_errno(err, ERR_INTERNAL, "mapping the statistics page (descriptor %d)", TENDER_STATS_FD);
		return NULL;
	}
	return page;
}

int main(int argc, char **argv)
{
	struct control_message m = { .type = CONTROL_SHELL_READY };
	struct options o = { 0 };
	struct guest guest = { .log = forward_log, .store = -1 };
	struct tender_stats *stats;
	struct given given;
	int fds[SOCK_FDS_MAX];
	struct err err;
	uint64_t start = clock_ns();

	if (parse_options(argc, argv, &o) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.probe)
		return probe();
	if (o.exec)
		return run_program(&o);
	guest.vm.backend = o.backend;
	if (jail_enter_early(TENDER_STATS_FD, &err) < 0 || !(stats = map_stats(&err)) ||
	    o.backend->create(&guest.vm, &err) < 0 ||
	    jail_enter(o.uid, o.gid, o.backend->kind == PPCE_BACKEND_PROCESS, &err) < 0) {
		fprintf(stderr, "ppce-tender: %s\n", err.text);
		return tell_failure(&err);
	}
	m.create_us = guest.create_us = (uint32_t)((clock_ns() - start) / 1000);
	if (tell(&m) < 0)
		return 1;
	int heard = hear(&m, fds, &err);
	if (heard <= 0)
		return heard < 0 ? tell_failure(&err) : 0;
	if (m.type == CONTROL_BOOT && fds[1] >= 0)
		return boot(&guest, &m, fds);
	if ((m.type == CONTROL_BIND || m.type == CONTROL_START) && sort_descriptors(&m, fds, &given))
		return serve(&guest, &m, &given, stats);
	err_set(&err, ERR_INTERNAL, "unexpected control message %u", m.type);
	return tell_failure(&err);
}
