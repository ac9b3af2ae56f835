/* SPDX-License-Identifier: MIT */
#include "vmmd/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/boot.h"
#include "vmmd/foreign.h"
#include "vmmd/state.h"
#include "vmmd/store.h"
#include "vmmd/vmmd.h"

#define RETRY_NS 30000000000ull /* after a failed boot, before the next try */

struct reload { /* an image's file being checked after a restart */
	struct store_job job;
	struct vmmd *v;
	struct image *image; /* NULL: nobody wants it any more */
};

struct image *image_find(struct vmmd *v, const char *name)
{
	struct image *i;
	TAILQ_FOREACH (i, &v->images.list, link)
		if (strcmp(i->r.name, name) == 0)
			return i;
	return NULL;
}

const char *image_state_name(enum image_state state)
{
	static const char *const names[] = { "cold", "loading", "booting", "ready", "failed" };
	return names[state];
}

const char *image_kind_name(uint32_t kind)
{
	return kind == IMAGE_SOLO5_HVT ? "solo5-hvt" : "ppce";
}

uint64_t image_snapshot_kib(const struct image *image)
{
	struct stat st;
	return image->snapshot >= 0 && fstat(image->snapshot, &st) == 0 ? (uint64_t)st.st_blocks / 2 : 0;
}

/* --- waiting for a snapshot ------------------------------------------------------------------------------------- */

static void tell_waiters(struct vmmd *v, struct image *i, const struct err *err)
{
	struct image_waiter *w;
	while ((w = STAILQ_FIRST(&i->waiters))) {
		STAILQ_REMOVE_HEAD(&i->waiters, link);
		i->nwaiters--;
		w->fn(v, w->ctx, err);
		free(w);
	}
}

static void boot_failed(struct vmmd *v, struct image *i, const struct err *err)
{
	struct err answer;
	i->state = IMAGE_FAILED;
	i->retry_ns = clock_ns() + RETRY_NS;
	snprintf(i->reason, sizeof i->reason, "%s", err->text);
	event_add(&v->events, "image-failed", i->r.name, "", "%s", err->text);
	err_set(&answer, ERR_UNAVAILABLE, "image %s: %s", i->r.name, err->text);
	tell_waiters(v, i, &answer);
	images_boot_all(v);
}

/* Takes over the file that was booted, too. */
static void take_snapshot(struct image *i, const struct boot_result *r, int *file)
{
	sock_close(&i->snapshot);
	sock_close(&i->file);
	i->snapshot = r->snapshot;
	i->file = *file;
	*file = -1;
	i->boot_us = r->boot_us;
	i->booted_ns = clock_ns();
	i->reason[0] = '\0';
	i->state = IMAGE_READY;
}

/* One whose record was written by a version that knew no networks. */
static void note_network(struct vmmd *v, struct image *i, const struct boot_result *r)
{
	struct err err;
	if (i->r.network == r->network)
		return;
	i->r.network = r->network;
	if (state_put_image(v->state, &i->r, &err) < 0)
		log_warn("image %s: %s", i->r.name, err.text);
}

static void reload_free(struct reload *l)
{
	sock_close(&l->job.fd);
	free(l);
}

/* A ready image that could not be booted anew goes on with the snapshot that it has. */
static void reload_failed(struct vmmd *v, struct image *i, const struct err *err)
{
	if (i->state == IMAGE_READY)
		log_warn("image %s keeps its old snapshot: %s", i->r.name, err->text);
	else
		boot_failed(v, i, err);
}

static void rebooted(void *ctx, const struct boot_result *result, const struct err *err)
{
	struct reload *l = ctx;
	struct vmmd *v = l->v;
	struct image *i = l->image;

	i->boot = NULL;
	i->loading = NULL;
	if (!err)
		take_snapshot(i, result, &l->job.fd);
	reload_free(l);
	if (err) {
		reload_failed(v, i, err);
		return;
	}
	note_network(v, i, result);
	log_info("image %s is ready again (%u us)", i->r.name, i->boot_us);
	tell_waiters(v, i, NULL);
	images_boot_all(v);
}

