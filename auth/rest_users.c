// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/clearance.h"
#include "auth/sessions.h"
#include "lib/names.h"

/* ---- Reading ---- */

static json_t *user_json(const struct auth *a, const struct user *u)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", u->name, "class", u->class_name, "clearance_from",
			      *u->clearance ? "user" : "class", "created", (json_int_t)u->created, "changed",
			      (json_int_t)u->changed);
	char text[PPCE_LABEL_SIZE];
	struct label clearance;
	struct err err;

	if (clearance_of(a->db, a->policy, u, "", clock_unix(), &clearance, &err) ||
	    label_format(a->policy, &clearance, text, &err)) {
		json_object_set_new(o, "clearance", json_string(u->clearance));
		json_object_set_new(o, "problem", json_string(err.text));
	} else {
		json_object_set_new(o, "clearance", json_string(text));
	}
	return o;
}

struct listing {
	const struct auth *auth;
	json_t *list;
};

static int add_user(void *ctx, const struct user *u)
{
	struct listing *l = ctx;

	return json_array_append_new(l->list, user_json(l->auth, u));
}

void users_list(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct listing l = { a, json_array() };
	struct err err = { ERR_INTERNAL, "out of memory" };

	if (user_list(a->db, add_user, &l, &err)) {
		json_decref(l.list);
		rest_fail(call, &err);
		return;
	}
	rest_reply(call, 200, json_pack("{s:o}", "users", l.list));
}

/* The user named in the path, or an answer (then -1). */
static int user_of_path(struct rest_call *call, struct user *out, struct err *err)
{
	struct auth *a = call->ctx;
	int rc = user_find(a->db, call->param[0], out, err);

	return rc ? rc : err_set(err, ERR_NOT_FOUND, "there is no user '%.64s'", call->param[0]);
}

