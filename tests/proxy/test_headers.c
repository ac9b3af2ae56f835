/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ppce/wire.h>
#include <ppce/frame.h>
#include "proxy/encode.h"
#include "proxy/headers.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

static void test_identity_fields_are_stripped(void **state)
{
	(void)state;
	static const char *const names[] = { "PPCE-User",	"ppce-label",	    "X-PPCE-Session",
					     "X-Forwarded-For", "X-Forwarded-User", "Forwarded",
					     "X-Real-IP",	"X-User",	    "X-User-Id",
					     "X-Username",	"Remote-User",	    "REMOTE_USER",
					     "X_Forwarded_For", "X-Remote-User",    "X-Auth-User",
					     "X_User",		"ppce_user",	    "True-Client-IP",
					     "X-Original-URL",	"SSL-Client-Cert",  "X-Authenticated-Userid" };
	for (size_t i = 0; i < LEN(names); i++) {
		struct http_field field = { names[i], "admin" };
		struct http_exchange x = { .fields = &field, .nfields = 1 };
		struct headers_field out[4];
		struct buf cookie = { .cap = 100 };
		if (headers_forward(&x, out, 4, &cookie) != 0)
			fail_msg("%s went through", names[i]);
	}
}

static void test_other_fields_stay(void **state)
{
	(void)state;
	static const char *const names[] = { "Accept",	     "User-Agent", "Host",    "Content-Type", "If-None-Match",
					     "X-Request-Id", "X-Customer", "Referer", "Origin" };
	for (size_t i = 0; i < LEN(names); i++) {
		assert_false(headers_identity(names[i]));
		assert_false(headers_hop(names[i]));
	}
	assert_true(headers_hop("Connection"));
	assert_true(headers_hop("TE"));
	assert_true(headers_hop("Proxy-Anything"));
	assert_true(headers_hop("content-length"));
}

static void test_forward(void **state)
{
	(void)state;
	struct http_field fields[] = { { "Accept", "*/*" },
				       { "Cookie", "a=1; ppce_session=secret; b=2" },
				       { "Authorization", "Bearer x" },
				       { "Connection", "close" },
				       { "Cookie", "ppce_session=secret" },
				       { "Cookie", " c=3 ;d" } };
	struct http_exchange x = { .fields = fields, .nfields = LEN(fields) };
	struct headers_field out[PPCE_HEADERS_MAX];
	struct buf cookie = { .cap = 1000 };
	assert_int_equal(headers_forward(&x, out, LEN(out), &cookie), 3);
	assert_string_equal(out[0].name, "Accept");
	assert_string_equal(out[1].value, "a=1; b=2");
	assert_int_equal(out[1].value_len, 8);
	assert_string_equal(out[2].value, "c=3; d");
	assert_int_equal(headers_forward(&x, out, 1, &cookie), 1);
	buf_free(&cookie);
}

static int token_of(struct http_field *fields, unsigned n, char *out)
{
	struct http_exchange x = { .fields = fields, .nfields = n };
	const char *token;
	size_t len;
	struct err err;
	out[0] = '\0';
	if (headers_token(&x, &token, &len, &err) < 0)
		return -1;
	if (token)
		memcpy(out, token, len);
	out[token ? len : 0] = '\0';
	return token ? 1 : 0;
}

