/* SPDX-License-Identifier: MIT
 *
 * Errors as values: a function that can fail returns 0 or -1 (or NULL) and fills the caller's struct err. The kind
 * decides the HTTP status, the exit code of `ppce` and the stable `code` of problem+json; the text is for humans and
 * says what to do. One table (err.c) holds the mapping.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

enum err_kind { /*  HTTP  exit  code */
		ERR_NONE = 0,
		ERR_INTERNAL,	     /*  500   1     internal */
		ERR_INVALID,	     /*  400   2     invalid */
		ERR_UNAUTHENTICATED, /*  401   4     unauthenticated */
		ERR_DENIED,	     /*  403   4     denied */
		ERR_NOT_FOUND,	     /*  404   3     not-found */
		ERR_METHOD,	     /*  405   2     method-not-allowed */
		ERR_TIMEOUT_CLIENT,  /*  408   7     request-timeout */
		ERR_CONFLICT,	     /*  409   6     conflict */
		ERR_TOO_LARGE,	     /*  413   2     too-large */
		ERR_URI_TOO_LONG,    /*  414   2     uri-too-long */
		ERR_TOO_MANY,	     /*  429   6     too-many-requests */
		ERR_HEADERS_LARGE,   /*  431   2     headers-too-large */
		ERR_BAD_GATEWAY,     /*  502   1     instance-failed */
		ERR_UNAVAILABLE,     /*  503   5     unavailable */
		ERR_FULL,	     /*  503   6     full */
		ERR_TIMEOUT,	     /*  504   7     deadline */
		ERR_CONFIG,	     /*  500   78    bad-config */
		ERR_KINDS
};

struct err {
	enum err_kind kind;
	char text[480]; /* one line, no trailing newline */
};

/* Fills `err` (may be NULL) and returns -1, so that a failure reads `return err_set(...)`. Over-long text is cut. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with ": " and strerror(errno) appended; errno is read first. */
int err_errno(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text already there. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int err_http_status(enum err_kind kind);
int err_exit_code(enum err_kind kind);
const char *err_code(enum err_kind kind);
enum err_kind err_from_code(const char *code); /* ERR_INTERNAL if unknown */

#endif
