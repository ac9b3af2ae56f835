/* SPDX-License-Identifier: MIT */
#include "proxy/timing.h"

#include <string.h>

const char *timing_phase_name(enum timing_phase phase)
{
	static const char *const names[PHASES] = { "recv",    "auth",	  "label",  "route", "acquire", "forward",
						   "check",   "deliver",  "refuse", "load",  "run",	"hop",
						   "connect", "exchange", "reset",  "total" };
	return names[phase];
}

const char *timing_start_name(enum timing_start start)
{
	static const char *const names[] = { "cold", "warm", "pristine" };
	return names[start];
}

struct text {
	char *at, *end;
};

static void put(struct text *t, const char *s)
{
	while (*s && t->at < t->end)
		*t->at++ = *s++;
}

/* "name;dur=1.234". By hand: printf of doubles, fifteen times a request, would cost more than the check it reports. */
static void put_phase(struct text *t, const char *name, uint64_t us)
{
	char digits[24];
	size_t n = sizeof digits - 1;
	digits[n] = '\0';
	for (unsigned i = 0; i < 4 || us > 0; i++, us /= 10) {
		if (i == 3)
			digits[--n] = '.';
		digits[--n] = (char)('0' + us % 10);
	}
	put(t, name);
	put(t, ";dur=");
	put(t, digits + n);
	put(t, ", ");
}

size_t timing_header(const struct timing *t, const uint32_t start_us[3], char *out, size_t size)
{
	static const enum timing_phase shown[] = { PHASE_RECV,	  PHASE_AUTH, PHASE_LABEL, PHASE_ROUTE, PHASE_ACQUIRE,
						   PHASE_FORWARD, PHASE_LOAD, PHASE_RUN,   PHASE_HOP,	PHASE_CHECK };
	static const enum timing_phase http[] = { PHASE_CONNECT, PHASE_EXCHANGE };
	static const char *const start_names[] = { "spawn", "create", "bind" };
	struct text text = { out, out + size - 1 };
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		put_phase(&text, timing_phase_name(shown[i]), (t->ns[shown[i]] + 500) / 1000);
	for (size_t i = 0; t->ns[PHASE_EXCHANGE] && i < sizeof http / sizeof *http; i++)
		put_phase(&text, timing_phase_name(http[i]), (t->ns[http[i]] + 500) / 1000);
	for (size_t i = 0; start_us && i < 3; i++)
		put_phase(&text, start_names[i], start_us[i]);
	text.at -= 2; /* the last ", " */
	*text.at = '\0';
	return (size_t)(text.at - out);
}

void timing_split_http(struct timing *t)
{
	if (t->ns[PHASE_FORWARD] > t->ns[PHASE_CONNECT])
		t->ns[PHASE_EXCHANGE] = t->ns[PHASE_FORWARD] - t->ns[PHASE_CONNECT];
}

void timing_split_forward(struct timing *t, uint64_t making_us)
{
	uint64_t inside = t->ns[PHASE_LOAD] + t->ns[PHASE_RUN] + making_us * 1000;
	if (t->ns[PHASE_RUN] && t->ns[PHASE_FORWARD] > inside)
		t->ns[PHASE_HOP] = t->ns[PHASE_FORWARD] - inside;
}

void timing_add(struct timing_totals *totals, const struct timing *t)
{
	for (unsigned i = 0; i < PHASES; i++)
		if (t->ns[i])
			histogram_add(&totals->phase[i], t->ns[i]);
}

void timing_metrics(const struct timing_totals *totals, struct buf *out)
{
	buf_puts(out, "# HELP ppce_proxy_phase_seconds Where the time of requests goes, by step of the path.\n"
		      "# TYPE ppce_proxy_phase_seconds histogram\n");
	for (enum timing_phase i = 0; i < PHASES; i++)
		histogram_write(&totals->phase[i], "ppce_proxy_phase_seconds", "phase", timing_phase_name(i), out);
}
