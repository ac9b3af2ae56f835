/* SPDX-License-Identifier: MIT
 *
 * Runs a message through the parser as a connection would, in pieces, with every piece ending at a page that must not be
 * touched: one byte read or written too far and the test dies. */
#ifndef TESTS_HTTP_DRIVE_H
#define TESTS_HTTP_DRIVE_H

#include "lib/http_parse.h"

struct driven {
	int rc; /* 1 complete, 0 more bytes are needed, -1 refused */
	struct err err;
	char line[512];	   /* "METHOD target" or the status */
	char fields[2048]; /* "name=value;" for each */
	unsigned nfields;
	struct buf body;
	size_t used; /* bytes of the input that belong to the message */
	bool keep_alive;
};

extern const struct http_bounds drive_bounds; /* 256, 512, 8 */
#define DRIVE_BODY_MAX 64

/* Feeds `step` bytes at a time (0: all at once). `answer`: parses an answer, to a HEAD if 2. Release with drive_free. */
struct driven drive(const char *input, size_t len, size_t step, int answer);
void drive_free(struct driven *d);

#endif
