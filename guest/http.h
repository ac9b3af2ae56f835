/* SPDX-License-Identifier: MIT
 *
 * Reading the head of an HTTP request. Internal to the library's upper half. */
#ifndef GUEST_HTTP_H
#define GUEST_HTTP_H

#include "guest/app.h"

struct http_head {
	struct app_ask *ask; /* method, path, query, header fields, body_len and identity are filled in */
	size_t body_max;     /* bodies above are refused */
	bool close;	     /* no further request on this connection */
	bool head_only, expects, has_length;
};

/* `text`: a whole head with its empty line, NUL-terminated, no NUL inside; taken apart in place, and *ask points into it.
 * 0, or the status to refuse it with. Fields about the connection, and those of the platform, are not in ask->headers. */
int http_parse(char *text, struct http_head *head);

#endif
