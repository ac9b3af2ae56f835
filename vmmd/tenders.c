/* SPDX-License-Identifier: MIT */
#include "vmmd/tenders.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/foreign.h"
#include "vmmd/output.h"
#include "vmmd/vmmd.h"

#define STATS_BYTES 4096
#define MESSAGES_A_TURN 32     /* then other sockets get their turn */
#define MESSAGES_LAST 256      /* read from one that is dead: more than its socket can hold */
#define MESSAGES_A_SECOND 2000 /* more is a flood. The tender itself limits its guest far below */
#define COMMAND_BYTES 4096     /* PIPE_BUF: taken whole or not at all */
#define CLOSE_MS 1000	       /* from a failure or a closed control socket to its end */

static void nobody_message(struct tender *t, const struct control_message *m)
{
	(void)t;
	(void)m;
}

static void nobody_ended(struct tender *t)
{
	(void)t;
}

const struct tender_owner tender_nobody = { nobody_message, nobody_ended };

/* --- set-up --------------------------------------------------------------------------------------------------- */

static int find_program(struct tenders *ts, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", ts->path, sizeof ts->path - 1);
	if (n < 0)
		return err_errno(err, ERR_INTERNAL, "/proc/self/exe");
	ts->path[n] = '\0';
	char *slash = strrchr(ts->path, '/');
	static const char name[] = "ppce-tender";
	if (!slash || (size_t)(slash + 1 - ts->path) + sizeof name > sizeof ts->path)
		return err_set(err, ERR_CONFIG, "the path of the programs is too long");
	memcpy(slash + 1, name, sizeof name);
	if (access(ts->path, X_OK) < 0)
		return err_errno(err, ERR_CONFIG, "%s, which belongs beside ppce-vmmd", ts->path);
	return 0;
}

static int find_user(struct tenders *ts, const char *name, struct err *err)
{
	if (geteuid() != 0)
		return 0;
	errno = 0;
	const struct passwd *pw = getpwnam(name);
	if (!pw)
		return err_set(err, ERR_CONFIG, "vmmd.tender_user: there is no user `%s`", name);
	if (pw->pw_uid == 0)
		return err_set(err, ERR_CONFIG, "vmmd.tender_user: tenders must not run as root");
	snprintf(ts->uid, sizeof ts->uid, "%u", (unsigned)pw->pw_uid);
	snprintf(ts->gid, sizeof ts->gid, "%u", (unsigned)pw->pw_gid);
	return 0;
}

static int choose_backend(struct vmmd *v, struct err *err)
{
	enum config_backend wanted = v->config.vmmd.backend;
	char why[300];

	v->tenders.kvm = false;
	if (wanted == BACKEND_PROCESS)
		return 0;
	if (probe_kvm(v->tenders.path, &v->tenders.kvm, why, sizeof why, err) < 0)
		return -1;
	if (!v->tenders.kvm && wanted == BACKEND_KVM)
		return err_set(
			err, ERR_CONFIG,
			"vmmd.backend is kvm, but virtual machines do not work here: %s. With `backend: auto` or "
			"`process`, jailed processes take their place",
			why);
	if (!v->tenders.kvm)
		log_warn("virtual machines do not work here, so jailed processes take their place: %s", why);
	return 0;
}

int tenders_init(struct vmmd *v, struct err *err)
{
	static char backend[] = "--backend", kvm[] = "kvm", process[] = "process", uid[] = "--jail-uid",
		    gid[] = "--jail-gid", name[] = "ppce-tender";
	struct tenders *ts = &v->tenders;
	sigset_t signals;

	LIST_INIT(&ts->all);
	if (find_program(ts, err) < 0 || find_user(ts, v->config.vmmd.tender_user, err) < 0 ||
	    choose_backend(v, err) < 0)
		return -1;
	char *argv[] = { name, backend, ts->kvm ? kvm : process, uid, ts->uid, gid, ts->gid, NULL };
	memcpy(ts->argv, argv, sizeof argv);
	if (!ts->uid[0])
		ts->argv[3] = NULL;
	posix_spawnattr_init(&ts->attr);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&ts->attr, &signals);
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(&ts->attr, &signals);
	posix_spawnattr_setflags(&ts->attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return 0;
}