void users_get(struct rest_call *call)
{
	struct auth *a = call->ctx;
	struct user u;
	struct err err;

	if (user_of_path(call, &u, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	rest_reply(call, 200, user_json(a, &u));
	sodium_memzero(&u, sizeof u);
}

/* ---- Adding and changing ---- */

struct change {
	struct hash_job job; /* first: the job's address is the change's */
	struct auth *auth;
	struct rest_call *call;
	const char *event;
	struct user wanted; /* only the fields that the request sets */
	bool set_password, set_class, set_clearance;
	struct user user; /* the result */
	int status;
};

static void change_free(struct change *c)
{
	sodium_memzero(c, sizeof *c);
	free(c);
}

static void change_record(const struct change *c, char path[128], struct audit_record *out)
{
	snprintf(path, 128, "/v1/users/%s", c->user.name);
	*out = (struct audit_record){ .event = c->event,
				      .allowed = true,
				      .actor = "operator",
				      .path = path,
				      .class_name = c->user.class_name,
				      .label = c->user.clearance,
				      .status = c->status };
}

/* The last step: proxies have forgotten the user, or need not. */
static void on_changed(void *ctx)
{
	struct change *c = ctx;
	struct audit_record r;
	char path[128];

	change_record(c, path, &r);
	if (c->status == 204)
		rest_finish(c->auth, c->call, &r);
	else if (audit_exchange(c->auth, c->call->x, &r))
		rest_fail(c->call,
			  &(struct err){ ERR_INTERNAL, "it is done, but the audit log could not take the record" });
	else
		rest_reply(c->call, c->status, user_json(c->auth, &c->user));
	change_free(c);
}

static void end_sessions(struct change *c)
{
	c->auth->revocations++;
	lookup_revoke(c->auth->lookup, &(struct lookup_target){ .user = c->user.name }, on_changed, c);
}

static void change_fail(struct change *c, const struct err *err)
{
	rest_fail(c->call, err);
	change_free(c);
}

static int decode_password(struct change *c, const struct rest_call *call, struct err *err)
{
	size_t len;

	c->set_password = json_object_get(call->body, "password") != NULL;
	if (body_password(call, c->job.password, err))
		return -1;
	len = strlen(c->job.password);
	if (c->set_password && len < PASSWORD_MIN)
		return err_set(err, ERR_INVALID, "a password has %d to %d bytes; this one has %zu", PASSWORD_MIN,
			       PASSWORD_MAX, len);
	return 0;
}

static int decode_class(struct change *c, const json_t *body, struct err *err)
{
	char *name = c->wanted.class_name;
	const char *known[65] = { NULL }, *near;

	c->set_class = json_object_get(body, "class") != NULL;
	if (json_get_text(body, "class", name, sizeof c->wanted.class_name, err))
		return -1;
	if (!*name || policy_class_clearance(c->auth->policy, name))
		return 0;
	for (size_t i = 0; i < policy_classes(c->auth->policy) && i < 64; i++)
		known[i] = policy_class_name(c->auth->policy, i);
	near = text_nearest(name, known);
	if (near)
		return err_set(err, ERR_INVALID, "class '%s' is not in policy.yaml; did you mean '%s'?", name, near);
	return err_set(err, ERR_INVALID, "class '%s' is not in policy.yaml", name);
}

static int decode_clearance(struct change *c, const json_t *body, struct err *err)
{
	struct label l;
	struct label_tag tag;
	size_t at = 0;
	int rc = body_label(c->auth, body, "clearance", &l, err);

	c->set_clearance = json_object_get(body, "clearance") != NULL;
	if (rc != 1)
		return rc;
	if (label_next_tag(&l, &at, &tag) || label_all_owners(c->auth->policy, &l))
		return err_set(err, ERR_INVALID,
			       "'clearance': whose data somebody may see comes from grants (PUT /v1/grants/{id}, `ppce "
			       "grant add`); leave the owners axis out");
	return label_format(c->auth->policy, &l, c->wanted.clearance, err);
}

static int change_decode(struct change *c, const struct rest_call *call, struct err *err)
{
	if (decode_password(c, call, err) || decode_class(c, call->body, err) || decode_clearance(c, call->body, err))
		return -1;
	return 0;
}

/* Puts what the request sets over the user's record. */
static int change_apply(struct change *c, struct err *err)
{
	struct user *u = &c->user;

	if (c->set_password)
		memcpy(u->hash, c->job.fresh, sizeof u->hash);
	if (c->set_class)
		memcpy(u->class_name, c->wanted.class_name, sizeof u->class_name);
	if (c->set_clearance)
		memcpy(u->clearance, c->wanted.clearance, sizeof u->clearance);
	u->changed = clock_unix();
	if (!*u->class_name && !*u->clearance)
		return err_set(err, ERR_INVALID, "give the user a 'class', a 'clearance' or both");
	/* A class brings its grants along. */
	if (c->set_class || !u->id)
		return clearance_check_tags(c->auth->db, c->auth->policy, u, u->changed, err);
	return 0;
}

static void change_store(struct change *c)
{
	struct err err;
	int rc;

	/* Read again: the record may have changed or gone while the password was hashed. */
	rc = user_find(c->auth->db, c->wanted.name, &c->user, &err);
	if (!rc)
		rc = err_set(&err, ERR_NOT_FOUND, "there is no user '%s'", c->wanted.name);
	if (rc < 0 || change_apply(c, &err) || user_update(c->auth->db, &c->user, &err)) {
		change_fail(c, &err);
		return;
	}
	end_sessions(c);
}

static void add_store(struct change *c)
{
	struct err err;

	memcpy(c->user.name, c->wanted.name, sizeof c->user.name);
	c->user.created = clock_unix();
	if (change_apply(c, &err) || user_insert(c->auth->db, &c->user, &err)) {
		if (err.kind == ERR_CONFLICT)
			err_set(&err, ERR_CONFLICT, "user '%s' exists already", c->wanted.name);
		change_fail(c, &err);
		return;
	}
	on_changed(c);
}

static void on_hashed(struct hash_job *job)
{
	struct change *c = (struct change *)job;

	if (job->result == HASH_CANCELLED)
		change_fail(c, &(struct err){ ERR_UNAVAILABLE, "the daemon ends; nothing was changed" });
	else if (job->result == HASH_FAILED)
		change_fail(c, &(struct err){ ERR_UNAVAILABLE,
					      "no memory to hash the password; lower auth.argon2_memory_mib or "
					      "auth.hash_workers" });
	else if (c->status == 201)
		add_store(c);
	else
		change_store(c);
}

static struct change *change_new(struct rest_call *call, const char *event, int status)
{
	struct change *c = calloc(1, sizeof *c);

	if (!c) {
		rest_fail(call, &(struct err){ ERR_INTERNAL, "out of memory" });
		return NULL;
	}
	c->auth = call->ctx;
	c->call = call;
	c->event = event;
	c->status = status;
	c->job.kind = HASH_MAKE;
	c->job.done = on_hashed;
	return c;
}

static void change_submit(struct change *c)
{
	/* From here on the call may outlive the handler. */
	c->call = rest_defer(c->call);
	if (!hasher_submit(c->auth->hasher, &c->job, 1))
		return;
	rest_fail_after(c->call, &(struct err){ ERR_FULL, "too many passwords are being set just now; try again" }, 2);
	change_free(c);
}

static int add_decode(struct change *c, const struct rest_call *call, struct err *err)
{
	int rc;

	if (change_decode(c, call, err) ||
	    json_get_text(call->body, "name", c->wanted.name, sizeof c->wanted.name, err))
		return -1;
	if (!user_valid(c->wanted.name))
		return err_set(err, ERR_INVALID,
			       "a user's name has 1 to %d of A-Z a-z 0-9 . _ @ - and begins with a letter or "
			       "digit",
			       PPCE_USER_SIZE - 1);
	if (!*c->wanted.class_name && !*c->wanted.clearance)
		return err_set(err, ERR_INVALID, "give the user a 'class', a 'clearance' or both");
	rc = user_find(c->auth->db, c->wanted.name, &c->user, err);
	if (rc > 0)
		return err_set(err, ERR_CONFLICT, "user '%s' exists already", c->wanted.name);
	return rc;
}

void users_post(struct rest_call *call)
{
	struct change *c = change_new(call, "user-add", 201);
	struct err err;

	if (!c)
		return;
	if (add_decode(c, call, &err))
		change_fail(c, &err);
	else
		change_submit(c);
}

void users_patch(struct rest_call *call)
{
	struct change *c = change_new(call, "user-change", 200);
	struct err err;

	if (!c)
		return;
	if (change_decode(c, call, &err) || user_of_path(call, &c->user, &err) < 0) {
		change_fail(c, &err);
		return;
	}
	memcpy(c->wanted.name, c->user.name, sizeof c->wanted.name);
	if (!c->set_password && !c->set_class && !c->set_clearance) {
		err_set(&err, ERR_INVALID, "nothing to change: send 'password', 'class' or 'clearance'");
		change_fail(c, &err);
	} else if (c->set_password) {
		change_submit(c);
	} else {
		c->call = rest_defer(call);
		change_store(c);
	}
}

/* ---- Removing ---- */

static void remove_with(struct rest_call *call, const char *event,
			int (*act)(struct db *, const struct user *, struct err *))
{
	struct change *c = change_new(call, event, 204);
	struct err err;

	if (!c)
		return;
	if (user_of_path(call, &c->user, &err) < 0 || act(c->auth->db, &c->user, &err) < 0) {
		change_fail(c, &err);
		return;
	}
	c->call = rest_defer(call);
	end_sessions(c);
}

static int remove_user(struct db *db, const struct user *u, struct err *err)
{
	return user_remove(db, u, clock_unix(), err);
}

static int remove_sessions(struct db *db, const struct user *u, struct err *err)
{
	return session_remove_all(db, u->id, err);
}

void users_delete(struct rest_call *call)
{
	remove_with(call, "user-remove", remove_user);
}

void users_end_sessions(struct rest_call *call)
{
	remove_with(call, "revoke", remove_sessions);
}
