/* SPDX-License-Identifier: MIT
 *
 * The channel against a hostile other end. The test holds the tender's end of a real socketpair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/channel.h"

struct world {
	uv_loop_t loop;
	struct channel channel;
	int peer;
	unsigned answers, readies, losses;
	bool close_in_answer, send_in_ready, last_ready;
	struct frame_header last;
	char *payload;
	enum err_kind lost_kind;
};

static void send_request(struct world *w, uint32_t bytes, uint32_t deadline_ms)
{
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_REQUEST, .length = bytes, .code = deadline_ms };
	char *frame = calloc(1, sizeof h + bytes);
	h.id = channel_next_id(&w->channel);
	memcpy(frame, &h, sizeof h);
	channel_send(&w->channel, frame, sizeof h + bytes, deadline_ms);
	free(frame);
}

static void on_answer(void *ctx, const struct frame_header *h, const void *payload)
{
	struct world *w = ctx;
	w->answers++;
	w->last = *h;
	free(w->payload);
	w->payload = NULL;
	if (payload) {
		assert_int_equal((uintptr_t)payload & 7, 0);
		w->payload = malloc(h->length);
		memcpy(w->payload, payload, h->length);
	}
	if (w->close_in_answer) {
		channel_close(&w->channel);
		if (payload) /* still valid: it lives as long as the call */
			assert_memory_equal(payload, w->payload, h->length);
	}
}

static void on_ready(void *ctx, uint32_t reset_us, bool last)
{
	struct world *w = ctx;
	(void)reset_us;
	w->last_ready = last;
	w->readies++;
	if (w->send_in_ready)
		send_request(w, 8, 1000);
}

static void on_lost(void *ctx, enum err_kind kind, const char *why)
{
	struct world *w = ctx;
	assert_non_null(why);
	assert_int_equal(w->channel.state, CHANNEL_CLOSED);
	w->losses++;
	w->lost_kind = kind;
}

static const struct channel_events events = { on_answer, on_ready, on_lost };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	int pair[2];
	struct err err;
	uv_loop_init(&w->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(channel_open(&w->channel, &w->loop, pair[0], 1 << 20, &events, w, &err), 0);
	w->peer = pair[1];
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	channel_close(&w->channel);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	if (w->peer >= 0)
		close(w->peer);
	free(w->payload);
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void reply(struct world *w, uint16_t type, uint16_t flags, uint32_t id, const void *payload, uint32_t len)
{
	struct frame_header h = { .magic = FRAME_MAGIC, .type = type, .flags = flags, .length = len, .id = id };
	char frame[4096];
	memcpy(frame, &h, sizeof h);
	memcpy(frame + sizeof h, payload, len);
	assert_int_equal(write(w->peer, frame, sizeof h + len), sizeof h + len);
}

static void test_request_and_answer(void **state)
{
	struct world *w = *state;
	struct frame_header h;
	send_request(w, 8, 1000);
	assert_int_equal(read(w->peer, &h, sizeof h), sizeof h);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, h.id, "answer", 6);
	turn(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->readies, 1);
	assert_memory_equal(w->payload, "answer", 6);
	send_request(w, 8, 1000);
	reply(w, FRAME_RESPONSE, 0, h.id + 1, "x", 1);
	turn(w);
	assert_int_equal(w->readies, 1);
	assert_int_equal(w->channel.state, CHANNEL_RESETTING);
	reply(w, FRAME_READY, 0, 0, "", 0);
	turn(w);
	assert_int_equal(w->readies, 2);
	assert_int_equal(w->losses, 0);
}

