/* SPDX-License-Identifier: MIT */
#include "proxy/registration.h"

#include <stdlib.h>
#include <string.h>

#include "lib/http_parse.h"
#include "lib/names.h"

void registrations_init(struct registrations *r)
{
	TAILQ_INIT(&r->all);
	r->count = 0;
}

static void forget(struct registrations *r, struct service *s)
{
	TAILQ_REMOVE(&r->all, s, all);
	r->count--;
	free(s);
}

void registrations_free(struct registrations *r)
{
	while (!TAILQ_EMPTY(&r->all))
		forget(r, TAILQ_FIRST(&r->all));
}

static struct service *find_same(const struct registrations *r, const char *app, const char *label, const char *address)
{
	struct service *s;
	TAILQ_FOREACH (s, &r->all, all)
		if (!s->removed && strcmp(s->app, app) == 0 && strcmp(s->label, label) == 0 &&
		    strcmp(s->address, address) == 0)
			return s;
	return NULL;
}

static int check(const struct policy *policy, const char *app, const char *label, const char *address, unsigned ttl_s,
		 struct service *out, struct err *err)
{
	struct sockaddr_storage unused;
	if (!name_valid(app))
		return err_set(err, ERR_INVALID, "app: a name is [a-z][a-z0-9-]{0,31} and not one of the door's own");
	if (label_parse(policy, label, &out->level, err) < 0 || label_format(policy, &out->level, out->label, err) < 0)
		return err_prefix(err, "label");
	if (strlen(address) >= sizeof out->address || http_address_parse(address, &unused, err) < 0)
		return err_set(err, ERR_INVALID, "address: IP:PORT or [IPV6]:PORT, without a name to look up");
	if (ttl_s < 1 || ttl_s > REGISTRATION_TTL_MAX_S)
		return err_set(err, ERR_INVALID, "ttl: 1 to %d seconds", REGISTRATION_TTL_MAX_S);
	strcpy(out->app, app);
	strcpy(out->address, address);
	return 0;
}

struct service *registration_add(struct registrations *r, const struct policy *policy, const char *app,
				 const char *label, const char *address, unsigned ttl_s, uint64_t now_ns,
				 struct err *err)
{
	struct service wanted = { 0 };
	if (check(policy, app, label, address, ttl_s, &wanted, err) < 0)
		return NULL;
	struct service *s = find_same(r, wanted.app, wanted.label, wanted.address);
	if (!s) {
		if (r->count >= REGISTRATIONS_MAX) {
			err_set(err, ERR_FULL, "there are %u registrations already", REGISTRATIONS_MAX);
			return NULL;
		}
		s = malloc(sizeof *s);
		if (!s) {
			err_set(err, ERR_INTERNAL, "out of memory");
			return NULL;
		}
		*s = wanted;
		uuid_new(s->id);
		TAILQ_INSERT_HEAD(&r->all, s, all);
		r->count++;
	}
	s->expires_ns = now_ns + ttl_s * 1000000000ull;
	s->down_until_ns = 0;
	return s;
}

struct service *registration_find(const struct registrations *r, const char *id)
{
	struct service *s;
	TAILQ_FOREACH (s, &r->all, all)
		if (!s->removed && strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

void registration_remove(struct registrations *r, struct service *s)
{
	s->removed = true;
	if (s->in_flight == 0)
		forget(r, s);
}

bool registration_knows(const struct registrations *r, const char *app)
{
	struct service *s;
	TAILQ_FOREACH (s, &r->all, all)
		if (!s->removed && strcmp(s->app, app) == 0)
			return true;
	return false;
}

struct service *registration_choose(struct registrations *r, const char *app, const char *label, uint64_t now_ns)
{
	struct service *s, *best = NULL;
	TAILQ_FOREACH (s, &r->all, all) {
		if (s->removed || now_ns >= s->expires_ns || now_ns < s->down_until_ns || strcmp(s->app, app) != 0 ||
		    strcmp(s->label, label) != 0)
			continue;
		if (!best || s->in_flight < best->in_flight)
			best = s;
	}
	if (!best)
		return NULL;
	best->in_flight++;
	TAILQ_REMOVE(&r->all, best, all);
	TAILQ_INSERT_TAIL(&r->all, best, all);
	return best;
}

void registration_release(struct registrations *r, struct service *s, bool reached, uint64_t now_ns)
{
	s->in_flight--;
	if (reached)
		s->served++;
	else
		s->failed++;
	if (!reached)
		s->down_until_ns = now_ns + REGISTRATION_DOWN_NS;
	if (s->removed && s->in_flight == 0)
		forget(r, s);
}

void registrations_sweep(struct registrations *r, uint64_t now_ns)
{
	struct service *s, *next;
	for (s = TAILQ_FIRST(&r->all); s; s = next) {
		next = TAILQ_NEXT(s, all);
		if (!s->removed && now_ns >= s->expires_ns)
			registration_remove(r, s);
	}
}
