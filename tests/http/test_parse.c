/* SPDX-License-Identifier: MIT
 *
 * The parser against good, bad and cut messages, at every way to split them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/http/drive.h"

#define HOST "Host: a\r\n"
#define BYTES(text) text, sizeof(text) - 1

struct good {
	const char *name, *in;
	size_t len;
	const char *line, *fields, *body;
	size_t left; /* bytes of the next message behind it */
	bool keep_alive;
};

static const struct good good_requests[] = {
	{ "plain", BYTES("GET / HTTP/1.1\r\n" HOST "\r\n"), "GET /", "Host=a;", "", 0, true },
	{ "leading empty line", BYTES("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), "GET /", "Host=a;", "", 0, true },
	{ "dots and query stay", BYTES("GET /a/../b%2e?x=1&y HTTP/1.1\r\n" HOST "\r\n"), "GET /a/../b%2e?x=1&y",
	  "Host=a;", "", 0, true },
	{ "white space around a value", BYTES("GET / HTTP/1.1\r\nHost:a\r\nX: \t b c \t\r\nY:\r\n\r\n"), "GET /",
	  "Host=a;X=b c;Y=;", "", 0, true },
	{ "bytes above 127 in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\r\n\r\n"), "GET /",
	  "Host=a;X=\xc3\xa9;", "", 0, true },
	{ "HTTP/1.0 without Host", BYTES("GET / HTTP/1.0\r\n\r\n"), "GET /", "", "", 0, false },
	{ "HTTP/1.0 keep-alive", BYTES("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "GET /",
	  "Connection=keep-alive;", "", 0, true },
	{ "close", BYTES("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), "GET /", "Host=a;Connection=close;",
	  "", 0, false },
	{ "body by length", BYTES("POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"), "POST /p",
	  "Host=a;Content-Length=5;", "hello", 0, true },
	{ "empty body", BYTES("POST /p HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), "POST /p",
	  "Host=a;Content-Length=0;", "", 0, true },
	{ "pipelined", BYTES("POST /p HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n"), "POST /p",
	  "Host=a;Content-Length=2;", "hi", 16, true },
	{ "chunked",
	  BYTES("POST /p HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"),
	  "POST /p", "Host=a;Transfer-Encoding=chunked;", "abc0123456789", 0, true },
	{ "chunked, pipelined",
	  BYTES("POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n000\r\n\r\nGET"), "POST /p",
	  "Host=a;Transfer-Encoding=Chunked;", "x", 3, true },
	{ "Upgrade without Connection", BYTES("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n\r\n"), "GET /",
	  "Host=a;Upgrade=h2c;", "", 0, true },
};

static void check_good(const struct good *g, size_t step, int answer)
{
	struct driven d = drive(g->in, g->len, step, answer);
	if (d.rc != 1)
		fail_msg("'%s' in steps of %zu: rc %d, %s", g->name, step, d.rc, d.err.text);
	assert_string_equal(d.line, g->line);
	assert_string_equal(d.fields, g->fields);
	assert_string_equal(buf_text(&d.body), g->body);
	assert_int_equal(d.used, g->len - g->left);
	assert_int_equal(d.keep_alive, g->keep_alive);
	drive_free(&d);
}

static void test_good_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_requests) / sizeof(good_requests[0]); i++)
		for (size_t step = 0; step <= good_requests[i].len; step++)
			check_good(&good_requests[i], step, 0);
}

static void test_cut_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_requests) / sizeof(good_requests[0]); i++) {
		const struct good *g = &good_requests[i];
		for (size_t len = 0; len < g->len - g->left; len++) {
			struct driven d = drive(g->in, len, 1, 0);
			if (d.rc != 0)
				fail_msg("'%s' cut to %zu bytes: rc %d, %s", g->name, len, d.rc, d.err.text);
			drive_free(&d);
		}
	}
}

struct bad {
	const char *name, *in;
	size_t len;
	enum err_kind kind;
};