/* Byte by byte: the same outcome as in one piece. */
static void test_split_everywhere(void **state)
{
	struct world *w = *state;
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_RESPONSE, .length = 20, .id = 1 };
	struct frame_header ready = { .magic = FRAME_MAGIC, .type = FRAME_READY };
	char bytes[sizeof h + 20 + sizeof ready];
	memcpy(bytes, &h, sizeof h);
	memcpy(bytes + sizeof h, "01234567890123456789", 20);
	memcpy(bytes + sizeof h + 20, &ready, sizeof ready);
	for (size_t split = 1; split < sizeof bytes; split++) {
		w->answers = w->readies = 0;
		h.id = channel_next_id(&w->channel);
		memcpy(bytes, &h, sizeof h);
		send_request(w, 8, 1000);
		assert_int_equal(write(w->peer, bytes, split), split);
		turn(w);
		assert_int_equal(write(w->peer, bytes + split, sizeof bytes - split), sizeof bytes - split);
		for (int i = 0; i < 4; i++)
			turn(w);
		assert_int_equal(w->answers, 1);
		assert_int_equal(w->readies, 1);
		assert_memory_equal(w->payload, "01234567890123456789", 20);
		assert_int_equal(w->losses, 0);
	}
}

static void expect_lost(struct world *w, unsigned answers)
{
	turn(w);
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->lost_kind, ERR_BAD_GATEWAY);
	assert_int_equal(w->answers, answers);
}

static void test_unasked_answer(void **state)
{
	struct world *w = *state;
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, 1, "x", 1);
	expect_lost(w, 0);
}

static void test_wrong_id(void **state)
{
	struct world *w = *state;
	send_request(w, 8, 1000);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, 2, "x", 1);
	expect_lost(w, 0);
}

/* An answer made ahead for the next request, whoever may ask it. */
static void test_answer_ahead(void **state)
{
	struct world *w = *state;
	struct frame_header h[2] = { { .magic = FRAME_MAGIC, .type = FRAME_READY },
				     { .magic = FRAME_MAGIC, .type = FRAME_FAILED, .code = FRAME_CRASHED, .id = 2 } };
	w->send_in_ready = true;
	send_request(w, 8, 1000);
	reply(w, FRAME_RESPONSE, 0, 1, "x", 1);
	turn(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(write(w->peer, h, sizeof h), sizeof h);
	expect_lost(w, 1);
	assert_int_equal(w->readies, 0);
}

static void test_malformed(void **state)
{
	struct world *w = *state;
	char junk[64];
	memset(junk, 0x5a, sizeof junk);
	send_request(w, 8, 1000);
	assert_int_equal(write(w->peer, junk, sizeof junk), sizeof junk);
	expect_lost(w, 0);
}

static void test_too_long(void **state)
{
	struct world *w = *state;
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_RESPONSE, .length = (1 << 20) + 1, .id = 1 };
	send_request(w, 8, 1000);
	assert_int_equal(write(w->peer, &h, sizeof h), sizeof h); /* the header alone is enough */
	expect_lost(w, 0);
}

static void test_ready_out_of_turn(void **state)
{
	struct world *w = *state;
	send_request(w, 8, 1000);
	reply(w, FRAME_READY, 0, 1, "", 0);
	expect_lost(w, 0);
}

static void test_peer_dies(void **state)
{
	struct world *w = *state;
	char request[sizeof(struct frame_header) + 8];
	send_request(w, 8, 1000);
	assert_int_equal(read(w->peer, request, sizeof request), sizeof request);
	reply(w, FRAME_RESPONSE, 0, 1, "last words", 10);
	close(w->peer);
	w->peer = -1;
	turn(w);
	assert_int_equal(w->answers, 1); /* what it said before counts */
	turn(w);
	assert_int_equal(w->losses, 1);
}

static void test_failed(void **state)
{
	struct world *w = *state;
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_FAILED, .code = FRAME_TOO_LARGE, .id = 1 };
	send_request(w, 8, 1000);
	assert_int_equal(write(w->peer, &h, sizeof h), sizeof h);
	turn(w);
	assert_int_equal(w->answers, 1);
	assert_null(w->payload);
	assert_int_equal(w->readies, 1); /* the guest has not seen it: fit for the next */
}

