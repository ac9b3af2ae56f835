/* SPDX-License-Identifier: MIT
 *
 * Log, randomness and time of ppce.h, in a guest and under plain Linux. */
#include "guest/os.h"

#include <ppce/ppce.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

void ppce_log(enum ppce_severity severity, const char *fmt, ...)
{
	char text[PPCE_IO_TEXT];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	if (los_io)
		los_log(severity, text, len);
	else
		fprintf(stderr, "<%u> %s\n", (unsigned)severity, text);
}

void ppce_random(void *out, size_t len)
{
	if (los_io) {
		los_random(out, len);
		return;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n = getrandom((char *)out + done, len - done, 0);
		if (n <= 0) /* cannot happen on a kernel that PPCE supports; going on with known bytes would be worse */
			abort();
		done += (size_t)n;
	}
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t ppce_monotonic_ns(void)
{
	return los_io ? los_monotonic_ns() : clock_ns(CLOCK_MONOTONIC);
}

uint64_t ppce_realtime_ns(void)
{
	return los_io ? los_realtime_ns() : clock_ns(CLOCK_REALTIME);
}
