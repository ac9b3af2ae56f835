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
 * `./app --request GET /path` or `./app --serve 127.0.0.1:8000`. libc works as usual; what needs a file system, threads
 * or signals fails with ENOSYS or ENOENT in a VM. Sockets: TCP over IPv4, and only where the app is run with
 * `--transport tap`, to the sinks it was granted (by their names, as /etc/hosts lists them); else ENETDOWN.
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

/* --- labelled data --------------------------------------------------------------------------------------------------
 *
 * An app runs named queries that the operator declared (queries.yaml) and that its manifest lists in .queries. Parameters
 * are bound, never spliced into SQL. What a query returns raises the label of the instance (rule R2), and with it who may
 * see the answer: the platform sees to that, an app need not and cannot.
 */
enum ppce_type { PPCE_NULL, PPCE_INTEGER, PPCE_REAL, PPCE_TEXT, PPCE_BLOB };

struct ppce_value {
	enum ppce_type type;
	int64_t integer;
	double real;
	const void *bytes; /* text and blobs */
	size_t len;	   /* without the NUL that follows text */
};

struct ppce_value ppce_int(int64_t value);
struct ppce_value ppce_real(double value);
struct ppce_value ppce_text(const char *value); /* NULL makes a PPCE_NULL */
struct ppce_value ppce_blob(const void *bytes, size_t len);

/* Why a call failed: negative results. */
enum ppce_data_error {
	PPCE_DENIED = -1,      /* a rule forbids it; which one is in the audit log only */
	PPCE_UNKNOWN = -2,     /* no query or certificate of that name that this app may use */
	PPCE_INVALID = -3,     /* number or type of parameters, or not JSON */
	PPCE_TOO_LARGE = -4,   /* more rows or bytes than the query or data_kib allows */
	PPCE_DEADLINE = -5,    /* the query took too long */
	PPCE_UNAVAILABLE = -6, /* the database or the audit log does not work */
	PPCE_NO_STORE = -7,    /* run as a plain program, or no .queries in the manifest */
	PPCE_CONFLICT = -8,    /* a constraint of the database */
};
const char *ppce_error_text(int error); /* for logs: "denied", "no such query", ... */

/* Rows of a query; valid until the next ppce_query, ppce_write or ppce_declassify of this request. */
struct ppce_rows {
	unsigned columns, rows; /* of the whole result */
	unsigned row;		/* the current one, from 1; 0 before the first ppce_next() */
	const char *names[PPCE_VALUES_MAX];
	struct ppce_value value[PPCE_VALUES_MAX]; /* of the current row */
	const void *at, *end;			  /* not for apps */
};

/* Runs a query with n parameters of struct ppce_value: ppce_query(&rows, "mine", 2, ppce_int(7), ppce_text("x")).
 * 0, or an enum ppce_data_error. Then: while (ppce_next(&rows)) use rows.value[0] ... */
int ppce_query(struct ppce_rows *rows, const char *name, unsigned n, ...);
bool ppce_next(struct ppce_rows *rows);
/* Column of the current row by its name; a PPCE_NULL where there is none. */
const struct ppce_value *ppce_column(const struct ppce_rows *rows, const char *name);
const char *ppce_column_text(const struct ppce_rows *rows, const char *name); /* "" unless it is text */
double ppce_column_real(const struct ppce_rows *rows, const char *name); /* integers converted; 0 unless a number */
int64_t ppce_column_int(const struct ppce_rows *rows, const char *name); /* 0 unless an integer */
/* Runs a writing query (rule R3). Rows changed, or an enum ppce_data_error. */
int64_t ppce_write(const char *name, unsigned n, ...);
/* Releases a value under a certificate (rule R7): `json` becomes the whole answer (200, application/json) if the
 * certificate allows, and nothing else of this response leaves: what stood in it is dropped, ppce_body() and the like
 * fail, and only ppce_reply() takes the release back. 0, or an enum ppce_data_error and the response as it was. */
int ppce_declassify(struct ppce_response *res, const char *certificate, const char *json);

/* Entry points of the library OS, named by the manifest; not for apps. */
void ppce_syscall_entry(void);
void ppce_signal_entry(void);
void ppce_network(void) __attribute__((weak)); /* there only where the library has a TCP/IP stack */

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
					       .network = ppce_network,              \
					       __VA_ARGS__ } };

#endif
