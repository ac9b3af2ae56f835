/* SPDX-License-Identifier: MIT
 *
 * `ppce up`: the platform in the foreground. Checks what can be checked before anything runs, starts the daemons, says
 * once that all are ready, and keeps them running until SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/status.h"
#include "cli/supervise.h"
#include "lib/http.h"
#include "lib/log.h"
#include "lib/sock.h"
#include "policy/policy.h"

#define READY_MS 60000u /* longest start */
#define READY_POLL_MS 10
#define START_DEATHS 5 /* so many deaths of one daemon before the first ready end `up` */

enum { NET, AUDIT, STORE, AUTH, VMMD, PROXY, CHILDREN };

struct up {
	struct cli *c;
	struct config config;
	struct child child[CHILDREN];
	int first;	 /* NET, or the one after it where there is no network */
	char listen[64]; /* as asked for; afterwards as bound, so that a restarted proxy takes the same port */
	int lock, signals;
	bool ready;
	uint64_t deadline_ms; /* of the start */
};

static int take_lock(struct up *u, struct err *err)
{
	char path[512], owner[32] = "";
	config_path(&u->config, "run/up.lock", path, sizeof path);
	u->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->lock < 0)
		return err_errno(err, ERR_INTERNAL, "%.300s", path);
	if (flock(u->lock, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = read(u->lock, owner, sizeof owner - 1);
		owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
		sock_close(&u->lock);
		return err_set(err, ERR_CONFLICT, "the platform in %.256s is running already (`ppce up`, pid %s)",
			       u->config.dir, owner);
	}
	int n = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
	if (ftruncate(u->lock, 0) < 0 || write(u->lock, owner, (size_t)n) != n)
		return err_errno(err, ERR_INTERNAL, "cannot write %.300s", path);
	return 0;
}

/* Everything that can be found wrong before a daemon runs. */
static int check(struct up *u, struct err *err)
{
	char path[512], bound[64];
	const char *listen = cli_value(u->c, "listen");

	if (config_load(u->c->dir, &u->config, err) < 0)
		return -1;
	struct policy *p = policy_load(config_path(&u->config, "policy.yaml", path, sizeof path), err);
	if (!p)
		return -1;
	policy_free(p);
	if (listen && strlen(listen) >= sizeof u->listen)
		return err_set(err, ERR_INVALID, "--listen takes ADDRESS:PORT, not `%.100s`", listen);
	snprintf(u->listen, sizeof u->listen, "%s", listen ? listen : u->config.listen);
	if (take_lock(u, err) < 0 || cli_make_key(u->c, "secrets/audit.key", err) < 0 ||
	    cli_make_key(u->c, "secrets/ticket.key", err) < 0)
		return -1;
	int fd = http_bind_tcp(u->listen, bound, sizeof bound, err);
	if (fd < 0)
		return err_prefix(err, "cannot listen on %s", u->listen);
	close(fd);
	return 0;
}

static void raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max; /* every instance needs some; so does every connection */
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int catch_signals(struct up *u, struct err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return u->signals < 0 ? err_errno(err, ERR_INTERNAL, "signalfd") : 0;
}

static int start_all(struct up *u, struct err *err)
{
	static const char *const names[CHILDREN] = {
		[NET] = "net", [AUDIT] = "audit", [STORE] = "store", [AUTH] = "auth", [VMMD] = "vmmd", [PROXY] = "proxy"
	};
	char path[512];

	unlink(config_path(&u->config, "run/listen", path, sizeof path));
	u->first = u->config.network.enabled ? NET : NET + 1;
	for (int i = u->first; i < CHILDREN; i++) {
		u->child[i] = (struct child){ .name = names[i], .dir = u->config.dir };
		if (i == PROXY)
			u->child[i].listen = u->listen;
		if (supervise_start(&u->child[i], err) < 0)
			return -1;
	}
	return 0;
}

static bool all_ready(struct up *u)
{
	struct err err;
	for (int i = u->first; i < CHILDREN; i++)
		if (!u->child[i].pid || status_ready(u->c, u->child[i].name, &err) < 0)
			return false;
	return true;
}