static void test_close_while_in_use(void **state)
{
	struct world *w = *state;
	struct frame_header h = { .magic = FRAME_MAGIC, .type = FRAME_RESPONSE, .length = 600, .id = 1 };
	char body[600];
	memset(body, 'b', sizeof body);
	w->close_in_answer = true;
	send_request(w, 8, 1000);
	assert_int_equal(write(w->peer, &h, sizeof h), sizeof h);
	turn(w);
	assert_int_equal(write(w->peer, body, sizeof body), sizeof body);
	turn(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->readies, 0);
	assert_int_equal(w->losses, 0);
}

/* A request larger than the socket takes at once goes out in parts, and nothing before it is whole counts as its answer. */
static void test_large_request(void **state)
{
	struct world *w = *state;
	static char sink[65536];
	size_t want = sizeof(struct frame_header) + (4u << 20), got = 0;
	send_request(w, 4u << 20, 1000);
	while (got < want) {
		ssize_t n = recv(w->peer, sink, sizeof sink, MSG_DONTWAIT);
		if (n > 0)
			got += (size_t)n;
		turn(w);
	}
	assert_int_equal(got, want);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, 1, "x", 1);
	turn(w);
	assert_int_equal(w->answers, 1);
	send_request(w, 4u << 20, 1000);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, 2, "x", 1);
	expect_lost(w, 1);
}

/* --- instances with a network: only begin and end are told ---------------------------------------------------- */

static void begin(struct world *w, const struct ticket *ticket)
{
	assert_int_equal(channel_begin(&w->channel, ticket, 1000), 0);
	assert_int_equal(w->channel.state, CHANNEL_BUSY);
}

static void say(struct world *w, uint16_t type, uint16_t flags, uint32_t code)
{
	struct frame_header h = {
		.magic = FRAME_MAGIC, .type = type, .flags = flags, .code = code, .id = w->channel.id
	};
	assert_int_equal(write(w->peer, &h, sizeof h), sizeof h);
	turn(w);
}

static void test_begin_and_end(void **state)
{
	struct world *w = *state;
	struct ticket ticket = { .version = TICKET_VERSION, .user = "ann" }, got;
	struct frame_header h, end;
	for (int n = 0; n < 2; n++) {
		begin(w, n ? &ticket : NULL);
		assert_int_equal(read(w->peer, &h, sizeof h), sizeof h);
		assert_true(frame_valid(&h, true));
		assert_int_equal(h.type, FRAME_BEGIN);
		assert_int_equal(h.code, 1000);
		assert_int_equal(h.flags, n ? FRAME_FLAG_TICKET : 0);
		if (n) {
			assert_int_equal(read(w->peer, &got, sizeof got), sizeof got);
			assert_memory_equal(&got, &ticket, sizeof got);
		}
		channel_end(&w->channel, true);
		assert_int_equal(read(w->peer, &end, sizeof end), sizeof end);
		assert_true(frame_valid(&end, true));
		assert_int_equal(end.type, FRAME_END);
		assert_int_equal(end.id, h.id);
		assert_int_equal(w->channel.state, CHANNEL_RESETTING);
		say(w, FRAME_READY, n ? FRAME_FLAG_LAST : 0, 0);
		assert_int_equal(w->readies, n + 1);
		assert_int_equal(w->last_ready, n);
	}
	assert_int_equal(w->answers + w->losses, 0);
}

/* A guest that keeps its memory takes the next request at once; what the tender says of the last one comes later. */
static void test_begin_right_after_the_end(void **state)
{
	struct world *w = *state;
	for (int n = 0; n < 3; n++) {
		begin(w, NULL);
		channel_end(&w->channel, false);
		assert_int_equal(w->channel.state, CHANNEL_IDLE);
	}
	begin(w, NULL);
	for (int n = 0; n < 3; n++)
		say(w, FRAME_READY, 0, 0);
	assert_int_equal(w->channel.state, CHANNEL_BUSY);
	assert_int_equal(w->readies + w->answers + w->losses, 0);
	say(w, FRAME_READY, 0, 0); /* one too many */
	expect_lost(w, 0);
}

