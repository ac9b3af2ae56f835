/* SPDX-License-Identifier: MIT
 *
 * What a tender of others prints, taken apart into lines. A line ends at a newline, at the bound, or where the output pauses
 * for good. More than a bound a second is not read: the program then waits in its write until the next second, and only
 * it does.
 */
#ifndef VMMD_OUTPUT_H
#define VMMD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define OUTPUT_LINE_MAX 1000
#define OUTPUT_BYTES_A_SECOND 65536u
#define LINE_SEVERITY 6 /* informational: what a line means is not known */

struct tender_output {
	char block[2048]; /* read, not yet taken apart: [at, len) */
	size_t at, len;
	char line[OUTPUT_LINE_MAX + 1]; /* the beginning of a line */
	size_t nline;
	size_t bytes; /* read in this second */
	bool paused, ended;
	char last[160]; /* the last line that was not empty, printable */
};

/* Begins the next second. */
void output_resume(struct tender_output *o);
/* The next line, without its end, as text without NUL bytes. 1: taken; 0: none is there now, or .paused; -1: the end. */
int output_line(struct tender_output *o, int fd, char *out, size_t size);
void output_keep(struct tender_output *o, const char *printable);

#endif
