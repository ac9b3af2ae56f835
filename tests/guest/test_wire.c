/* SPDX-License-Identifier: MIT
 *
 * The decoders of ppce/wire.h on messages that end exactly at an unreadable page: good ones, every prefix of them, and
 * every single byte changed. Whatever they accept must be readable in full and keep its promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "guest/app.h"
#include "tests/guest/wire_use.h"

enum { ROOM = 65536, PAGE = 4096 };

static uint8_t *guarded; /* ROOM bytes, then a page that faults */

static int make_guard(void **state)
{
	(void)state;
	guarded = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return guarded == MAP_FAILED ? -1 : mprotect(guarded + ROOM, PAGE, PROT_NONE);
}

/* The message, 4-byte aligned as the format demands, with less than four readable bytes behind it. */
static uint8_t *place(const void *msg, size_t size)
{
	uint8_t *at = guarded + ROOM - (size + 3) / 4 * 4;

	memcpy(at, msg, size);
	memset(at + size, 0xff, (size_t)(guarded + ROOM - at) - size);
	return at;
}

static size_t make_request(uint8_t *out, size_t size)
{
	static const struct app_ask ask = { .method = "POST",
					    .path = "/a/b",
					    .query = "x=1&y=2",
					    .user = "alice",
					    .label = "level=SECRET",
					    .headers = { { "Accept", "*/*" }, { "X-One", "" } },
					    .nheaders = 2,
					    .body = "\0body",
					    .body_len = 5 };
	return app_ask_encode(&ask, out, size);
}

static size_t make_response(uint8_t *out, size_t size)
{
	struct ppce_response *res = malloc(sizeof *res);

	app_response_begin(res, out, size);
	assert_int_equal(ppce_reply(res, 200, "text/plain", "hello %d", 1), 0);
	assert_int_equal(ppce_header_add(res, "X-Two", "2"), 0);
	size_t len = app_response_finish(res, 0);
	free(res);
	return len;
}

static void request_decodes(void **state)
{
	_Alignas(4) uint8_t msg[1024];
	struct ppce_header headers[PPCE_HEADERS_MAX];
	struct ppce_request req;
	size_t len = make_request(msg, sizeof msg);
	const struct wire_request *w = wire_request_decode(place(msg, len), len);

	(void)state;
	assert_non_null(w);
	assert_int_equal(app_request_view(w, headers, &req), 0);
	assert_string_equal(req.method, "POST");
	assert_string_equal(req.path, "/a/b");
	assert_string_equal(req.query, "x=1&y=2");
	assert_string_equal(req.user, "alice");
	assert_string_equal(ppce_header_get(&req, "ACCEPT"), "*/*");
	assert_null(ppce_header_get(&req, "x-two"));
	assert_int_equal(req.body_len, 5);
	assert_memory_equal(req.body, "\0body", 6);
}

static void response_decodes(void **state)
{
	_Alignas(4) static uint8_t msg[16384];
	size_t len = make_response(msg, sizeof msg);
	const struct wire_response *w = wire_response_decode(place(msg, len), len);

	(void)state;
	assert_non_null(w);
	assert_int_equal(w->status, 200);
	assert_int_equal(w->fields, 2);
	assert_string_equal(wire_text(w, w->body), "hello 1");
	assert_string_equal(wire_text(w, wire_fields(w, sizeof *w)[1].name), "x-two");
}

static void no_prefix_decodes(void **state)
{
	_Alignas(4) static uint8_t msg[16384];
	size_t len = make_request(msg, sizeof msg);

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_null(wire_request_decode(place(msg, n), n));
	len = make_response(msg, sizeof msg);
	for (size_t n = 0; n < len - 6; n++) /* the strings stand last; the body ends before them */
		use_response(place(msg, n), n);
	assert_null(wire_response_decode(place(msg, len - 1), len - 1));
}

static void changed_bytes_harm_nobody(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	_Alignas(4) static uint8_t msg[16384];
	size_t len = make_request(msg, sizeof msg);

	(void)state;
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < sizeof values; k++) {
			uint8_t *at = place(msg, len);
			at[i] = values[k];
			use_request(at, len);
		}
	len = make_response(msg, sizeof msg);
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < sizeof values; k++) {
			uint8_t *at = place(msg, len);
			at[i] = values[k];
			use_response(at, len);
		}
}

/* References at the very ends of the number range must not wrap into the message. */
static void wrapping_references_are_refused(void **state)
{
	static const struct wire_ref bad[] = { { 0xffffffff, 1 }, { 200, 0xffffffff }, { 0xffffff00, 0xffffff00 },
					       { 0, 4 },	  { 95, 0 },	       { 0xffffffff, 0 } };
	_Alignas(4) uint8_t msg[1024];
	size_t len = make_request(msg, sizeof msg);

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t *at = place(msg, len);
		((struct wire_request *)(void *)at)->path = bad[i];
		assert_null(wire_request_decode(at, len));
	}
	uint8_t *at = place(msg, len);
	((struct wire_request *)(void *)at)->fields = PPCE_HEADERS_MAX + 1;
	assert_null(wire_request_decode(at, len));
	((struct wire_request *)(void *)at)->fields = 0x10000001;
	assert_null(wire_request_decode(at, len));
}

static void text_with_a_nul_is_refused(void **state)
{
	_Alignas(4) uint8_t msg[1024];
	struct ppce_header headers[PPCE_HEADERS_MAX];
	struct ppce_request req;
	size_t len = make_request(msg, sizeof msg);
	uint8_t *user = memmem(msg, len, "alice", 5);

	(void)state;
	user[2] = '\0';
	const struct wire_request *w = wire_request_decode(place(msg, len), len);
	assert_non_null(w);
	assert_int_equal(app_request_view(w, headers, &req), -1);
}

static void encoding_keeps_its_bounds(void **state)
{
	_Alignas(4) uint8_t msg[1024];
	size_t len = make_request(msg, sizeof msg);

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(make_request(guarded + ROOM - n / 4 * 4, n / 4 * 4), 0);
	assert_int_equal(make_request(guarded + ROOM - (len + 3) / 4 * 4, (len + 3) / 4 * 4), len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_decodes),
		cmocka_unit_test(response_decodes),
		cmocka_unit_test(no_prefix_decodes),
		cmocka_unit_test(changed_bytes_harm_nobody),
		cmocka_unit_test(wrapping_references_are_refused),
		cmocka_unit_test(text_with_a_nul_is_refused),
		cmocka_unit_test(encoding_keeps_its_bounds),
	};

	return cmocka_run_group_tests(tests, make_guard, NULL);
}
