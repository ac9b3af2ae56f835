/* SPDX-License-Identifier: MIT */
#include "vmmd/events.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/names.h"
#include "vmmd/applog.h"

void event_add(struct events *e, const char *type, const char *name, const char *uuid, const char *fmt, ...)
{
	struct event *to = &e->ring[e->last % EVENTS_KEPT];
	char text[512];
	va_list args;

	to->seq = ++e->last;
	to->time = clock_unix();
	to->type = type;
	snprintf(to->name, sizeof to->name, "%s", name);
	snprintf(to->uuid, sizeof to->uuid, "%s", uuid);
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	text_visible(to->text, sizeof to->text, text); /* no half characters where it was cut */
	bool usual = strcmp(type, "instance-started") == 0 || strcmp(type, "instance-ended") == 0 ||
		     strcmp(type, "sink-withheld") == 0;
	log_line(usual ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "%s %s%s%s%s%s", type, name, *uuid ? " " : "", uuid,
		 to->text[0] ? ": " : "", to->text);
}

static json_t *event_json(const struct event *e)
{
	char when[32];
	struct tm tm;
	time_t t = (time_t)e->time;
	gmtime_r(&t, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s}", "seq", (json_int_t)e->seq, "time", when, "type", e->type,
			 "name", e->name, "uuid", e->uuid, "text", e->text);
}

json_t *events_json(const struct events *e, uint64_t after)
{
	json_t *list = json_array();
	uint64_t first = e->last > EVENTS_KEPT ? e->last - EVENTS_KEPT + 1 : 1;
	for (uint64_t seq = after >= first ? after + 1 : first; seq <= e->last; seq++)
		json_array_append_new(list, event_json(&e->ring[(seq - 1) % EVENTS_KEPT]));
	return list;
}
