/* SPDX-License-Identifier: MIT
 *
 * The whole interface of a PPCE app. An app is a handler, an optional init and a manifest:
 *
 *	#include <ppce/ppce.h>
 *	static int handle(const struct ppce_request *req, struct ppce_response *res)
 *	{
 *		return ppce_reply(res, 200, "text/plain", "hello %s, this is %s\n", req->user, req->label);
 *	}
 *	PPCE_APP(.name = "hello", .handle = handle, .memory_mib = 4)
 *
 * Build it with `ppce-cc app.c -o app`. The same file runs in a VM and as a plain Linux process:
 * `./app --request GET /path` or `./app --serve 127.0.0.1:8000`. libc works as usual; what needs a file system, a
 * network, threads or signals fails with ENOSYS or ENOENT in a VM.
 */
#ifndef PPCE_PPCE_H
#define PPCE_PPCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/manifest.h>

struct ppce_header {
	const char *name; /* lower-case */
	const char *value;
};

/* A request. All strings are NUL-terminated, never NULL, and valid until the handler returns. Identity (user, class,
 * label, session, purpose) comes from the platform and cannot be forged by the client; method, path, query, headers and
 * body come from the client: untrusted. */
struct ppce_request {
	const char *method; /* "GET" */
	const char *path;   /* "/" or "/a/b": relative to the app, percent-encoding as sent */
	const char *query;  /* after '?', "" if none */
	const struct ppce_header *headers;
	size_t nheaders;
	const void *body; /* followed by a NUL byte */
	size_t body_len;
	const char *app;
	const char *user;	/* who asks; "" during the warm-up request */
	const char *class_name; /* the user's class, "" if none */
	const char *label;	/* label the instance runs at, canonical text */
	const char *session;	/* UUID of the session */
	const char *purpose;	/* stated at login, "" if none */
	const char *id;		/* request id */
};

struct ppce_response; /* opaque */

const char *ppce_header_get(const struct ppce_request *req, const char *name); /* case-insensitive; NULL if absent */
/* Value of a query parameter, percent-decoded into out[size]; -1 if absent or too long, else its length. */
int ppce_query_get(const struct ppce_request *req, const char *name, char *out, size_t size);

/* All of these return 0, or -1 when the response grows past response_kib or the arguments are not valid; the request
 * then fails with 500 unless the handler starts over with ppce_reply(). Handlers pass the value on: `return ppce_reply(...)`.
 * A handler that returns non-zero, or never sets a status, makes a 500 without a body. */
int ppce_reply(struct ppce_response *res, int status, const char *content_type, const char *fmt, ...)
	__attribute__((format(printf, 4, 5))); /* sets status and type, replaces the body by the formatted text */
int ppce_status(struct ppce_response *res, int status);				     /* 200..599 */
int ppce_header_add(struct ppce_response *res, const char *name, const char *value); /* name: RFC 9110 token */
int ppce_body(struct ppce_response *res, const void *data, size_t len);		     /* appends to the body */
int ppce_printf(struct ppce_response *res, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* appends */

enum ppce_severity { PPCE_ERROR = 3, PPCE_WARNING = 4, PPCE_INFO = 6, PPCE_DEBUG = 7 };
/* One line to the operator's log (`ppce logs`); also where printf and stderr go in a VM. At most 2047 bytes. */
void ppce_log(enum ppce_severity severity, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Fresh random bytes from the host, for keys and ids; never repeats across snapshots. getrandom(2) does the same. */
void ppce_random(void *out, size_t len);
uint64_t ppce_monotonic_ns(void);
uint64_t ppce_realtime_ns(void);

/* Entry points of the library OS, named by the manifest; not for apps. */
void ppce_syscall_entry(void);
void ppce_signal_entry(void);

/* Declares the app: designated initialisers of struct ppce_manifest. Exactly once in a program. */
#define PPCE_APP(...)                                                                \
	__attribute__((section(".note.ppce"), used, aligned(8)))                     \
	const struct ppce_note ppce_note = { sizeof PPCE_NOTE_OWNER,                 \
					     sizeof(struct ppce_manifest),           \
					     PPCE_NOTE_TYPE,                         \
					     PPCE_NOTE_OWNER,                        \
					     { .abi = PPCE_ABI_VERSION,              \
					       .size = sizeof(struct ppce_manifest), \
					       .syscall_entry = ppce_syscall_entry,  \
					       .signal_entry = ppce_signal_entry,    \
					       __VA_ARGS__ } };

#endif
