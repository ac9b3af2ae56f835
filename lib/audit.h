/* SPDX-License-Identifier: MIT
 *
 * Where decisions are recorded. Today: one JSON object a line, appended to DIR/log/audit.jsonl by write(2) before the
 * answer it speaks of is released. A signed Merkle log will take over behind this interface.
 */
#ifndef LIB_AUDIT_H
#define LIB_AUDIT_H

#include <stdbool.h>

#include "lib/err.h"

struct audit; /* an open log */

struct audit_record {	   /* empty strings are left out of the line */
	const char *event; /* "request", "login", "logout", "revoke", "register" */
	const char *request_id, *actor, *class_name, *session, *purpose;
	const char *app, *path, *label, *instance, *address;
	bool allowed;
	const char *rule;   /* "R1", "R4", ...: the rule that decided; empty where no flow rule did */
	const char *reason; /* stable code of a refusal */
	int status;	    /* HTTP status that the user saw */
};

struct audit *audit_open(const char *path, const char *daemon, struct err *err); /* created 0600 */
/* Writes the whole line or fails (-1, errno text in err): then the caller must not release anything. */
int audit_write(struct audit *a, const struct audit_record *r, struct err *err);
void audit_close(struct audit *a);

#endif