void tenders_free(struct vmmd *v)
{
	posix_spawnattr_destroy(&v->tenders.attr);
}

/* --- the end of one ------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct tender *t = h->data;
	if (--t->handles == 0)
		free(t);
}

static void destroy(struct tender *t)
{
	LIST_REMOVE(t, link);
	t->v->tenders.count--;
	uv_close((uv_handle_t *)&t->pid_poll, on_closed);
	uv_close((uv_handle_t *)&t->control_poll, on_closed);
	uv_close((uv_handle_t *)&t->timer, on_closed);
	sock_close(&t->pidfd);
	sock_close(&t->control);
	sock_close(&t->command);
	if (!t->output)
		munmap((void *)(uintptr_t)t->stats, STATS_BYTES);
	free(t->output);
	t->stats = NULL;
}

static void set_reason(struct tender *t, const siginfo_t *info)
{
	bool exited = info->si_code == CLD_EXITED;
	const char *who = t->output ? "the unikernel" : "the tender", *last = t->output ? t->output->last : "";
	const char *colon = *last ? ": " : "";
	t->failed = !exited || info->si_status != 0;
	if (t->reason[0])
		return;
	if (exited && info->si_status == 0)
		snprintf(t->reason, sizeof t->reason, "ended");
	else if (exited)
		snprintf(t->reason, sizeof t->reason, "%s ended with exit status %d%s%s", who, info->si_status, colon,
			 last);
	else
		snprintf(t->reason, sizeof t->reason, "%s was ended by signal %d (%s)%s%s", who, info->si_status,
			 strsignal(info->si_status), colon, last);
}

/* Never blocks: libuv has made the descriptor non-blocking, and waitid(2) heeds that. */
static int reap(struct tender *t)
{
	siginfo_t info = { 0 };
	int rc;
	do
		rc = waitid(P_PIDFD, (id_t)t->pidfd, &info, WEXITED | WNOHANG);
	while (rc < 0 && errno == EINTR);
	if (rc == 0 && info.si_pid == 0)
		return 0; /* not yet */
	if (rc < 0) {
		log_error("cannot wait for tender %d: %s", (int)t->pid, strerror(errno));
		info.si_code = CLD_KILLED;
	}
	set_reason(t, &info);
	return 1;
}

static void on_deadline(uv_timer_t *timer)
{
	struct tender *t = timer->data;
	tender_kill(t, "%s took too long", t->deadline_for ? t->deadline_for : "its end");
}

void tender_deadline(struct tender *t, unsigned ms, const char *what)
{
	t->deadline_for = what;
	if (ms)
		uv_timer_start(&t->timer, on_deadline, ms, 0);
	else
		uv_timer_stop(&t->timer);
}