static void test_token(void **state)
{
	(void)state;
	char token[200];
	struct http_field bearer = { "authorization", "bearer   abc" }, basic = { "Authorization", "Basic abc" };
	struct http_field cookie = { "Cookie", "x=y; ppce_session=abc; z" }, other = { "Cookie", "ppce_session=abd" };
	struct http_field twice = { "Cookie", "ppce_session=abc; ppce_session=abd" };
	struct http_field near = { "Cookie", "xppce_session=a; ppce_sessio=b; ppce_session2=c; ppce_session" };
	assert_int_equal(token_of(&bearer, 1, token), 1);
	assert_string_equal(token, "abc");
	assert_int_equal(token_of(&cookie, 1, token), 1);
	assert_string_equal(token, "abc");
	assert_int_equal(token_of(&basic, 1, token), 0);
	assert_int_equal(token_of(&near, 1, token), 0);
	assert_int_equal(token_of(&twice, 1, token), -1);
	assert_int_equal(token_of((struct http_field[]){ bearer, cookie }, 2, token), 1);
	assert_int_equal(token_of((struct http_field[]){ bearer, other }, 2, token), -1);
	assert_int_equal(token_of((struct http_field[]){ cookie, other }, 2, token), -1);
	assert_true(headers_token_form("0123456789012345678901234567890123456789-_A", 43));
	assert_false(headers_token_form("0123456789012345678901234567890123456789-_A", 42));
	assert_false(headers_token_form("012345678901234567890123456789012345678=-_A", 43));
}

static void test_label_field(void **state)
{
	(void)state;
	struct http_field fields[] = { { "ppce-label", "level=S" }, { "PPCE-LABEL", "level=S" } };
	struct http_exchange x = { .fields = fields, .nfields = 1 };
	const char *label;
	assert_int_equal(headers_label(&x, &label), 0);
	assert_string_equal(label, "level=S");
	x.nfields = 2;
	assert_int_equal(headers_label(&x, &label), -1);
	x.nfields = 0;
	assert_int_equal(headers_label(&x, &label), 0);
	assert_null(label);
}

/* What we encode, a guest's decoder takes, and reads the same. */
static void test_encode(void **state)
{
	(void)state;
	struct headers_field fields[] = { { "X-One", "1", 5, 1 }, { "ACCEPT", "", 6, 0 } };
	struct encode_request r = { .method = "POST",
				    .path = "/a/b",
				    .path_len = 4,
				    .query = "q=1",
				    .app = "hello",
				    .user = "ann",
				    .class_name = "",
				    .label = "level=S",
				    .session = "s",
				    .purpose = "",
				    .request_id = "id",
				    .fields = fields,
				    .nfields = 2,
				    .body = "body\0x",
				    .body_len = 6 };
	struct buf out = { .cap = 4096 }, tight = { .cap = 64 };
	struct frame_header h;
	assert_int_equal(encode_frame(&r, NULL, 7, 1000, &out), 0);
	memcpy(&h, out.data, sizeof h);
	assert_true(frame_valid(&h, true));
	assert_int_equal(h.id, 7);
	assert_int_equal(h.length, encode_size(&r));
	assert_int_equal(out.len, sizeof h + h.length);
	const char *msg = out.data + sizeof h;
	const struct wire_request *w = wire_request_decode(msg, h.length);
	assert_non_null(w);
	assert_string_equal(wire_text(msg, w->method), "POST");
	assert_string_equal(wire_text(msg, w->path), "/a/b");
	assert_string_equal(wire_text(msg, w->query), "q=1");
	assert_string_equal(wire_text(msg, w->app), "hello");
	assert_string_equal(wire_text(msg, w->user), "ann");
	assert_string_equal(wire_text(msg, w->class_name), "");
	assert_string_equal(wire_text(msg, w->label), "level=S");
	assert_string_equal(wire_text(msg, w->session), "s");
	assert_string_equal(wire_text(msg, w->request_id), "id");
	assert_int_equal(w->body.len, 6);
	assert_memory_equal(wire_text(msg, w->body), "body\0x", 7);
	assert_string_equal(wire_text(msg, wire_fields(msg, sizeof *w)[0].name), "x-one");
	assert_string_equal(wire_text(msg, wire_fields(msg, sizeof *w)[1].name), "accept");
	assert_int_equal(encode_frame(&r, NULL, 7, 1000, &tight), -1);
	assert_int_equal(encode_frame(&r, NULL, 8, 1000, &out), 0); /* the buffer is used again */
	buf_free(&out);
	buf_free(&tight);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_fields_are_stripped),
		cmocka_unit_test(test_other_fields_stay),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_label_field),
		cmocka_unit_test(test_encode),
	};
	return cmocka_run_group_tests_name("proxy/headers", tests, NULL, NULL);
}
