/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/supervise.h"
#include "lib/log.h"

uint64_t supervise_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* DIR/run/NAME.pid, whole or not at all: others read it at any time. */
static void write_pid(const struct child *child)
{
	char path[512], tmp[520];
	snprintf(path, sizeof path, "%.400s/run/%s.pid", child->dir, child->name);
	snprintf(tmp, sizeof tmp, "%s.new", path);
	if (!child->pid) {
		unlink(path);
		return;
	}
	FILE *f = fopen(tmp, "we");
	if (!f || fprintf(f, "%d\n", (int)child->pid) < 0)
		log_warn("cannot write %s: %s", tmp, strerror(errno));
	if (f && fclose(f) == 0)
		rename(tmp, path);
}

/* The program beside our own executable. */
static int program_path(const char *name, char *out, size_t size, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	if (n < 0)
		return err_errno(err, ERR_INTERNAL, "/proc/self/exe");
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	size_t room = size - (size_t)(slash + 1 - out);
	if ((size_t)snprintf(slash + 1, room, "ppce-%s", name) >= room)
		return err_set(err, ERR_INTERNAL, "the path of our own executable is too long");
	if (access(out, X_OK) < 0)
		return err_errno(err, ERR_NOT_FOUND, "%s, which belongs beside ppce", out);
	return 0;
}

void supervise_forget_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* In the new process. Output of a daemon is for people: stdout is kept for the one ready line. */
static _Noreturn void exec_child(const char *program, const struct child *child, pid_t parent)
{
	char name[64], dash_c[] = "-C", dash_listen[] = "--listen";
	char *argv[6] = { name, dash_c, strdup(child->dir), NULL, NULL, NULL };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	snprintf(name, sizeof name, "ppce-%s", child->name);
	if (child->listen) {
		argv[3] = dash_listen;
		argv[4] = strdup(child->listen);
	}
	supervise_forget_signals();
	setpgid(0, 0); /* a Ctrl-C is for us, who then ends the daemons in order */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
	    setenv("PPCE_SUPERVISED", "1", 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		_exit(127);
	if (getppid() != parent) /* it died before PR_SET_PDEATHSIG was in force */
		_exit(127);
	execv(program, argv);
	fprintf(stderr, "ppce: cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

int supervise_start(struct child *child, struct err *err)
{
	char program[4096];
	pid_t parent = getpid();

	if (program_path(child->name, program, sizeof program, err) < 0)
		return -1;
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, ERR_INTERNAL, "cannot start a process");
	if (pid == 0)
		exec_child(program, child, parent);
	child->pid = pid;
	child->started_ms = supervise_now();
	write_pid(child);
	return 0;
}

static void died(struct child *child, int status)
{
	uint64_t now = supervise_now();

	if (!child->backoff_ms || now - child->started_ms >= SUPERVISE_STABLE_MS)
		child->backoff_ms = SUPERVISE_BACKOFF_MIN_MS;
	if (WIFSIGNALED(status))
		log_warn("%s (pid %d) was ended by signal %d (%s); it starts again in %u ms", child->name,
			 (int)child->pid, WTERMSIG(status), strsignal(WTERMSIG(status)), child->backoff_ms);
	else
		log_warn("%s (pid %d) ended with exit code %d; it starts again in %u ms", child->name, (int)child->pid,
			 WEXITSTATUS(status), child->backoff_ms);
	child->last_exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	child->deaths++;
	child->pid = 0;
	write_pid(child);
	child->restart_ms = now + child->backoff_ms;
	child->backoff_ms =
		child->backoff_ms * 2 < SUPERVISE_BACKOFF_MAX_MS ? child->backoff_ms * 2 : SUPERVISE_BACKOFF_MAX_MS;
}

void supervise_reap(struct child *children, size_t n)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < n; i++)
			if (children[i].pid == pid)
				died(&children[i], status);
}

int supervise_restart(struct child *children, size_t n)
{
	uint64_t now = supervise_now();
	int wait = -1;
	for (size_t i = 0; i < n; i++) {
		struct err err;
		if (children[i].pid)
			continue;
		if (children[i].restart_ms <= now && supervise_start(&children[i], &err) == 0)
			continue;
		if (children[i].restart_ms <= now) {
			log_error("%s: %s", children[i].name, err.text);
			children[i].restart_ms = now + SUPERVISE_BACKOFF_MAX_MS;
		}
		int due = (int)(children[i].restart_ms - now);
		wait = wait < 0 || due < wait ? due : wait;
	}
	return wait;
}

void supervise_stop(struct child *child)
{
	uint64_t end = supervise_now() + SUPERVISE_STOP_MS;
	bool killed = false;
	int status = 0;

	if (!child->pid)
		return;
	kill(child->pid, SIGTERM);
	while (waitpid(child->pid, &status, WNOHANG) == 0) {
		if (!killed && supervise_now() > end) {
			log_warn("%s (pid %d) did not end within %u ms of SIGTERM: killed", child->name,
				 (int)child->pid, SUPERVISE_STOP_MS);
			kill(child->pid, SIGKILL);
			killed = true;
		}
		poll(NULL, 0, 2);
	}
	if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		log_warn("%s did not end cleanly (wait status %d)", child->name, status);
	child->pid = 0;
	write_pid(child);
}