static void test_it_ends_after_all(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	channel_end(&w->channel, false);
	begin(w, NULL);
	say(w, FRAME_READY, FRAME_FLAG_LAST, 0);
	expect_lost(w, 0);
}

static void test_failure_of_what_was_begun(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	say(w, FRAME_FAILED, 0, FRAME_CRASHED);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->last.code, FRAME_CRASHED);
	assert_int_equal(w->losses, 0);
}

static void test_failure_after_the_end(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	channel_end(&w->channel, true);
	say(w, FRAME_FAILED, 0, FRAME_INTERNAL);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->losses, 0);
}

static void test_ready_before_the_end(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	say(w, FRAME_READY, 0, 0);
	expect_lost(w, 0);
}

static void test_answer_to_what_was_begun(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, w->channel.id, "x", 1);
	expect_lost(w, 0);
}

static void test_too_large_is_not_for_what_was_begun(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	say(w, FRAME_FAILED, 0, FRAME_TOO_LARGE);
	expect_lost(w, 0);
}

/* Both kinds in turn: what was begun is forgotten with the next request. */
static void test_begun_and_sent_in_turn(void **state)
{
	struct world *w = *state;
	begin(w, NULL);
	channel_end(&w->channel, true);
	say(w, FRAME_READY, 0, 0);
	send_request(w, 8, 1000);
	reply(w, FRAME_RESPONSE, FRAME_FLAG_READY, w->channel.id, "x", 1);
	turn(w);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->readies, 2);
	assert_int_equal(w->losses, 0);
}

static void test_nobody_takes_the_beginning(void **state)
{
	struct world *w = *state;
	close(w->peer);
	w->peer = -1;
	assert_int_equal(channel_begin(&w->channel, NULL, 1000), -1);
	assert_int_equal(w->channel.state, CHANNEL_IDLE);
}

/* A tender that reads nothing: the socket is full when the end is to be told. */
static void test_nobody_takes_the_end(void **state)
{
	struct world *w = *state;
	static char junk[65536];
	begin(w, NULL);
	while (send(w->channel.fd, junk, sizeof junk, MSG_DONTWAIT) > 0 ||
	       send(w->channel.fd, junk, 1, MSG_DONTWAIT) > 0)
		;
	channel_end(&w->channel, true);
	expect_lost(w, 0);
}

static void test_begun_and_never_ended(void **state)
{
	struct world *w = *state;
	assert_int_equal(channel_begin(&w->channel, NULL, 1), 0);
	uv_run(&w->loop, UV_RUN_ONCE); /* waits for the guard */
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->lost_kind, ERR_TIMEOUT);
}

static void test_deadline(void **state)
{
	struct world *w = *state;
	send_request(w, 8, 1);
	uv_run(&w->loop, UV_RUN_ONCE); /* waits for the guard */
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->lost_kind, ERR_TIMEOUT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request_and_answer),
		TEST(test_split_everywhere),
		TEST(test_unasked_answer),
		TEST(test_wrong_id),
		TEST(test_answer_ahead),
		TEST(test_malformed),
		TEST(test_too_long),
		TEST(test_ready_out_of_turn),
		TEST(test_peer_dies),
		TEST(test_failed),
		TEST(test_close_while_in_use),
		TEST(test_large_request),
		TEST(test_deadline),
		TEST(test_begin_and_end),
		TEST(test_begin_right_after_the_end),
		TEST(test_it_ends_after_all),
		TEST(test_failure_of_what_was_begun),
		TEST(test_failure_after_the_end),
		TEST(test_ready_before_the_end),
		TEST(test_answer_to_what_was_begun),
		TEST(test_too_large_is_not_for_what_was_begun),
		TEST(test_begun_and_sent_in_turn),
		TEST(test_nobody_takes_the_beginning),
		TEST(test_nobody_takes_the_end),
		TEST(test_begun_and_never_ended),
	};
	return cmocka_run_group_tests_name("proxy/channel", tests, NULL, NULL);
}
