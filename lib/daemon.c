/* SPDX-License-Identifier: MIT */
#include "lib/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <sodium.h>

#include "lib/log.h"

#define GRACE_MS 3000

const char *daemon_arguments(int argc, char **argv, const char *usage, const char *option, const char **value)
{
	const struct option known[] = { { "help", no_argument, NULL, 'h' },
					{ option, required_argument, NULL, 'o' }, /* without a name: the table's end */
					{ NULL, 0, NULL, 0 } };
	const char *dir = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "C:h", known, NULL)) != -1) {
		if (c == 'h')
			exit(fputs(usage, stdout) < 0);
		if (c == 'C')
			dir = optarg;
		else if (c == 'o')
			*value = optarg;
		else
			break;
	}
	if (!dir || optind != argc || c != -1) {
		fputs(usage, stderr);
		exit(2);
	}
	return dir;
}

static void set_up_process(void)
{
	static const struct rlimit no_core = { 0, 0 };

	if (getenv("PPCE_SUPERVISED"))
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	  /* a file that may not grow is an error of write(2), not the end */
	setrlimit(RLIMIT_CORE, &no_core); /* passwords and people's data are in memory, and in that of tenders */
	umask(077);
}

int daemon_begin(const char *name, const char *dir, struct config *config, struct err *err)
{
	enum log_level level;

	log_init(name, LOG_LEVEL_INFO);
	set_up_process();
	if (sodium_init() < 0)
		return err_set(err, ERR_INTERNAL, "libsodium does not start");
	if (config_load(dir, config, err) < 0)
		return -1;
	if (log_level_parse(config->log_level, &level) == 0)
		log_init(name, level);
	return 0;
}

void daemon_raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int daemon_mkdir(const struct config *c, const char *tail, struct err *err)
{
	char path[320];

	if (mkdir(config_path(c, tail, path, sizeof path), 0700) < 0 && errno != EEXIST)
		return err_errno(err, ERR_CONFIG, "cannot make %s", path);
	return 0;
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct daemon_life *life = signal->data;
	(void)number;
	life->end(life->ctx);
}

void daemon_watch(struct daemon_life *life, uv_loop_t *loop, void (*end)(void *ctx), void *ctx)
{
	life->end = end;
	life->ctx = ctx;
	uv_signal_init(loop, &life->term);
	uv_signal_init(loop, &life->interrupt);
	life->term.data = life->interrupt.data = life;
	uv_signal_start(&life->term, on_signal, SIGTERM);
	uv_signal_start(&life->interrupt, on_signal, SIGINT);
}

void daemon_unwatch(struct daemon_life *life)
{
	uv_close((uv_handle_t *)&life->term, NULL);
	uv_close((uv_handle_t *)&life->interrupt, NULL);
}

static void on_grace_over(uv_timer_t *timer)
{
	struct daemon_life *life = timer->data;
	log_warn("%s under way were cut off", life->owed);
	uv_stop(timer->loop);
}

void daemon_grace(struct daemon_life *life, const char *owed)
{
	life->owed = owed;
	uv_timer_init(life->term.loop, &life->grace);
	life->grace.data = life;
	uv_timer_start(&life->grace, on_grace_over, GRACE_MS, 0);
	uv_unref((uv_handle_t *)&life->grace);
	daemon_unwatch(life);
}

void daemon_close(struct daemon_life *life)
{
	uv_loop_t *loop = life->grace.loop;

	uv_close((uv_handle_t *)&life->grace, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	uv_loop_close(loop);
}

int daemon_failed(const struct err *err)
{
	log_error("%s", err->text);
	return err_exit_code(err->kind);
}