void tender_kill(struct tender *t, const char *fmt, ...)
{
	if (!t->reason[0]) {
		va_list args;
		va_start(args, fmt);
		vsnprintf(t->reason, sizeof t->reason, fmt, args);
		va_end(args);
	}
	t->ending = true;
	uv_timer_stop(&t->timer);
	uv_poll_stop(&t->control_poll);
	if (pidfd_send_signal(t->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		log_error("cannot kill tender %d: %s", (int)t->pid, strerror(errno));
}

/* --- what it says --------------------------------------------------------------------------------------------- */

static bool is_flood(struct tender *t)
{
	uint64_t now = clock_ns();
	if (now - t->window_ns > 1000000000ull) {
		t->window_ns = now;
		t->window_messages = 0;
	}
	return ++t->window_messages > MESSAGES_A_SECOND;
}

/* A tender's texts may be the guest's: printable from here on. */
static void clean(struct control_message *m)
{
	char raw[CONTROL_TEXT];
	memcpy(raw, m->reason, sizeof raw);
	text_visible(m->reason, sizeof m->reason, raw);
	memcpy(raw, m->name, sizeof m->name);
	text_visible(m->name, sizeof m->name, raw);
}

static void take_message(struct tender *t, struct control_message *m)
{
	clean(m);
	if (m->type == CONTROL_SHELL_READY) {
		if (t->ready) {
			tender_kill(t, "the tender said twice that it is ready");
			return;
		}
		t->ready = true;
		t->create_us = m->create_us;
		histogram_add(&t->v->metrics.create, m->create_us);
	}
	if (m->type == CONTROL_FAILED) {
		if (!t->reason[0])
			text_visible(t->reason, sizeof t->reason, m->reason[0] ? m->reason : "failed without a reason");
		tender_deadline(t, CLOSE_MS, "ending after its failure");
	}
	t->owner->message(t, m);
}

/* One line that a tender of others printed. As above; 0 also when it prints too much: tender_tick() reads on. */
static int read_line(struct tender *t)
{
	struct control_message m = { .type = CONTROL_LOG, .severity = LINE_SEVERITY };
	int rc = output_line(t->output, t->control, m.reason, sizeof m.reason);
	if (rc <= 0) {
		if (rc < 0 || t->output->paused)
			uv_poll_stop(&t->control_poll); /* the end of its output is not its own */
		return rc;
	}
	clean(&m);
	output_keep(t->output, m.reason);
	t->owner->message(t, &m);
	return 1;
}

/* Reads one packet. 1: taken, 0: nothing there, -1: the end or a fault, after which nothing is read any more. */
static int read_message(struct tender *t)
{
	if (t->output)
		return read_line(t);

	struct control_message m;
	bool surplus;
	ssize_t n = sock_recv_packet(t->control, &m, sizeof m, NULL, &surplus);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		uv_poll_stop(&t->control_poll);
		tender_deadline(t, CLOSE_MS, "ending after its control socket was closed");
		return -1;
	}
	if (n < 0 || surplus || !control_valid(&m, (size_t)n) || m.type < CONTROL_SHELL_READY) {
		tender_kill(t, "the tender sent a malformed message");
		return -1;
	}
	if (is_flood(t)) {
		tender_kill(t, "the tender sent more than %d messages a second", MESSAGES_A_SECOND);
		return -1;
	}
	take_message(t, &m);
	return 1;
}

static void on_control(uv_poll_t *poll, int status, int events)
{
	struct tender *t = poll->data;
	(void)events;
	if (status < 0) {
		tender_kill(t, "its control socket failed: %s", uv_strerror(status));
		return;
	}
	for (int i = 0; i < MESSAGES_A_TURN && !t->ending; i++)
		if (read_message(t) <= 0)
			return;
}

static void on_pid(uv_poll_t *poll, int status, int events)
{
	struct tender *t = poll->data;
	(void)events;
	(void)status;
	for (int i = 0; i < MESSAGES_LAST && !t->ending && read_message(t) > 0; i++)
		;
	if (!reap(t))
		return;
	t->ending = true;
	t->owner->ended(t);
	destroy(t);
}

void tender_tick(struct tender *t)
{
	if (!t->output || t->ending)
		return;
	if (t->output->paused)
		uv_poll_start(&t->control_poll, UV_READABLE, on_control);
	output_resume(t->output);
}

int tender_send(struct tender *t, const struct control_message *m, const int *fds, size_t nfds, struct err *err)
{
	if (!t->ending && sock_send_fds(t->control, m, sizeof *m, fds, nfds) == 0)
		return 0;
	err_errno(err, ERR_INTERNAL, "cannot talk to tender %d", (int)t->pid);
	tender_kill(t, "the tender did not take a message");
	return -1;
}

/* --- the start of one ----------------------------------------------------------------------------------------- */

static int make_stats(const volatile struct tender_stats **out, struct err *err)
{
	int fd = memfd_create("ppce-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "memfd");
	void *page = MAP_FAILED;
	if (ftruncate(fd, STATS_BYTES) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		page = mmap(NULL, STATS_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		err_errno(err, ERR_INTERNAL, "the statistics page of a tender");
		close(fd);
		return -1;
	}
	*out = page;
	return fd;
}

struct start { /* descriptor numbers in the new process */
	char **argv;
	struct {
		int ours, theirs;
	} fd[4];
	unsigned nfds;
};

static int run(struct tender *t, const struct start *s, struct err *err)
{
	static char *const no_environment[] = { NULL };
	struct tenders *ts = &t->v->tenders;
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	for (unsigned i = 0; i < s->nfds; i++)
		posix_spawn_file_actions_adddup2(&actions, s->fd[i].ours, s->fd[i].theirs);
	uint64_t start = clock_ns();
	int rc = posix_spawn(&t->pid, ts->path, &actions, &ts->attr, s->argv, no_environment);
	t->spawn_us = (uint32_t)((clock_ns() - start) / 1000);
	posix_spawn_file_actions_destroy(&actions);
	errno = rc;
	if (rc)
		return err_errno(err, ERR_INTERNAL, "cannot start %s", ts->path);
	histogram_add(&t->v->metrics.spawn, t->spawn_us);
	t->pidfd = pidfd_open(t->pid, 0);
	if (t->pidfd >= 0)
		return 0;
	err_errno(err, ERR_INTERNAL, "pidfd_open");
	kill(t->pid, SIGKILL); /* our own child, not yet reaped: the number is still its own */
	waitpid(t->pid, NULL, 0);
	return -1;
}

static int start_process(struct tender *t, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_INTERNAL, "socketpair");
	int stats = make_stats(&t->stats, err);
	const struct start s = { t->v->tenders.argv,
				 { { pair[1], TENDER_CONTROL_FD }, { stats, TENDER_STATS_FD } },
				 2 };
	int rc = stats < 0 ? -1 : run(t, &s, err);
	if (rc < 0 && stats >= 0)
		munmap((void *)(uintptr_t)t->stats, STATS_BYTES);
	sock_close(&stats);
	sock_close(&pair[1]);
	t->control = pair[0];
	if (rc < 0)
		sock_close(&t->control);
	else
		sock_set_nonblocking(t->control);
	return rc;
}

static int start_launcher(struct tender *t, const char *program, int image, unsigned memory_mib, struct err *err)
{
	static const struct tender_stats none;
	const struct tenders *ts = &t->v->tenders;
	int command[2] = { -1, -1 }, output[2] = { -1, -1 };
	char memory[16], path[FOREIGN_PATH_SIZE];
	static char name[] = "ppce-tender", exec[] = "--exec", mib[] = "--memory";
	char *argv[] = { name, exec, path, mib, memory, NULL, NULL, NULL, NULL, NULL };

	snprintf(memory, sizeof memory, "%u", memory_mib);
	snprintf(path, sizeof path, "%s", program);
	if (ts->uid[0])
		memcpy(argv + 5, ts->argv + 3, 4 * sizeof *argv);
	int rc = pipe2(command, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0 ? err_errno(err, ERR_INTERNAL, "pipe")
									       : 0;
	const struct start s = { argv, { { command[0], 0 }, { output[1], 1 }, { output[1], 2 }, { image, 3 } }, 4 };
	if (rc == 0)
		rc = run(t, &s, err);
	sock_close(&command[0]);
	sock_close(&output[1]);
	t->command = command[1];
	t->control = output[0];
	t->stats = &none;
	if (rc < 0) {
		sock_close(&t->command);
		sock_close(&t->control);
	} else {
		sock_set_nonblocking(t->control);
		sock_set_nonblocking(t->command);
	}
	return rc;
}

static struct tender *make(struct vmmd *v, const struct tender_owner *owner, void *ctx, struct err *err)
{
	struct tender *t = calloc(1, sizeof *t);
	if (!t) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	t->v = v;
	t->owner = owner;
	t->ctx = ctx;
	t->command = -1;
	return t;
}

static void watch(struct tender *t)
{
	struct vmmd *v = t->v;
	LIST_INSERT_HEAD(&v->tenders.all, t, link);
	v->tenders.count++;
	t->handles = 3;
	t->pid_poll.data = t->control_poll.data = t->timer.data = t;
	uv_timer_init(&v->loop, &t->timer);
	uv_poll_init(&v->loop, &t->pid_poll, t->pidfd);
	uv_poll_init(&v->loop, &t->control_poll, t->control);
	uv_poll_start(&t->pid_poll, UV_READABLE, on_pid);
	uv_poll_start(&t->control_poll, UV_READABLE, on_control);
}

struct tender *tender_spawn(struct vmmd *v, const struct tender_owner *owner, void *ctx, struct err *err)
{
	struct tender *t = make(v, owner, ctx, err);
	if (t && start_process(t, err) == 0) {
		watch(t);
		return t;
	}
	free(t);
	return NULL;
}

struct tender *tender_spawn_foreign(struct vmmd *v, const char *program, int image, unsigned memory_mib,
				    const struct tender_owner *owner, void *ctx, struct err *err)
{
	struct tender *t = make(v, owner, ctx, err);
	if (!t)
		return NULL;
	t->output = calloc(1, sizeof *t->output);
	if (!t->output)
		err_set(err, ERR_INTERNAL, "out of memory");
	else if (start_launcher(t, program, image, memory_mib, err) == 0) {
		watch(t);
		return t;
	}
	free(t->output);
	free(t);
	return NULL;
}

int tender_command(struct tender *t, const char *const *argv, struct err *err)
{
	char text[COMMAND_BYTES];
	size_t len = 0;
	for (; *argv; argv++) {
		size_t part = strlen(*argv) + 1;
		if (part > sizeof text - len)
			return err_set(err, ERR_INVALID, "a command line of more than %d bytes", COMMAND_BYTES);
		memcpy(text + len, *argv, part);
		len += part;
	}
	ssize_t n = t->ending ? -1 : write(t->command, text, len);
	sock_close(&t->command);
	if (n == (ssize_t)len)
		return 0;
	tender_kill(t, "it did not take its command line");
	return err_set(err, ERR_UNAVAILABLE, "the launcher did not take its command line");
}

void tender_give(struct tender *t, const struct tender_owner *owner, void *ctx)
{
	t->owner = owner;
	t->ctx = ctx;
}

struct tender_stats tender_stats(const struct tender *t)
{
	return (struct tender_stats){ .requests = t->stats->requests,
				      .failures = t->stats->failures,
				      .resets = t->stats->resets,
				      .rewarms = t->stats->rewarms,
				      .last_used_ns = t->stats->last_used_ns,
				      .busy_ns = t->stats->busy_ns,
				      .reset_ns = t->stats->reset_ns,
				      .resident_kib = t->stats->resident_kib,
				      .frames_in = t->stats->frames_in,
				      .frames_out = t->stats->frames_out,
				      .frames_dropped = t->stats->frames_dropped };
}

void tenders_end_all(struct vmmd *v)
{
	struct tender *t;
	LIST_FOREACH (t, &v->tenders.all, link)
		tender_kill(t, "vmmd ends");
	while ((t = LIST_FIRST(&v->tenders.all))) {
		struct pollfd p = { .fd = t->pidfd, .events = POLLIN };
		while (!reap(t))
			poll(&p, 1, 1000);
		destroy(t);
	}
}
