/* SPDX-License-Identifier: MIT */
#include "proxy/ticket.h"

#include <stdio.h>
#include <string.h>

#include "lib/names.h"
#include "proxy/proxy.h"

static uint32_t ticket_flags(const struct app *app)
{
	return (app->lifetime == LIFETIME_REQUEST ? TICKET_PRISTINE : 0) | (app_fixed(app) ? TICKET_FIXED : 0);
}

const struct ticket *ticket_issue(struct request *r, struct ticket *t)
{
	struct instance *i = &r->backend->instance;
	const struct session *s = r->session;
	if (i->slot == TAINT_NONE)
		return NULL;
	memset(t, 0, sizeof *t); /* every byte is under the MAC */
	t->version = TICKET_VERSION;
	t->flags = ticket_flags(i->app);
	t->seq = ++i->seq;
	t->epoch = s->epoch;
	t->expires = clock_unix_ms() + i->app->deadline_ms;
	memcpy(t->instance, i->uuid, sizeof t->instance);
	memcpy(t->app, i->app->name, sizeof t->app);
	memcpy(t->user, s->user, sizeof t->user);
	memcpy(t->class_name, s->class_name, sizeof t->class_name);
	memcpy(t->session, s->uuid, sizeof t->session);
	memcpy(t->purpose, s->purpose, sizeof t->purpose);
	snprintf(t->request_id, sizeof t->request_id, "%s", r->x->request_id);
	snprintf(t->label, sizeof t->label, "%s", r->label);
	memcpy(t->ceiling, s->ceiling.text, sizeof t->ceiling);
	ticket_seal(t, r->proxy->ticket_key);
	return t;
}
