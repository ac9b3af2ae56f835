/* SPDX-License-Identifier: MIT */
#include "vmmd/apps.h"

#include <stdlib.h>
#include <string.h>

#include "vmmd/state.h"
#include "vmmd/vmmd.h"

const char *app_lifetime_name(uint32_t lifetime)
{
	return lifetime == LIFETIME_CLASS ? "class" : lifetime == LIFETIME_USER ? "user" : "request";
}

const char *app_transport_name(uint32_t transport)
{
	return transport == TRANSPORT_TAP ? "tap" : "channel";
}

const char *app_start_name(uint32_t boot)
{
	return boot ? "boot" : "restore";
}

struct app *app_find(struct vmmd *v, const char *name)
{
	struct app *a;
	TAILQ_FOREACH (a, &v->apps.list, link)
		if (strcmp(a->r.name, name) == 0)
			return a;
	return NULL;
}

bool app_uses(struct vmmd *v, const struct image *image, const char **name)
{
	const struct app *a;
	TAILQ_FOREACH (a, &v->apps.list, link)
		if (a->image == image) {
			*name = a->r.name;
			return true;
		}
	return false;
}

void app_describe(struct vmmd *v, const struct app *a, struct routing_message *m)
{
	memcpy(m->app, a->r.name, sizeof m->app);
	m->lifetime = a->r.lifetime;
	m->discard = a->r.discard;
	m->max_instances = a->r.max_instances;
	m->idle_s = a->r.idle_s;
	m->max_age_s = a->r.max_age_s;
	/* A pristine instance is only as fresh as its snapshot: it goes when that is booted anew. */
	uint32_t reboot_s = v->config.vmmd.reboot_s;
	if (a->image->r.kind == IMAGE_PPCE && a->r.lifetime == LIFETIME_REQUEST && reboot_s &&
	    (!m->max_age_s || m->max_age_s > reboot_s))
		m->max_age_s = reboot_s;
	m->max_requests = a->r.max_requests;
	m->deadline_ms = a->r.deadline_ms ? a->r.deadline_ms : v->config.proxy.request_ms;
	m->request_bytes = a->image->r.request_kib * 1024;
	m->response_bytes = a->image->r.response_kib * 1024;
	m->has_store = *a->image->r.queries != '\0';
	m->transport = a->r.transport;
	m->has_sinks = *a->r.sinks != '\0';
	memcpy(m->digest, a->image->r.digest, sizeof m->digest);
	m->slot = TAINT_NONE;
}

static struct app *insert(struct vmmd *v, const struct app_record *r, struct image *image)
{
	struct app *next, *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->r = *r;
	a->image = image;
	a->log.fd = -1;
	LIST_INIT(&a->instances);
	TAILQ_FOREACH (next, &v->apps.list, link)
		if (strcmp(next->r.name, r->name) > 0)
			break;
	if (next)
		TAILQ_INSERT_BEFORE(next, a, link);
	else
		TAILQ_INSERT_TAIL(&v->apps.list, a, link);
	v->apps.count++;
	return a;
}

static int load_one(void *ctx, const struct app_record *r, struct err *err)
{
	struct vmmd *v = ctx;
	struct image *image = image_find(v, r->image);
	if (!image)
		return err_set(err, ERR_INTERNAL, "the database: app %s names image %s, which is not there", r->name,
			       r->image);
	if (image->r.kind != IMAGE_PPCE && r->transport != TRANSPORT_TAP)
		return err_set(err, ERR_INTERNAL, "the database: the row of app %s is damaged", r->name);
	if (v->apps.count >= APPS_MAX)
		return err_set(err, ERR_INTERNAL, "the database: more than %d apps", APPS_MAX);
	return insert(v, r, image) ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

int apps_load(struct vmmd *v, struct err *err)
{
	TAILQ_INIT(&v->apps.list);
	return state_apps(v->state, load_one, v, err);
}

static bool same_settings(const struct app_record *a, const struct app_record *b)
{
	return strcmp(a->image, b->image) == 0 && a->lifetime == b->lifetime && a->discard == b->discard &&
	       a->max_instances == b->max_instances && a->idle_s == b->idle_s && a->max_age_s == b->max_age_s &&
	       a->max_requests == b->max_requests && a->deadline_ms == b->deadline_ms && a->transport == b->transport &&
	       a->port == b->port && a->boot == b->boot && a->no_shells == b->no_shells && a->no_taps == b->no_taps &&
	       strcmp(a->sinks, b->sinks) == 0 && strcmp(a->args, b->args) == 0;
}

int app_add(struct vmmd *v, const struct app_record *r, struct app **out, bool *same, struct err *err)
{
	struct app *a = app_find(v, r->name);
	struct image *image = image_find(v, r->image);

	*same = a && same_settings(&a->r, r);
	*out = a;
	if (*same)
		return 0;
	if (a)
		return err_set(err, ERR_CONFLICT, "app %s exists with other settings: remove it first", r->name);
	if (!image)
		return err_set(err, ERR_NOT_FOUND, "there is no image %s: add it first", r->image);
	char program[FOREIGN_PATH_SIZE];
	if (image->r.kind != IMAGE_PPCE && foreign_program(v, program, err) < 0)
		return -1;
	if (r->transport == TRANSPORT_TAP && !image->r.network)
		return err_set(err, ERR_INVALID,
			       "transport: image %s was built without a network stack, which a tap needs: build it "
			       "again where ppce-cc has lwIP",
			       r->image);
	if (v->apps.count >= APPS_MAX)
		return err_set(err, ERR_FULL, "there are %d apps already, which is the limit", APPS_MAX);
	if (state_put_app(v->state, r, err) < 0)
		return -1;
	a = insert(v, r, image);
	if (!a) {
		state_delete_app(v->state, r->name, NULL);
		return err_set(err, ERR_INTERNAL, "out of memory");
	}
	event_add(&v->events, "app-added", r->name, "", "image %s, lifetime %s", r->image,
		  app_lifetime_name(r->lifetime));
	route_app(v, a);
	*out = a;
	return 0;
}

static void free_if_done(struct app *a)
{
	if (!a->removed || a->ninstances)
		return;
	applog_close(&a->log);
	free(a);
}

int app_remove(struct vmmd *v, struct app *a, struct err *err)
{
	struct instance *i;
	if (state_delete_app(v->state, a->r.name, err) < 0)
		return -1;
	pools_app_gone(v, a);
	TAILQ_REMOVE(&v->apps.list, a, link);
	v->apps.count--;
	a->removed = true;
	a->image = NULL;
	event_add(&v->events, "app-removed", a->r.name, "", "%s", "");
	route_app_gone(v, a->r.name);
	LIST_FOREACH (i, &a->instances, app_link)
		instance_stop(i, "app %s was removed", a->r.name);
	free_if_done(a);
	return 0;
}

void app_release(struct app *a)
{
	free_if_done(a);
}

void apps_end(struct vmmd *v)
{
	struct app *a;
	while ((a = TAILQ_FIRST(&v->apps.list))) {
		TAILQ_REMOVE(&v->apps.list, a, link);
		a->removed = true;
		free_if_done(a);
	}
}
