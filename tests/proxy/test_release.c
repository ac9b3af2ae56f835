/* SPDX-License-Identifier: MIT
 *
 * Tickets and releases: what the proxy seals is what it accepts, and nothing else; an answer kept for later is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include <ppce/frame.h>
#include "lib/ticket.h"
#include "proxy/encode.h"
#include "proxy/response.h"
#include "tests/lib/guard.h"

/* Where the bytes that the compiler adds behind the MAC begin: nobody reads them. */
#define PADDING(type) (offsetof(type, mac) + TICKET_MAC_BYTES)

static const uint8_t key[TICKET_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const char value[] = "{\"mean\":12}";
static struct guard guard;

/* A release of `value` for request `id`, sealed; the body of an app's answer. */
static size_t make_release(char *out, const char *id, const char *label)
{
	struct release r = { .magic = RELEASE_MAGIC, .length = sizeof value - 1 };
	snprintf(r.request_id, sizeof r.request_id, "%s", id);
	snprintf(r.label, sizeof r.label, "%s", label);
	snprintf(r.certificate, sizeof r.certificate, "mean");
	release_seal(&r, value, key);
	memcpy(out, &r, sizeof r);
	memcpy(out + sizeof r, value, sizeof value - 1);
	return sizeof r + sizeof value - 1;
}

/* Checks `body` at a guard page as the answer to request "R1". */
static int released(const char *body, size_t len, struct response *out, struct release *head)
{
	struct err err;
	*out = (struct response){
		.status = 418, .body = guard_place(&guard, body, len), .body_len = len, .release = true
	};
	out->nfields = 1;
	out->fields[0] = (struct http_field){ "X-Smuggled", "secret" };
	return response_released(out, key, "R1", head, &err);
}

static void test_only_the_value_remains(void **state)
{
	char body[sizeof(struct release) + sizeof value];
	struct response r;
	struct release head;
	(void)state;
	size_t len = make_release(body, "R1", "level=LOW");
	assert_int_equal(released(body, len, &r, &head), 0);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.nfields, 1);
	assert_string_equal(r.fields[0].name, "Content-Type");
	assert_int_equal(r.body_len, sizeof value - 1);
	assert_memory_equal(r.body, value, sizeof value - 1);
	assert_string_equal(head.label, "level=LOW");
	assert_string_equal(head.certificate, "mean");
}

static void test_every_changed_byte_is_noticed(void **state)
{
	char body[sizeof(struct release) + sizeof value];
	struct response r;
	struct release head;
	(void)state;
	size_t len = make_release(body, "R1", "level=LOW");
	for (size_t i = 0; i < len; i++) {
		if (i >= PADDING(struct release) && i < sizeof(struct release))
			continue;
		body[i] = (char)(body[i] ^ 1);
		assert_int_equal(released(body, len, &r, &head), -1);
		body[i] = (char)(body[i] ^ 1);
	}
	for (size_t i = 0; i < len; i++)
		assert_int_equal(released(body, i, &r, &head), -1);
}

static void test_a_release_is_of_one_request(void **state)
{
	char body[sizeof(struct release) + sizeof value];
	struct response r;
	struct release head;
	(void)state;
	size_t len = make_release(body, "R2", "level=LOW");
	assert_int_equal(released(body, len, &r, &head), -1);
}

static void test_tickets(void **state)
{
	struct ticket t, other;
	uint8_t another_key[TICKET_KEY_BYTES] = { 1 };
	(void)state;
	memset(&t, 0, sizeof t);
	t.version = TICKET_VERSION;
	t.seq = 7;
	strcpy(t.user, "ann");
	ticket_seal(&t, key);
	assert_true(ticket_valid(&t) && ticket_authentic(&t, key));
	assert_false(ticket_authentic(&t, another_key));
	for (size_t i = 0; i < PADDING(struct ticket); i++) {
		other = t;
		((uint8_t *)&other)[i] ^= 0x80;
		assert_false(ticket_authentic(&other, key));
	}
	memset(t.user, 'x', sizeof t.user);
	assert_false(ticket_valid(&t));
}