static int announce(struct up *u, struct err *err)
{
	char isolation[128];
	if (status_listen(u->c, u->listen, sizeof u->listen, err) < 0)
		return -1;
	if (status_isolation(u->c, isolation, sizeof isolation, err) < 0)
		return -1;
	printf("PPCE ready at http://%s (isolation: %s)\n", u->listen, isolation);
	if (fflush(stdout) != 0)
		return err_errno(err, ERR_INTERNAL, "cannot write the ready line");
	u->ready = true;
	return 0;
}

/* Until the first ready: is the start hopeless? */
static int check_start(struct up *u, struct err *err)
{
	for (int i = u->first; i < CHILDREN; i++) {
		const struct child *d = &u->child[i];
		if (d->deaths && d->last_exit == err_exit_code(ERR_CONFIG))
			return err_set(err, ERR_CONFIG, "%s refused its configuration; its message stands above",
				       d->name);
		if (d->deaths >= START_DEATHS)
			return err_set(err, ERR_INTERNAL, "%s does not start; its messages stand above", d->name);
	}
	if (supervise_now() > u->deadline_ms) {
		struct err why = { 0 };
		for (int i = u->first; i < CHILDREN; i++)
			if (status_ready(u->c, u->child[i].name, &why) < 0)
				return err_set(err, ERR_TIMEOUT, "%s is not ready after %u s: %s", u->child[i].name,
					       READY_MS / 1000, why.text);
	}
	return all_ready(u) ? announce(u, err) : 0;
}

/* Returns the signal that ends us, or 0. */
static int take_signals(struct up *u)
{
	struct signalfd_siginfo info;
	int end = 0;
	while (read(u->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			supervise_reap(u->child + u->first, (size_t)(CHILDREN - u->first));
		else if (info.ssi_signo != SIGHUP)
			end = (int)info.ssi_signo;
	}
	return end;
}

static int serve(struct up *u, struct err *err)
{
	u->deadline_ms = supervise_now() + READY_MS;
	for (;;) {
		if (take_signals(u) != 0)
			return 0;
		int wait = supervise_restart(u->child + u->first, (size_t)(CHILDREN - u->first));
		if (!u->ready) {
			if (check_start(u, err) < 0)
				return -1;
			wait = wait < 0 || wait > READY_POLL_MS ? READY_POLL_MS : wait;
		}
		struct pollfd p = { .fd = u->signals, .events = POLLIN };
		poll(&p, 1, u->ready || wait >= 0 ? wait : -1);
	}
}

static int up(struct cli *c, struct err *err)
{
	struct up u = { .c = c, .lock = -1, .signals = -1 };
	int rc = -1;

	log_init("ppce", LOG_LEVEL_INFO);
	if (check(&u, err) == 0 && catch_signals(&u, err) == 0) {
		raise_limits();
		rc = start_all(&u, err);
		if (rc == 0)
			rc = serve(&u, err);
		for (int i = CHILDREN - 1; i >= u.first; i--) /* the door first, then what stands behind it */
			supervise_stop(&u.child[i]);
	}
	sock_close(&u.signals);
	sock_close(&u.lock);
	return rc;
}

const struct cli_verb cli_up_verbs[] = {
	{ .name = "up",
	  .args = "",
	  .summary = "Run the platform in the foreground; prints one line with the URL when it is ready",
	  .detail = "  ppce up -C /srv/ppce\n"
		    "  ppce up -C /tmp/try --listen 127.0.0.1:0      any free port, named in the ready line\n\n"
		    "Runs ppce-audit, ppce-store, ppce-auth, ppce-vmmd and ppce-proxy, and before them ppce-net\n"
		    "where network.enabled is set, and starts each again if it dies. SIGTERM or Ctrl-C ends all of\n"
		    "them; instances end with them. Log lines go to standard error.\n",
	  .options = { { "listen", "ADDR:PORT", "listen here instead of ppce.yaml's `listen`; port 0: any free one",
			 false } },
	  .run = up },
	{ 0 },
};
