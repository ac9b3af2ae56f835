/* SPDX-License-Identifier: MIT */
#include "vmmd/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* 1: there is something in the block, 0: not now, -1: the end. */
static int fill(struct tender_output *o, int fd)
{
	ssize_t n;
	if (o->at < o->len)
		return 1;
	if (o->ended)
		return -1;
	if (o->bytes >= OUTPUT_BYTES_A_SECOND) {
		o->paused = true;
		return 0;
	}
	do
		n = read(fd, o->block, sizeof o->block);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	o->ended = n <= 0;
	if (o->ended)
		return -1;
	o->at = 0;
	o->len = (size_t)n;
	o->bytes += (size_t)n;
	return 1;
}

static void take_line(struct tender_output *o, char *out, size_t size)
{
	o->line[o->nline] = '\0';
	if (o->nline && o->line[o->nline - 1] == '\r')
		o->line[o->nline - 1] = '\0';
	snprintf(out, size, "%s", o->line);
	o->nline = 0;
}

int output_line(struct tender_output *o, int fd, char *out, size_t size)
{
	int rc;
	while ((rc = fill(o, fd)) > 0) {
		char c = o->block[o->at++];
		if (c != '\n')
			o->line[o->nline++] = c ? c : ' ';
		if (c == '\n' || o->nline == OUTPUT_LINE_MAX) {
			take_line(o, out, size);
			return 1;
		}
	}
	if (rc < 0 && o->nline) {
		take_line(o, out, size);
		return 1;
	}
	return rc;
}

void output_resume(struct tender_output *o)
{
	o->paused = false;
	o->bytes = 0;
}

void output_keep(struct tender_output *o, const char *printable)
{
	if (*printable)
		snprintf(o->last, sizeof o->last, "%s", printable);
}