/* A foreign image is read again, which is done at once. */
static void reread(struct reload *l)
{
	struct boot_result result;
	struct err err;
	int rc = foreign_load(l->job.fd, l->image->r.memory_mib, &result, &err);
	rebooted(l, rc < 0 ? NULL : &result, rc < 0 ? &err : NULL);
}

static void reloaded(struct store_job *job)
{
	struct reload *l = job->ctx;
	struct image *i = l->image;
	struct err err;

	if (!i || l->v->ending) {
		reload_free(l);
		return;
	}
	if (!job->failed && i->r.kind != IMAGE_PPCE) {
		reread(l);
		return;
	}
	if (job->failed)
		err = job->err;
	else
		i->boot = boot_start(l->v, i->r.name, job->fd, rebooted, l, &err);
	if (i->boot) {
		i->state = i->state == IMAGE_READY ? IMAGE_READY : IMAGE_BOOTING;
		return;
	}
	struct vmmd *v = l->v;
	i->loading = NULL;
	reload_free(l);
	reload_failed(v, i, &err);
}

/* Starts making the snapshot of a cold or failed image, or a newer one of a ready image, which stays ready. */
static int reload(struct vmmd *v, struct image *i, struct err *err)
{
	struct reload *l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, ERR_INTERNAL, "out of memory");
	l->v = v;
	l->image = i;
	l->job.ctx = l;
	if (store_open(v, &l->job, i->r.digest, reloaded, err) < 0) {
		free(l);
		return -1;
	}
	i->state = i->state == IMAGE_READY ? IMAGE_READY : IMAGE_LOADING;
	i->loading = &l->job;
	return 0;
}

/* Gives up a load or boot that runs; its waiters are told nothing yet. */
static void stop_reload(struct image *i)
{
	struct reload *l = i->loading ? i->loading->ctx : NULL;
	if (i->boot) {
		boot_cancel(i->boot);
		reload_free(l);
	} else if (l) {
		l->image = NULL;
	}
	i->boot = NULL;
	i->loading = NULL;
}

void images_boot_all(struct vmmd *v)
{
	struct image *i;
	struct err err;
	if (v->ending)
		return;
	TAILQ_FOREACH (i, &v->images.list, link)
		if (i->state == IMAGE_LOADING || i->state == IMAGE_BOOTING)
			return;
	TAILQ_FOREACH (i, &v->images.list, link)
		if (i->state == IMAGE_COLD) {
			if (reload(v, i, &err) < 0)
				boot_failed(v, i, &err);
			return;
		}
}

/* One image at a time, so that boots never crowd out requests. */
static void refresh(uv_timer_t *timer)
{
	struct vmmd *v = timer->data;
	uint64_t now = clock_ns(), period = v->config.vmmd.reboot_s * 1000000000ull;
	struct image *i;
	struct err err;

	TAILQ_FOREACH (i, &v->images.list, link)
		if (i->loading)
			return;
	TAILQ_FOREACH (i, &v->images.list, link) {
		if (i->r.kind != IMAGE_PPCE || i->state != IMAGE_READY || now - i->booted_ns < period)
			continue;
		i->booted_ns = now;
		if (reload(v, i, &err) < 0)
			reload_failed(v, i, &err);
		return;
	}
}

void images_refresh_start(struct vmmd *v)
{
	uv_timer_init(&v->loop, &v->images.refresh);
	v->images.refresh.data = v;
	if (v->config.vmmd.reboot_s)
		uv_timer_start(&v->images.refresh, refresh, 1000, 1000);
}

