/* SPDX-License-Identifier: MIT
 *
 * Asks the tender which backend works here. The tender really makes a VM: that a device file exists says little.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/applog.h"
#include "vmmd/tenders.h"

#define PROBE_MS 10000u

struct probe_output {
	int fd;
	char text[300];
	size_t len;
};

static void take(struct probe_output *o)
{
	char sink[256];
	size_t room = sizeof o->text - 1 - o->len;
	ssize_t n = room ? read(o->fd, o->text + o->len, room) : read(o->fd, sink, sizeof sink);
	if (n <= 0)
		sock_close(&o->fd);
	else if (room)
		o->len += (size_t)n;
}

/* Reads both until the process closes them. -1: it took too long. */
static int read_both(struct probe_output o[2])
{
	uint64_t end = clock_ns() + PROBE_MS * 1000000ull;
	while (o[0].fd >= 0 || o[1].fd >= 0) {
		struct pollfd p[2] = { { .fd = o[0].fd, .events = POLLIN }, { .fd = o[1].fd, .events = POLLIN } };
		uint64_t now = clock_ns();
		if (now >= end)
			return -1;
		if (poll(p, 2, (int)((end - now) / 1000000) + 1) < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < 2; i++)
			if (o[i].fd >= 0 && p[i].revents)
				take(&o[i]);
	}
	return 0;
}

static int start(const char *path, struct probe_output o[2], pid_t *pid, struct err *err)
{
	static char name[] = "ppce-tender", option[] = "--probe";
	char *const argv[] = { name, option, NULL }, *const environment[] = { NULL };
	int out[2], problem[2];
	posix_spawn_file_actions_t actions;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, ERR_INTERNAL, "pipe");
	if (pipe2(problem, O_CLOEXEC) < 0) {
		err_errno(err, ERR_INTERNAL, "pipe");
		close(out[0]);
		close(out[1]);
		return -1;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, problem[1], STDERR_FILENO);
	int rc = posix_spawn(pid, path, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	close(problem[1]);
	o[0] = (struct probe_output){ .fd = out[0] };
	o[1] = (struct probe_output){ .fd = problem[0] };
	errno = rc;
	return rc ? err_errno(err, ERR_INTERNAL, "cannot start %s", path) : 0;
}

int probe_kvm(const char *path, bool *kvm, char *why, size_t size, struct err *err)
{
	struct probe_output o[2] = { { .fd = -1 }, { .fd = -1 } };
	pid_t pid = -1;
	int status = 0, rc = start(path, o, &pid, err);

	if (rc == 0 && read_both(o) < 0) {
		kill(pid, SIGKILL);
		rc = err_set(err, ERR_INTERNAL, "%s --probe did not end within %u s", path, PROBE_MS / 1000);
	}
	sock_close(&o[0].fd);
	sock_close(&o[1].fd);
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	if (rc < 0)
		return -1;
	o[0].text[strcspn(o[0].text, "\n")] = '\0';
	o[1].text[strcspn(o[1].text, "\n")] = '\0';
	text_visible(why, size, o[1].text);
	*kvm = strcmp(o[0].text, "kvm") == 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || (!*kvm && strcmp(o[0].text, "process") != 0))
		return err_set(err, ERR_INTERNAL, "%s --probe failed: %s", path, why);
	return 0;
}
