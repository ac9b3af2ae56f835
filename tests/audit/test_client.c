/* SPDX-License-Identifier: MIT
 *
 * lib/audit.h against the real ppce-audit and against a log that misbehaves. PPCE_AUDIT names the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <ppce/audit.h>
#include "lib/audit.h"
#include "lib/audit_files.h"
#include "lib/names.h"
#include "lib/sock.h"

static char dir[64], path[96], files[96];
static pid_t pid;
static uv_loop_t loop;

struct waiter {
	struct audit_wait wait;
	int done;
	bool good;
	enum err_kind kind;
	struct audit *submit_to; /* one more record from within done() */
	struct waiter *next;
	unsigned order;
};
static unsigned finished;

static void put(const char *name, const char *text)
{
	char file[128];
	snprintf(file, sizeof file, "%s/%s", dir, name);
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void start_log(void)
{
	pid = fork();
	if (pid == 0) {
		execl(getenv("PPCE_AUDIT"), "ppce-audit", "-C", dir, (char *)NULL);
		_exit(127);
	}
	for (;;) { /* the socket is there before the log is recovered: that a client can wait for */
		struct err err;
		int fd = sock_connect_unix(path, SOCK_SEQPACKET, &err);
		if (fd >= 0) {
			close(fd);
			return;
		}
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		usleep(1000);
	}
}

static void end_log(int sig)
{
	kill(pid, sig);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pid = 0;
}

static int set_up(void **state)
{
	(void)state;
	char sub[96];
	strcpy(dir, "/tmp/ppce-test-client-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(sub, sizeof sub, "%s/secrets", dir);
	mkdir(sub, 0700);
	snprintf(sub, sizeof sub, "%s/run", dir);
	mkdir(sub, 0700);
	put("ppce.yaml", "log_level: error\naudit:\n  checkpoint_ms: 20\n");
	put("secrets/audit.key", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
	snprintf(path, sizeof path, "%s/run/audit-log.sock", dir);
	snprintf(files, sizeof files, "%s/log/audit", dir);
	finished = 0;
	return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	if (pid)
		end_log(SIGTERM);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	int rc = uv_loop_close(&loop); /* every handle was closed */
	return system(command) == 0 && rc == 0 ? 0 : -1;
}

static void on_done(struct audit_wait *w, const struct err *err)
{
	static const struct audit_record more = { .event = "request", .path = "/more", .allowed = true };
	struct waiter *me = (struct waiter *)((char *)w - offsetof(struct waiter, wait));
	me->done++;
	me->good = err == NULL;
	me->kind = err ? err->kind : ERR_NONE;
	me->order = finished++;
	if (me->submit_to)
		audit_submit(me->submit_to, &more, &me->next->wait);
}

static void run_until(const unsigned *count, unsigned wanted)
{
	while (*count < wanted)
		uv_run(&loop, UV_RUN_ONCE);
}

static size_t count_records(const char *wanted_path)
{
	struct err err;
	struct audit_line line;
	size_t n = 0;
	struct audit_reader *r = audit_reader_open(files, 0, &err);
	assert_non_null(r);
	while (audit_reader_next(r, &line, &err) > 0) {
		json_t *record = audit_record_read(line.text, line.len, line.seq, &err);
		assert_non_null(record);
		const char *have = json_string_value(json_object_get(record, "path"));
		n += !wanted_path || (have && strcmp(have, wanted_path) == 0);
		json_decref(record);
	}
	audit_reader_close(r);
	return n;
}

static struct audit *open_client(uv_loop_t *l)
{
	struct err err;
	struct audit *a = audit_open(l, path, "test", &err);
	assert_non_null(a);
	assert_false(audit_usable(a));
	return a;
}

static void close_client(struct audit *a)
{
	audit_close(a);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- waiting ---- */

static void test_write(void **state)
{
	(void)state;
	struct err err;
	struct audit *a = open_client(NULL);
	struct audit_record r = { .event = "request",
				  .actor = "ann",
				  .path = "/\xff\n",
				  .owners = "p7/x",
				  .status = 200,
				  .rows = 3,
				  .epoch = 9,
				  .allowed = true,
				  .label = "" };
	assert_int_equal(audit_write(a, &r, &err), -1); /* nobody listens */
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	start_log();
	assert_int_equal(audit_write(a, &r, &err), 0);
	assert_true(audit_usable(a));
	assert_int_equal(count_records("/\xef\xbf\xbd\n"), 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(audit_write(a, &r, NULL), 0);
	end_log(SIGKILL);
	assert_int_equal(audit_write(a, &r, &err), -1);
	assert_false(audit_usable(a));
	start_log(); /* the connection is made again by the next record */
	assert_int_equal(audit_write(a, &r, &err), 0);
	end_log(SIGTERM);
	start_log(); /* also where it was closed unnoticed since the last one */
	assert_int_equal(audit_write(a, &r, &err), 0);
	assert_int_equal(count_records(NULL), 103);
	audit_close(a);
	audit_close(NULL);
}

static void test_long_texts(void **state)
{
	(void)state;
	struct err err;
	start_log();
	struct audit *a = open_client(NULL);
	char *text = calloc(1, 200001);
	memset(text, 1, 200000);
	struct audit_record r = { .event = "request", .path = text };
	assert_int_equal(audit_write(a, &r, &err), 0); /* cut */
	r.path = NULL;
	r.reason = text; /* nothing that may be cut */
	assert_int_equal(audit_write(a, &r, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
	r.reason = "short";
	assert_int_equal(audit_write(a, &r, &err), 0);
	assert_int_equal(count_records(NULL), 2);
	free(text);
	audit_close(a);
}

/* ---- not waiting ---- */

static void test_submit(void **state)
{
	(void)state;
	static struct waiter w[3000];
	struct err err;
	start_log();
	struct audit *a = open_client(&loop);
	memset(w, 0, sizeof w);
	for (unsigned i = 0; i < 3000; i++) { /* more than fit into the socket */
		char name[32];
		struct audit_record r = { .event = "request", .path = name, .reason = "x", .allowed = true };
		snprintf(name, sizeof name, "/%u", i);
		w[i].wait.done = on_done;
		audit_submit(a, &r, &w[i].wait);
		assert_int_equal(finished, 0); /* never from within */
		if (i == 1500)		       /* the waiting form on the same struct does not mix with them */
			assert_int_equal(audit_write(a, &(struct audit_record){ .event = "other" }, &err), 0);
	}
	run_until(&finished, 3000);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(w[i].done, 1);
		assert_true(w[i].good);
		assert_int_equal(w[i].order, i);
	}
	assert_true(audit_usable(a));
	assert_int_equal(count_records(NULL), 3001);
	close_client(a);
}

static void test_submit_from_done(void **state)
{
	(void)state;
	struct waiter second = { .wait = { .done = on_done } };
	start_log();
	struct audit *a = open_client(&loop);
	struct waiter first = { .wait = { .done = on_done }, .submit_to = a, .next = &second };
	audit_submit(a, &(struct audit_record){ .event = "request" }, &first.wait);
	run_until(&finished, 2);
	assert_true(first.good && second.good);
	assert_int_equal(count_records("/more"), 1);
	close_client(a);
}

/* Records submitted while the log is away go in when it is back in time. */
static void test_submit_before_the_log_is_there(void **state)
{
	(void)state;
	struct waiter w[3] = { 0 };
	struct audit *a = open_client(&loop);
	for (int i = 0; i < 3; i++) {
		w[i].wait.done = on_done;
		audit_submit(a, &(struct audit_record){ .event = "request" }, &w[i].wait);
	}
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(finished, 0);
	start_log();
	run_until(&finished, 3);
	assert_true(w[0].good && w[1].good && w[2].good);
	assert_int_equal(count_records(NULL), 3);
	close_client(a);
}

static void test_no_log_at_all(void **state)
{
	(void)state;
	struct waiter second = { .wait = { .done = on_done } };
	struct audit *a = open_client(&loop);
	struct waiter first = { .wait = { .done = on_done }, .submit_to = a, .next = &second };
	uint64_t begin = clock_ns();
	audit_submit(a, &(struct audit_record){ .event = "request" }, &first.wait);
	run_until(&finished, 1);
	assert_false(first.good);
	assert_int_equal(first.kind, ERR_UNAVAILABLE);
	assert_true(clock_ns() - begin >= (AUDIT_WAIT_MS - 1) * 1000000ull); /* it waited for the log to come */
	assert_int_equal(second.done, 0);
	audit_close(a); /* ends the second */
	assert_int_equal(second.done, 1);
	assert_false(second.good);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* The log dies with records under way: each is told of once, and what was acknowledged is there. */
static void test_kill(void **state)
{
	(void)state;
	static struct waiter w[2000];
	unsigned good = 0;
	start_log();
	struct audit *a = open_client(&loop);
	memset(w, 0, sizeof w);
	for (unsigned i = 0; i < 2000; i++) {
		w[i].wait.done = on_done;
		audit_submit(a, &(struct audit_record){ .event = "request", .allowed = true }, &w[i].wait);
	}
	run_until(&finished, 300);
	end_log(SIGKILL);
	start_log();
	run_until(&finished, 2000);
	for (unsigned i = 0; i < 2000; i++) {
		assert_int_equal(w[i].done, 1);
		good += w[i].good;
		assert_true(w[i].good || w[i].kind == ERR_UNAVAILABLE);
	}
	assert_true(good >= 300);
	assert_true(count_records(NULL) >= good);
	struct waiter last = { .wait = { .done = on_done } };
	audit_submit(a, &(struct audit_record){ .event = "request" }, &last.wait);
	run_until(&finished, 2001);
	assert_true(last.good && audit_usable(a));
	close_client(a);
}

static void test_submit_what_cannot_be_sent(void **state)
{
	(void)state;
	struct waiter w = { .wait = { .done = on_done } };
	char *text = calloc(1, 200001);
	memset(text, 1, 200000);
	start_log();
	struct audit *a = open_client(&loop);
	audit_submit(a, &(struct audit_record){ .event = "request", .reason = text }, &w.wait);
	assert_int_equal(w.done, 0);
	run_until(&finished, 1);
	assert_false(w.good);
	assert_int_equal(w.kind, ERR_INTERNAL);
	free(text);
	close_client(a);
}

static void test_close_with_records_under_way(void **state)
{
	(void)state;
	struct waiter w[50] = { 0 };
	start_log();
	struct audit *a = open_client(&loop);
	for (int i = 0; i < 50; i++) {
		w[i].wait.done = on_done;
		audit_submit(a, &(struct audit_record){ .event = "request" }, &w[i].wait);
	}
	close_client(a);
	for (int i = 0; i < 50; i++)
		assert_true(w[i].done == 1 && !w[i].good);
}

static void test_too_many(void **state)
{
	(void)state;
	static struct waiter w[9000];
	unsigned refused = 0;
	struct audit *a = open_client(&loop); /* no log: all of them wait */
	memset(w, 0, sizeof w);
	for (unsigned i = 0; i < 9000; i++) {
		w[i].wait.done = on_done;
		audit_submit(a, &(struct audit_record){ .event = "request" }, &w[i].wait);
	}
	uv_run(&loop, UV_RUN_ONCE);
	for (unsigned i = 0; i < 9000; i++)
		refused += w[i].done && !w[i].good;
	assert_int_equal(refused, 9000 - 8192);
	close_client(a);
	for (unsigned i = 0; i < 9000; i++)
		assert_true(w[i].done == 1 && !w[i].good);
}

/* ---- a log that misbehaves ---- */

static int listener = -1, peer = -1;

static void listen_instead(void)
{
	struct err err;
	listener = sock_listen_unix(path, SOCK_SEQPACKET, &err);
	assert_true(listener >= 0);
}

static uint64_t take_record(void)
{
	static char bytes[sizeof(struct audit_head) + AUDIT_RECORD_MAX];
	struct audit_head head;
	if (peer < 0)
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = recv(peer, bytes, sizeof bytes, 0);
	assert_true(n > (ssize_t)sizeof head);
	memcpy(&head, bytes, sizeof head);
	assert_int_equal(head.magic, AUDIT_MAGIC);
	assert_int_equal(head.length, n - (ssize_t)sizeof head);
	return head.id;
}

static void stop_listening(void)
{
	sock_close(&peer);
	sock_close(&listener);
	unlink(path);
}

/* What the log answers to one record, and what the submitter is told. */
static void answer(const void *bytes, size_t len, bool good, enum err_kind kind)
{
	struct waiter w = { .wait = { .done = on_done } };
	struct audit *a = open_client(&loop);
	listen_instead();
	finished = 0;
	audit_submit(a, &(struct audit_record){ .event = "request" }, &w.wait);
	uint64_t id = take_record();
	assert_int_equal(id, 1);
	if (len)
		assert_int_equal(send(peer, bytes, len, 0), (ssize_t)len);
	else
		sock_close(&peer);
	run_until(&finished, 1);
	assert_int_equal(w.done, 1);
	assert_int_equal(w.good, good);
	assert_int_equal(w.kind, kind);
	assert_int_equal(audit_usable(a), good);
	stop_listening();
	close_client(a);
}

static void test_answers(void **state)
{
	(void)state;
	struct audit_ack ack = { .magic = AUDIT_MAGIC, .id = 1 };
	char longer[sizeof ack + 1] = { 0 };
	answer(&ack, sizeof ack, true, ERR_NONE);
	ack.status = AUDIT_STOPPED;
	answer(&ack, sizeof ack, false, ERR_UNAVAILABLE);
	ack.status = AUDIT_MALFORMED;
	answer(&ack, sizeof ack, false, ERR_INTERNAL);
	ack.status = 77;
	answer(&ack, sizeof ack, false, ERR_INTERNAL);
	ack.status = AUDIT_WRITTEN;
	ack.id = 2; /* nobody's */
	answer(&ack, sizeof ack, false, ERR_UNAVAILABLE);
	ack.id = 1;
	memcpy(longer, &ack, sizeof ack);
	answer(longer, sizeof longer, false, ERR_UNAVAILABLE);
	answer(&ack, sizeof ack - 1, false, ERR_UNAVAILABLE);
	ack.magic = 7;
	answer(&ack, sizeof ack, false, ERR_UNAVAILABLE);
	answer(NULL, 0, false, ERR_UNAVAILABLE); /* hangs up */
}

/* The log takes the record and says nothing: after AUDIT_WAIT_MS it counts as missing, and a late word changes nothing. */
static void test_silence(void **state)
{
	(void)state;
	struct err err;
	struct waiter w = { .wait = { .done = on_done } };
	struct audit *a = open_client(&loop);
	listen_instead();
	audit_submit(a, &(struct audit_record){ .event = "request" }, &w.wait);
	take_record();
	run_until(&finished, 1);
	assert_false(w.good);
	assert_int_equal(w.kind, ERR_UNAVAILABLE);
	struct audit_ack late = { .magic = AUDIT_MAGIC, .id = 1 };
	send(peer, &late, sizeof late, MSG_NOSIGNAL);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(w.done, 1);
	sock_close(&peer);
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = "request" }, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	stop_listening();
	close_client(a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_write),
		TEST(test_long_texts),
		TEST(test_submit),
		TEST(test_submit_from_done),
		TEST(test_submit_before_the_log_is_there),
		TEST(test_no_log_at_all),
		TEST(test_kill),
		TEST(test_submit_what_cannot_be_sent),
		TEST(test_close_with_records_under_way),
		TEST(test_too_many),
		TEST(test_answers),
		TEST(test_silence),
	};
	if (!getenv("PPCE_AUDIT")) {
		fputs("PPCE_AUDIT is not set: meson test sets it\n", stderr);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