int image_wait(struct vmmd *v, struct image *i, image_waiter_fn *fn, void *ctx, struct err *err)
{
	bool retry = i->state == IMAGE_FAILED && clock_ns() >= i->retry_ns;

	if (i->state == IMAGE_READY) {
		fn(v, ctx, NULL);
		return 0;
	}
	if (i->state == IMAGE_FAILED && !retry)
		return err_set(err, ERR_UNAVAILABLE, "image %s: %.400s", i->r.name, i->reason);
	if (i->nwaiters >= IMAGE_WAITERS_MAX)
		return err_set(err, ERR_FULL, "image %s boots, and %u wait for it already", i->r.name, i->nwaiters);
	if ((i->state == IMAGE_COLD || retry) && reload(v, i, err) < 0)
		return -1;
	struct image_waiter *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(err, ERR_INTERNAL, "out of memory");
	w->fn = fn;
	w->ctx = ctx;
	STAILQ_INSERT_TAIL(&i->waiters, w, link);
	i->nwaiters++;
	return 0;
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static struct image *insert(struct vmmd *v, const struct image_record *r)
{
	struct image *next, *i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	i->r = *r;
	i->snapshot = i->file = -1;
	STAILQ_INIT(&i->waiters);
	TAILQ_FOREACH (next, &v->images.list, link)
		if (strcmp(next->r.name, r->name) > 0)
			break;
	if (next)
		TAILQ_INSERT_BEFORE(next, i, link);
	else
		TAILQ_INSERT_TAIL(&v->images.list, i, link);
	v->images.count++;
	return i;
}

static void discard(struct vmmd *v, struct image *i)
{
	struct err err = { .kind = ERR_NOT_FOUND, .text = "the image was removed" };
	stop_reload(i);
	TAILQ_REMOVE(&v->images.list, i, link);
	v->images.count--;
	tell_waiters(v, i, &err);
	sock_close(&i->snapshot);
	sock_close(&i->file);
	free(i);
}

static int load_one(void *ctx, const struct image_record *r, struct err *err)
{
	struct vmmd *v = ctx;
	if (v->images.count >= IMAGES_MAX)
		return err_set(err, ERR_INTERNAL, "the database: more than %d images", IMAGES_MAX);
	return insert(v, r) ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

int images_load(struct vmmd *v, struct err *err)
{
	TAILQ_INIT(&v->images.list);
	LIST_INIT(&v->images.adds);
	if (state_images(v->state, load_one, v, err) < 0)
		return -1;
	store_sweep(v);
	return 0;
}

static bool digest_used(struct vmmd *v, const char *digest)
{
	const struct image *i;
	TAILQ_FOREACH (i, &v->images.list, link)
		if (strcmp(i->r.digest, digest) == 0)
			return true;
	return false;
}

int image_remove(struct vmmd *v, struct image *i, struct err *err)
{
	const char *app;
	char digest[PPCE_DIGEST_SIZE];
	if (app_uses(v, i, &app))
		return err_set(err, ERR_CONFLICT, "app %s uses image %s: remove the app first", app, i->r.name);
	if (state_delete_image(v->state, i->r.name, err) < 0)
		return -1;
	event_add(&v->events, "image-removed", i->r.name, "", "%s", "");
	memcpy(digest, i->r.digest, sizeof digest);
	discard(v, i);
	if (!digest_used(v, digest))
		store_remove(v, digest);
	return 0;
}

/* --- adding one -------------------------------------------------------------------------------------------------- */

struct image_add {
	LIST_ENTRY(image_add) link;
	struct vmmd *v;
	struct store_job job;
	struct boot *boot;
	image_added_fn *done;
	void *ctx;
	struct image_wish wish;
};

static void add_end(struct image_add *a, struct image *i, enum image_outcome outcome, const struct err *err)
{
	store_discard(&a->job);
	LIST_REMOVE(a, link);
	a->v->images.nadds--;
	a->done(a->ctx, i, outcome, err);
	free(a);
}

static void add_fail(struct image_add *a, const struct err *err)
{
	log_warn("image %s was not added: %s", a->wish.name, err->text);
	add_end(a, NULL, IMAGE_SAME, err);
}

/* Instances of the content that an image had before end: nobody is to be answered by old code. */
static void stop_old(struct vmmd *v, const struct image *i)
{
	struct instance *x;
	struct app *app;
	TAILQ_FOREACH (app, &v->apps.list, link) {
		if (app->image != i)
			continue;
		LIST_FOREACH (x, &app->instances, app_link)
			if (strcmp(x->digest, i->r.digest) != 0)
				instance_stop(x, "image %s was replaced", i->r.name);
		route_app(v, app);
	}
}

static int write_down(struct image_add *a, const struct image_record *r, struct err *err)
{
	if (store_commit(&a->job, err) < 0)
		return -1;
	if (state_put_image(a->v->state, r, err) == 0)
		return 0;
	if (!digest_used(a->v, r->digest))
		store_remove(a->v, r->digest);
	return -1;
}

static void install(struct image_add *a, const struct image_record *r, const struct boot_result *result)
{
	struct vmmd *v = a->v;
	struct image *i = image_find(v, a->wish.name);
	enum image_outcome outcome = i ? IMAGE_REPLACED : IMAGE_ADDED;
	char old[PPCE_DIGEST_SIZE] = "";
	struct err err;

	if (!i && !(i = insert(v, r))) {
		int fd = result->snapshot;
		sock_close(&fd);
		err_set(&err, ERR_INTERNAL, "out of memory");
		add_fail(a, &err);
		return;
	}
	memcpy(old, i->r.digest, sizeof old);
	stop_reload(i);
	i->r = *r;
	take_snapshot(i, result, &a->job.fd);
	event_add(&v->events, outcome == IMAGE_ADDED ? "image-added" : "image-replaced", r->name, "", "sha256 %s",
		  r->digest);
	stop_old(v, i);
	tell_waiters(v, i, NULL);
	if (!digest_used(v, old))
		store_remove(v, old);
	add_end(a, i, outcome, NULL);
}

static void booted(void *ctx, const struct boot_result *result, const struct err *why)
{
	struct image_add *a = ctx;
	struct err err;

	a->boot = NULL;
	if (why) {
		bool foreign = a->wish.kind == IMAGE_PPCE && foreign_likely(a->job.fd);
		if (foreign)
			err_set(&err, ERR_INVALID, "this is a Solo5 image: add it with the kind solo5-hvt (--kind)");
		add_fail(a, foreign ? &err : why);
		return;
	}
	struct image_record r = { .added = clock_unix(),
				  .bytes = a->job.bytes,
				  .memory_mib = result->memory_mib,
				  .request_kib = result->request_kib,
				  .response_kib = result->response_kib,
				  .network = result->network,
				  .kind = a->wish.kind };
	memcpy(r.name, a->wish.name, sizeof r.name);
	memcpy(r.digest, a->job.digest, sizeof r.digest);
	memcpy(r.label, a->wish.label, sizeof r.label);
	memcpy(r.device, result->device, sizeof r.device);
	memcpy(r.manifest_name, result->name, sizeof r.manifest_name);
	memcpy(r.queries, result->queries, sizeof r.queries);
	if (write_down(a, &r, &err) < 0) {
		int fd = result->snapshot;
		sock_close(&fd);
		add_fail(a, &err);
		return;
	}
	install(a, &r, result);
}

/* The same content under the same name: at most its label changes. */
static void keep(struct image_add *a, struct image *i)
{
	struct err err;
	struct image_record r = i->r;
	memcpy(r.label, a->wish.label, sizeof r.label);
	if (strcmp(r.label, i->r.label) != 0) {
		if (state_put_image(a->v->state, &r, &err) < 0) {
			add_fail(a, &err);
			return;
		}
		i->r = r;
		event_add(&a->v->events, "image-relabelled", r.name, "", "default label %s",
			  *r.label ? r.label : "none");
	}
	add_end(a, i, IMAGE_SAME, NULL);
}

/* The same content, run the same way? */
static bool unchanged(const struct image_add *a, const struct image *i)
{
	return i->state == IMAGE_READY && strcmp(i->r.digest, a->job.digest) == 0 && i->r.kind == a->wish.kind &&
	       (i->r.kind == IMAGE_PPCE || i->r.memory_mib == a->wish.memory_mib);
}

/* A foreign image is only read. */
static void add_foreign(struct image_add *a)
{
	struct boot_result result;
	struct err err;
	int rc = foreign_load(a->job.fd, a->wish.memory_mib, &result, &err);
	booted(a, rc < 0 ? NULL : &result, rc < 0 ? &err : NULL);
}

static void imported(struct store_job *job)
{
	struct image_add *a = job->ctx;
	struct image *i = image_find(a->v, a->wish.name);
	struct err err;

	if (a->v->ending && !job->failed) {
		job->failed = true;
		err_set(&job->err, ERR_UNAVAILABLE, "the daemon ends");
	}
	if (job->failed) {
		err = job->err;
		add_fail(a, &err);
		return;
	}
	if (i && unchanged(a, i)) {
		keep(a, i);
		return;
	}
	if (!i && a->v->images.count >= IMAGES_MAX) {
		err_set(&err, ERR_FULL, "there are %d images already, which is the limit", IMAGES_MAX);
	} else if (a->wish.kind != IMAGE_PPCE) {
		add_foreign(a);
		return;
	} else {
		a->boot = boot_start(a->v, a->wish.name, job->fd, booted, a, &err);
	}
	if (!a->boot)
		add_fail(a, &err);
}

int image_add(struct vmmd *v, const struct image_wish *wish, image_added_fn *done, void *ctx, struct err *err)
{
	struct image_add *a;
	char program[FOREIGN_PATH_SIZE];
	if (wish->kind != IMAGE_PPCE && foreign_program(v, program, err) < 0)
		return -1;
	const struct image *old = image_find(v, wish->name);
	if (old && old->r.kind != wish->kind)
		return err_set(err, ERR_CONFLICT,
			       "image %s is of kind %s, and its apps are made for that: remove it first", wish->name,
			       image_kind_name(old->r.kind));
	LIST_FOREACH (a, &v->images.adds, link)
		if (strcmp(a->wish.name, wish->name) == 0)
			return err_set(err, ERR_CONFLICT, "image %s is being added already", wish->name);
	if (v->images.nadds >= IMAGES_ADDS_MAX)
		return err_set(err, ERR_UNAVAILABLE, "%d images are being added; try again", IMAGES_ADDS_MAX);
	a = calloc(1, sizeof *a);
	if (!a)
		return err_set(err, ERR_INTERNAL, "out of memory");
	a->v = v;
	a->done = done;
	a->ctx = ctx;
	a->job.ctx = a;
	a->wish = *wish;
	if (store_import(v, &a->job, wish->path, imported, err) < 0) {
		free(a);
		return -1;
	}
	LIST_INSERT_HEAD(&v->images.adds, a, link);
	v->images.nadds++;
	return 0;
}

void images_end(struct vmmd *v)
{
	struct err err = { .kind = ERR_UNAVAILABLE, .text = "the daemon ends" };
	struct image_add *a, *next_add;
	struct image *i;

	uv_close((uv_handle_t *)&v->images.refresh, NULL);
	for (a = LIST_FIRST(&v->images.adds); a; a = next_add) {
		next_add = LIST_NEXT(a, link);
		if (!a->boot)
			continue; /* its worker ends first: imported() */
		boot_cancel(a->boot);
		a->boot = NULL;
		add_fail(a, &err);
	}
	while ((i = TAILQ_FIRST(&v->images.list)))
		discard(v, i);
}