static void test_a_kept_answer_is_the_same(void **state)
{
	char name[] = "X-A", text[] = "one", body[] = "two\0three";
	struct response r = { .status = 200, .nfields = 1, .body = body, .body_len = sizeof body - 1 };
	struct buf keep = { .cap = 4096 };
	(void)state;
	r.fields[0] = (struct http_field){ name, text };
	assert_int_equal(response_keep(&r, &keep), 0);
	memset(name, '?', sizeof name - 1);
	memset(text, '?', sizeof text - 1);
	memset(body, '?', sizeof body - 1);
	assert_string_equal(r.fields[0].name, "X-A");
	assert_string_equal(r.fields[0].value, "one");
	assert_memory_equal(r.body, "two\0three", 9);
	r.body_len = 4096;
	assert_int_equal(response_keep(&r, &keep), -1);
	buf_free(&keep);
}

static void test_the_frame_holds_the_ticket(void **state)
{
	struct encode_request r = { .method = "GET",
				    .path = "/",
				    .path_len = 1,
				    .query = "",
				    .app = "a",
				    .user = "u",
				    .class_name = "",
				    .label = "l",
				    .session = "s",
				    .purpose = "",
				    .request_id = "R1",
				    .body = "" };
	struct buf plain = { .cap = 65536 }, with = { .cap = 65536 };
	struct frame_header h;
	struct ticket t;
	(void)state;
	memset(&t, 0x5a, sizeof t);
	assert_int_equal(encode_frame(&r, NULL, 1, 1000, &plain), 0);
	assert_int_equal(encode_frame(&r, &t, 1, 1000, &with), 0);
	memcpy(&h, plain.data, sizeof h);
	assert_int_equal(h.flags, 0);
	memcpy(&h, with.data, sizeof h);
	assert_int_equal(h.flags, FRAME_FLAG_TICKET);
	assert_int_equal(h.length, plain.len - sizeof h);
	assert_int_equal(with.len, plain.len + sizeof t);
	assert_memory_equal(with.data + sizeof h, &t, sizeof t);
	assert_memory_equal(with.data + sizeof h + sizeof t, plain.data + sizeof h, h.length);
	buf_free(&plain);
	buf_free(&with);
}

static int key_file(const char *text, mode_t mode, uint8_t out[TICKET_KEY_BYTES], struct err *err)
{
	char path[] = "/tmp/ticket-key-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
	int rc = ticket_key_load(path, out, err);
	unlink(path);
	return rc;
}

static void test_key_files(void **state)
{
	static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	char text[200];
	uint8_t out[TICKET_KEY_BYTES];
	struct err err;
	(void)state;
	snprintf(text, sizeof text, "%s\n", hex);
	assert_int_equal(key_file(text, 0600, out, &err), 0);
	assert_int_equal(out[1], 0x11);
	assert_int_equal(key_file(text, 0644, out, &err), -1);
	assert_non_null(strstr(err.text, "chmod 600"));
	assert_int_equal(key_file("", 0600, out, &err), -1);
	assert_int_equal(
		key_file("xx112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 0600, out, &err), -1);
	snprintf(text, sizeof text, "%s%s\n", hex, hex);
	assert_int_equal(key_file(text, 0600, out, &err), -1);
	assert_int_equal(ticket_key_load("/nonexistent/key", out, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_value_remains),
		cmocka_unit_test(test_every_changed_byte_is_noticed),
		cmocka_unit_test(test_a_release_is_of_one_request),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_a_kept_answer_is_the_same),
		cmocka_unit_test(test_the_frame_holds_the_ticket),
		cmocka_unit_test(test_key_files),
	};
	if (sodium_init() < 0)
		return 1;
	guard_init(&guard);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