#define R "GET / HTTP/1.1\r\n"
#define P "POST / HTTP/1.1\r\n" HOST
#define C P "Transfer-Encoding: chunked\r\n\r\n"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct bad bad_requests[] = {
	/* framing that two readers could take in two ways */
	{ "length and chunked", BYTES(P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	  ERR_INVALID },
	{ "chunked and length", BYTES(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
	  ERR_INVALID },
	{ "chunked and length 0", BYTES(P "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
	  ERR_INVALID },
	{ "two lengths", BYTES(P "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), ERR_INVALID },
	{ "the same length twice", BYTES(P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), ERR_INVALID },
	{ "a list of lengths", BYTES(P "Content-Length: 3, 3\r\n\r\nabc"), ERR_INVALID },
	{ "signed length", BYTES(P "Content-Length: +3\r\n\r\nabc"), ERR_INVALID },
	{ "negative length", BYTES(P "Content-Length: -3\r\n\r\nabc"), ERR_INVALID },
	{ "hex length", BYTES(P "Content-Length: 0x3\r\n\r\nabc"), ERR_INVALID },
	{ "empty length", BYTES(P "Content-Length: \r\n\r\n"), ERR_INVALID },
	{ "length with a space inside", BYTES(P "Content-Length: 1 1\r\n\r\nabc"), ERR_INVALID },
	{ "length beyond 64 bits", BYTES(P "Content-Length: 18446744073709551617\r\n\r\nabc"), ERR_INVALID },
	{ "two codings", BYTES(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	  ERR_INVALID },
	{ "two codings in a list", BYTES(P "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "gzip, chunked", BYTES(P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunked, identity", BYTES(P "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "identity", BYTES(P "Transfer-Encoding: identity\r\n\r\n"), ERR_INVALID },
	{ "xchunked", BYTES(P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "quoted chunked", BYTES(P "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunked with vertical tab", BYTES(P "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "empty coding", BYTES(P "Transfer-Encoding:\r\n\r\n"), ERR_INVALID },
	{ "chunked in HTTP/1.0", BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	/* lines */
	{ "bare LF everywhere", BYTES("GET / HTTP/1.1\nHost: a\n\n"), ERR_INVALID },
	{ "bare LF after the request line", BYTES("GET / HTTP/1.1\n" HOST "\r\n"), ERR_INVALID },
	{ "bare LF after a field", BYTES(R "Host: a\n\r\n"), ERR_INVALID },
	{ "bare LF at the end", BYTES(R HOST "\n"), ERR_INVALID },
	{ "bare CR in a value", BYTES(R HOST "X: a\rb\r\n\r\n"), ERR_INVALID },
	{ "bare CR in the request line", BYTES("GET /\r HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "CR CR LF", BYTES(R HOST "X: a\r\r\n\r\n"), ERR_INVALID },
	{ "folded field", BYTES(R HOST "X: a\r\n b\r\n\r\n"), ERR_INVALID },
	{ "folded with tab", BYTES(R HOST "X: a\r\n\tb\r\n\r\n"), ERR_INVALID },
	{ "folded coding", BYTES(P "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), ERR_INVALID },
	{ "space before the first field", BYTES(R " Host: a\r\n\r\n"), ERR_INVALID },
	{ "space before the colon", BYTES(R "Host : a\r\n\r\n"), ERR_INVALID },
	{ "space in a name", BYTES(R HOST "X Y: a\r\n\r\n"), ERR_INVALID },
	{ "no colon", BYTES(R HOST "X\r\n\r\n"), ERR_INVALID },
	{ "empty name", BYTES(R HOST ": a\r\n\r\n"), ERR_INVALID },
	{ "NUL in a name", BYTES(R HOST "X\0Y: a\r\n\r\n"), ERR_INVALID },
	{ "NUL in a value", BYTES(R HOST "X: a\0b\r\n\r\n"), ERR_INVALID },
	{ "control character in a value", BYTES(R HOST "X: a\x01\r\n\r\n"), ERR_INVALID },
	{ "escape in a value", BYTES(R HOST "X: \x1b[2J\r\n\r\n"), ERR_INVALID },
	{ "DEL in a value", BYTES(R HOST "X: a\x7f\r\n\r\n"), ERR_INVALID },
	{ "two empty lines first", BYTES("\r\n\r\n" R HOST "\r\n"), ERR_INVALID },
	/* the request line */
	{ "absolute form", BYTES("GET http://a/ HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "authority form", BYTES("CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "CONNECT with a path", BYTES("CONNECT / HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "asterisk", BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "no target", BYTES("GET HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "two spaces", BYTES("GET  / HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "two spaces before the version", BYTES("GET /  HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "tab", BYTES("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "space at the end", BYTES("GET / HTTP/1.1 \r\n" HOST "\r\n"), ERR_INVALID },
	{ "space in the target", BYTES("GET /a b HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "fragment", BYTES("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "NUL in the target", BYTES("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "bytes above 127 in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "HTTP/0.9", BYTES("GET /\r\n\r\n"), ERR_INVALID },
	{ "HTTP/1.2", BYTES("GET / HTTP/1.2\r\n" HOST "\r\n"), ERR_INVALID },
	{ "HTTP/2.0", BYTES("GET / HTTP/2.0\r\n" HOST "\r\n"), ERR_INVALID },
	{ "http/1.1", BYTES("GET / http/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "HTTP/2 preface", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ERR_INVALID },
	{ "lower-case method", BYTES("get / HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "unknown method", BYTES("BREW / HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	{ "method with a colon", BYTES("GE:T / HTTP/1.1\r\n" HOST "\r\n"), ERR_INVALID },
	/* Host, Upgrade, Expect */
	{ "no Host", BYTES(R "X: a\r\n\r\n"), ERR_INVALID },
	{ "two Hosts", BYTES(R HOST HOST "\r\n"), ERR_INVALID },
	{ "two Hosts in HTTP/1.0", BYTES("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), ERR_INVALID },
	{ "Host with a path", BYTES(R "Host: a/b\r\n\r\n"), ERR_INVALID },
	{ "Host with a user", BYTES(R "Host: u@a\r\n\r\n"), ERR_INVALID },
	{ "list of Hosts", BYTES(R "Host: a, b\r\n\r\n"), ERR_INVALID },
	{ "upgrade", BYTES(R HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), ERR_INVALID },
	{ "upgrade in a list", BYTES(R HOST "Upgrade: h2c\r\nConnection: keep-alive, upgrade\r\n\r\n"), ERR_INVALID },
	{ "unknown expectation", BYTES(R HOST "Expect: tea\r\n\r\n"), ERR_INVALID },
	/* bodies */
	{ "body too large by length", BYTES(P "Content-Length: 65\r\n\r\n" HUNDRED), ERR_TOO_LARGE },
	{ "body too large by chunk size", BYTES(C "41\r\n" HUNDRED), ERR_TOO_LARGE },
	{ "body too large by sum", BYTES(C "40\r\n" TEN TEN TEN TEN TEN TEN "abcd\r\n1\r\nx\r\n0\r\n\r\n"),
	  ERR_TOO_LARGE },
	{ "chunk size 0x", BYTES(C "0x3\r\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunk size negative", BYTES(C "-3\r\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunk size with a space", BYTES(C "3 \r\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunk size beyond 64 bits", BYTES(C "FFFFFFFFFFFFFFFFF\r\nabc"), ERR_INVALID },
	{ "chunk size wraps", BYTES(C "10000000000000003\r\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "empty chunk size", BYTES(C "\r\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "bare LF after a chunk size", BYTES(C "3\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "bare LF after a chunk", BYTES(C "3\r\nabc\n0\r\n\r\n"), ERR_INVALID },
	{ "bare LF at the very end", BYTES(C "3\r\nabc\r\n0\r\n\n"), ERR_INVALID },
	{ "bare LF in a chunk extension", BYTES(C "3;a\nabc\r\n0\r\n\r\n"), ERR_INVALID },
	{ "chunk longer than its size", BYTES(C "3\r\nabcd\r\n0\r\n\r\n"), ERR_INVALID },
	{ "trailer", BYTES(C "0\r\nX: y\r\n\r\n"), ERR_INVALID },
	{ "trailer with a length", BYTES(C "0\r\nContent-Length: 5\r\n\r\n"), ERR_INVALID },
	/* sizes */
	{ "long target", BYTES("GET /" HUNDRED HUNDRED HUNDRED " HTTP/1.1\r\n" HOST "\r\n"), ERR_URI_TOO_LONG },
	{ "endless first line", BYTES("GET /" HUNDRED HUNDRED HUNDRED), ERR_URI_TOO_LONG },
	{ "long field", BYTES(R HOST "X: " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\r\n\r\n"),
	  ERR_HEADERS_LARGE },
	{ "endless field", BYTES(R HOST "X: " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED), ERR_HEADERS_LARGE },
	{ "many fields", BYTES(R HOST "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\n\r\n"), ERR_HEADERS_LARGE },
};

static void test_bad_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_requests) / sizeof(bad_requests[0]); i++) {
		const struct bad *b = &bad_requests[i];
		for (size_t step = 0; step <= b->len; step++) {
			struct driven d = drive(b->in, b->len, step, 0);
			if (d.rc != -1 || d.err.kind != b->kind)
				fail_msg("'%s' in steps of %zu: rc %d, kind %d, %s", b->name, step, d.rc, d.err.kind,
					 d.rc < 0 ? d.err.text : d.line);
			drive_free(&d);
		}
	}
}

static void test_thin_chunks(void **state)
{
	char in[40000];
	size_t n = (size_t)snprintf(in, sizeof(in), "%s1;", C);
	(void)state;
	memset(in + n, 'a', sizeof(in) - n);
	struct driven d = drive(in, sizeof(in), 1000, 0);
	assert_int_equal(d.rc, -1);
	assert_int_equal(d.err.kind, ERR_INVALID);
	drive_free(&d);
}

static const struct good good_answers[] = {
	{ "length", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "200", "Content-Length=2;", "ok", 0,
	  true },
	{ "no reason", BYTES("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"), "404", "Content-Length=0;", "", 0, true },
	{ "chunked with trailer",
	  BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"), "200",
	  "Transfer-Encoding=chunked;", "ok", 0, true },
	{ "204", BYTES("HTTP/1.1 204 No Content\r\n\r\n"), "204", "", "", 0, true },
	{ "304 with a length", BYTES("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), "304",
	  "Content-Length=9;", "", 0, true },
	{ "100", BYTES("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1"), "100", "", "", 8, true },
};

static const struct bad bad_answers[] = {
	{ "length and chunked", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  ERR_INVALID },
	{ "two lengths", BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"), ERR_INVALID },
	{ "bare LF", BYTES("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), ERR_INVALID },
	{ "status 99", BYTES("HTTP/1.1 099 OK\r\n\r\n"), ERR_INVALID },
	{ "status 1000", BYTES("HTTP/1.1 1000 OK\r\n\r\n"), ERR_INVALID },
	{ "status 999", BYTES("HTTP/1.1 999 OK\r\n\r\n"), ERR_INVALID },
	{ "status missing", BYTES("HTTP/1.1 OK\r\n\r\n"), ERR_INVALID },
	{ "not HTTP", BYTES("SSH-2.0-OpenSSH\r\n\r\n"), ERR_INVALID },
	{ "HTTP/2", BYTES("HTTP/2 200\r\n\r\n"), ERR_INVALID },
	{ "protocol change", BYTES("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
	  ERR_INVALID },
	{ "too large", BYTES("HTTP/1.1 200 OK\r\n\r\n" HUNDRED), ERR_TOO_LARGE },
	{ "escape in the reason", BYTES("HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n"), ERR_INVALID },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_answers) / sizeof(good_answers[0]); i++)
		for (size_t step = 0; step <= good_answers[i].len; step++)
			check_good(&good_answers[i], step, 1);
	for (size_t i = 0; i < sizeof(bad_answers) / sizeof(bad_answers[0]); i++) {
		const struct bad *b = &bad_answers[i];
		for (size_t step = 0; step <= b->len; step++) {
			struct driven d = drive(b->in, b->len, step, 1);
			if (d.rc != -1 || d.err.kind != b->kind)
				fail_msg("'%s' in steps of %zu: rc %d, kind %d", b->name, step, d.rc, d.err.kind);
			drive_free(&d);
		}
	}
}

static void test_answer_to_head(void **state)
{
	static const char in[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	(void)state;
	struct driven d = drive(in, sizeof(in) - 1, 1, 2);
	assert_int_equal(d.rc, 1);
	assert_int_equal(d.used, sizeof(in) - 1);
	drive_free(&d);
}

static void test_answer_until_end(void **state)
{
	static const char in[] = "HTTP/1.0 200 OK\r\n\r\nbytes";
	(void)state;
	struct driven d = drive(in, sizeof(in) - 1, 1, 1);
	assert_int_equal(d.rc, 0); /* only the end of the connection completes it */
	assert_string_equal(buf_text(&d.body), "bytes");
	assert_false(d.keep_alive);
	drive_free(&d);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(http_is_token("X-y_1", 5));
	assert_false(http_is_token("", 0));
	assert_false(http_is_token("a b", 3));
	assert_true(http_field_hop_by_hop("connection"));
	assert_true(http_field_hop_by_hop("CONTENT-LENGTH"));
	assert_false(http_field_hop_by_hop("Cookie"));
	assert_true(http_list_has("close, X-a", "x-A"));
	assert_false(http_list_has("X-ab", "X-a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests),	 cmocka_unit_test(test_cut_requests),
		cmocka_unit_test(test_bad_requests),	 cmocka_unit_test(test_thin_chunks),
		cmocka_unit_test(test_answers),		 cmocka_unit_test(test_answer_to_head),
		cmocka_unit_test(test_answer_until_end), cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
