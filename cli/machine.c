/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/machine.h"
#include "cli/supervise.h"

#define ASK_MS 10000u

bool machine_cpu_flag(const char *flag)
{
	char *line = NULL, *state, *word;
	size_t size = 0;
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");
	while (f && !found && getline(&line, &size, f) >= 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (word = strtok_r(line, " \t\n", &state); word && !found; word = strtok_r(NULL, " \t\n", &state))
			found = strcmp(word, flag) == 0;
		break; /* all processors are alike */
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

void machine_kvm_kind(char *out, size_t size)
{
	static const char *const modules[][2] = { { "/sys/module/kvm_intel", "vmx" },
						  { "/sys/module/kvm_amd", "svm" },
						  { "/sys/module/kvm_pvm", "pvm" } };
	const char *kind = "of an unknown kind";
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
		if (access(modules[i][0], F_OK) == 0)
			kind = modules[i][1];
	snprintf(out, size, "%s%s", machine_cpu_flag("hypervisor") ? "nested " : "", kind);
}

static _Noreturn void run(const char *name, const char *argument, int out, int err)
{
	char path[4096], first[64], second[64];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	if (n < 0)
		_exit(127);
	path[n] = '\0';
	char *slash = strrchr(path, '/');
	snprintf(slash + 1, sizeof path - (size_t)(slash + 1 - path), "%s", name);
	snprintf(first, sizeof first, "%s", name);
	snprintf(second, sizeof second, "%s", argument);
	supervise_forget_signals();
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(127);
	execv(path, (char *[]){ first, second, NULL });
	_exit(127);
}

/* The first line that comes out of `fd`, cut at size. */
static void first_line(int fd, char *out, size_t size)
{
	ssize_t n = read(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

int machine_ask(const char *name, const char *argument, char *out, char *why, size_t size, struct err *err)
{
	int answer[2], reason[2], status = 0;
	if (pipe2(answer, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, ERR_INTERNAL, "pipe");
	if (pipe2(reason, O_CLOEXEC | O_NONBLOCK) < 0) {
		close(answer[0]);
		close(answer[1]);
		return err_errno(err, ERR_INTERNAL, "pipe");
	}
	fflush(NULL);
	uint64_t end = supervise_now() + ASK_MS;
	pid_t pid = fork();
	if (pid == 0)
		run(name, argument, answer[1], reason[1]);
	while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
		if (supervise_now() > end)
			kill(pid, SIGKILL);
		poll(NULL, 0, 2);
	}
	first_line(answer[0], out, size);
	first_line(reason[0], why, size);
	for (int i = 0; i < 2; i++) {
		close(answer[i]);
		close(reason[i]);
	}
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, ERR_INTERNAL, "`%s %s` failed: %s", name, argument, *why ? why : "no reason given");
	return 0;
}
