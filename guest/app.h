/* SPDX-License-Identifier: MIT
 *
 * The library's upper half, internal header: the request loop, requests and responses. Ordinary C on libc, the same
 * code in a guest and under plain Linux. Bytes of a request are untrusted; wire_request_decode() checks them first. */
#ifndef GUEST_APP_H
#define GUEST_APP_H

#include <stddef.h>
#include <stdint.h>

#include <ppce/ppce.h>
#include <ppce/wire.h>

#define APP_HEADER_BYTES 8192 /* names and values of all header fields of one response, with their NULs */

/* The limits of the manifest with its defaults filled in, in bytes. */
size_t app_request_max(void);
size_t app_response_max(void);

/* request.c: views of a decoded message; `headers` has room for PPCE_HEADERS_MAX. -1 if a text holds a NUL byte. */
int app_request_view(const struct wire_request *wire, struct ppce_header *headers, struct ppce_request *req);

/* response.c: builds straight into `buffer` (4-byte aligned, at least 4 KiB). */
struct ppce_response {
	uint8_t *buffer;
	size_t size;
	size_t body_len;
	int status; /* 0: not set yet */
	bool failed;
	bool release; /* the body is a struct release and its value (ppce/store.h), and nothing else may leave */
	uint32_t nfields;
	struct wire_field fields[PPCE_HEADERS_MAX]; /* references into text[] until app_response_finish() */
	size_t text_len;
	char text[APP_HEADER_BYTES];
};

void app_response_begin(struct ppce_response *res, void *buffer, size_t size);
/* Makes the response that release of `len` bytes; -1, with the response as it was, if it does not fit. */
int app_response_release(struct ppce_response *res, const void *bytes, size_t len);
/* Writes head, field table and strings around the body that already stands in the buffer; returns the whole length.
 * A failed or empty response becomes a 500 without a body; `handler_result` non-zero means failed. */
size_t app_response_finish(struct ppce_response *res, int handler_result);

/* data.c: opens rows as the store encodes them; they point into `bytes`. False, and no rows, on anything malformed. */
bool app_rows_open(struct ppce_rows *rows, const void *bytes, size_t len);

/* loop.c: one request of `len` bytes at `request`; the response goes to `response`; returns its length. */
size_t app_serve(const void *request, size_t len, void *response, size_t response_max);
_Noreturn void app_guest_loop(void);

/* plain.c: the program as a plain Linux process; returns the exit status. serve.c: HTTP, --serve and of an instance with
 * a network. */
int app_plain(int argc, char **argv);
int app_http_server(const char *address);
_Noreturn void app_network_server(uint16_t port);

/* A request in parts, to be laid out as the proxy would. A text that is NULL is empty. */
struct app_ask {
	const char *method, *path, *query;
	const char *app, *user, *class_name, *label, *session, *purpose, *id;
	struct ppce_header headers[PPCE_HEADERS_MAX];
	size_t nheaders;
	const char *body; /* NULL: body_len bytes of room are made; they and a NUL end the encoded request */
	size_t body_len;
};
struct app_ask app_ask_debug(void); /* who asks when nobody says it, under plain Linux */
/* Encodes into `out`; 0 if it does not fit or a field is not valid, else the length. Names become lower-case. */
size_t app_ask_encode(const struct app_ask *ask, void *out, size_t size);

#endif
