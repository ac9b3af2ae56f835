/* SPDX-License-Identifier: MIT */
#include "vmmd/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "vmmd/vmmd.h"

#define PROCESSES_MAX 65536 /* looked at; a machine with more has a listing without figures for the rest */
#define STATUS_BYTES 4096   /* the lines that we need come before those that can be long */

struct process {
	pid_t pid, parent;
	struct memory_use use;
};

struct memory_survey {
	uv_work_t work;
	pid_t self;
	struct process *list; /* by pid */
	size_t count, room;
	memory_done_fn *done;
	void *ctx;
};

/* --- on a worker thread: nothing but the survey is touched -------------------------------------------------------- */

/* The number on the line that begins so. A process's name stands before with its newlines escaped. */
static bool number(const char *status, const char *line, uint64_t *out)
{
	const char *at = strstr(status, line);
	if (!at)
		return false;
	*out = strtoull(at + strlen(line), NULL, 10);
	return true;
}

static bool read_status(int proc, const char *pid, struct process *p)
{
	char path[300], status[STATUS_BYTES];
	uint64_t parent, anon, file, shmem;

	snprintf(path, sizeof path, "%s/status", pid);
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, status, sizeof status - 1);
	close(fd);
	if (n <= 0)
		return false;
	status[n] = '\0';
	if (!number(status, "\nPPid:", &parent) || !number(status, "\nRssAnon:", &anon) ||
	    !number(status, "\nRssFile:", &file) || !number(status, "\nRssShmem:", &shmem))
		return false; /* a kernel thread, or a process that has just ended */
	*p = (struct process){ .pid = (pid_t)strtol(pid, NULL, 10),
			       .parent = (pid_t)parent,
			       .use = { .private_kib = anon, .shared_kib = file + shmem } };
	return true;
}

static bool add(struct memory_survey *s, const struct process *p)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 256;
		struct process *list = room <= PROCESSES_MAX ? reallocarray(s->list, room, sizeof *list) : NULL;
		if (!list)
			return false;
		s->list = list;
		s->room = room;
	}
	s->list[s->count++] = *p;
	return true;
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct process *find(const struct memory_survey *s, pid_t pid)
{
	const struct process key = { .pid = pid };
	return s->count ? bsearch(&key, s->list, s->count, sizeof key, by_pid) : NULL;
}

static void survey(uv_work_t *work)
{
	struct memory_survey *s = work->data;
	struct process p, *parent;
	DIR *proc = opendir("/proc");

	for (const struct dirent *e; proc && (e = readdir(proc));)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_status(dirfd(proc), e->d_name, &p) &&
		    !add(s, &p))
			break;
	if (proc)
		closedir(proc);
	if (s->count)
		qsort(s->list, s->count, sizeof *s->list, by_pid);
	for (size_t i = 0; i < s->count; i++) {
		parent = find(s, s->list[i].parent);
		if (!parent || parent->parent != s->self)
			continue;
		parent->use.private_kib += s->list[i].use.private_kib;
		parent->use.shared_kib += s->list[i].use.shared_kib;
	}
}

/* --- on the loop -------------------------------------------------------------------------------------------------- */

static void surveyed(uv_work_t *work, int status)
{
	struct memory_survey *s = work->data;
	(void)status;
	s->done(s->ctx, s);
	free(s->list);
	free(s);
}

int memory_survey(struct vmmd *v, memory_done_fn *done, void *ctx, struct err *err)
{
	struct memory_survey *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(err, ERR_INTERNAL, "out of memory");
	s->work.data = s;
	s->self = getpid();
	s->done = done;
	s->ctx = ctx;
	if (uv_queue_work(&v->loop, &s->work, survey, surveyed) == 0)
		return 0;
	free(s);
	return err_set(err, ERR_INTERNAL, "no worker thread");
}

bool memory_of(const struct memory_survey *s, pid_t pid, struct memory_use *out)
{
	const struct process *p = find(s, pid);
	if (!p || p->parent != s->self)
		return false;
	*out = p->use;
	return true;
}
