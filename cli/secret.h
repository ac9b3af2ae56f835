/* SPDX-License-Identifier: MIT */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include <stddef.h>

#include "lib/err.h"

#define SECRET_SIZE 1026 /* a password of at most 1024 bytes, a line end, NUL */

/* A password into out[SECRET_SIZE]: the first line of a file, of standard input ("-"), or with file NULL typed twice at
 * the terminal, unseen. The caller wipes it (sodium_memzero). */
int secret_read(const char *file, char *out, struct err *err);

#endif
