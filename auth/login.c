// SPDX-License-Identifier: MIT
//
// One login, in order: decode, throttle, queue, hash (on a worker), then decide. Nothing before the decision depends on
// whether the user exists: a made-up name is counted like any other, waits in the same queue, and its password is checked
// against a decoy with the parameters of some real user's hash, so that it takes as long.
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/clearance.h"
#include "auth/sessions.h"
#include "auth/token.h"
#include "lib/log.h"
#include "lib/names.h"
#include "policy/flow.h"

#define RETRY_BUSY_S 2

struct login {
	struct hash_job job; /* first: the job's address is the login's */
	struct auth *auth;
	struct rest_call *call;
	char username[PPCE_USER_SIZE];
	char purpose[PPCE_PURPOSE_SIZE];
	char address[SESSION_ADDRESS_SIZE];
	bool has_label;
	struct label ceiling;
	uint64_t user_key, address_key;
	bool known;
	char stored[crypto_pwhash_STRBYTES]; /* what the user's hash was when the check began */
	struct user user;
	struct session session;
};

static void login_free(struct login *l)
{
	sodium_memzero(l, sizeof *l);
	free(l);
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

static int login_decode(struct login *l, const struct rest_call *call, struct err *err)
{
	const json_t *body = call->body;
	int label;

	if (json_get_text(body, "username", l->username, sizeof l->username, err) ||
	    body_password(call, l->job.password, err) ||
	    json_get_text(body, "purpose", l->purpose, sizeof l->purpose, err) ||
	    json_get_text(body, "address", l->address, sizeof l->address, err))
		return -1;
	if (!printable(l->purpose) || !printable(l->address))
		return err_set(err, ERR_INVALID, "'purpose' and 'address' must be printable ASCII");
	label = body_label(l->auth, body, "label", &l->ceiling, err);
	if (label < 0)
		return -1;
	l->has_label = label;
	if (!*l->address)
		memcpy(l->address, call->x->peer, strnlen(call->x->peer, sizeof l->address - 1));
	return 0;
}

/* ---- Refusals before the hash ---- */

/* Anyone can cause these as fast as he can connect, so they get one line in the audit log per second; all of them are
 * counted in the metrics. */
static void audit_refusal(struct login *l, const struct rest_call *call, const char *reason, int status)
{
	int64_t now = clock_unix();

	if (l->auth->audited_refusal == now)
		return;
	l->auth->audited_refusal = now;
	audit_exchange(l->auth, call->x,
		       &(struct audit_record){ .event = "login",
					       .actor = user_valid(l->username) ? l->username : "",
					       .address = l->address,
					       .reason = reason,
					       .status = status });
}

/* Takes a try from both buckets, or from none. */
static unsigned login_throttle(struct login *l)
{
	struct auth *a = l->auth;
	unsigned char address[64];
	uint64_t now = clock_ns();
	unsigned wait;

	l->user_key = throttle_key(a->by_user, l->username, strlen(l->username));
	l->address_key = throttle_key(a->by_address, address, throttle_address(l->address, address));
	wait = throttle_peek(a->by_address, l->address_key, now);
	if (!wait)
		wait = throttle_take(a->by_user, l->user_key, now);
	if (!wait)
		throttle_take(a->by_address, l->address_key, now);
	return wait;
}

static void login_give_back(struct login *l)
{
	throttle_give_back(l->auth->by_user, l->user_key);
	throttle_give_back(l->auth->by_address, l->address_key);
}

/* The hash to check against: the user's, or for a name that isn't known a decoy made like that of the user whom a keyed
 * hash of the name picks. So the spread of times over made-up names is that over real ones, also while hashes with older
 * parameters are around. Both look-ups are always made. */
static int login_target(struct login *l, struct err *err)
{
	char sample[crypto_pwhash_STRBYTES] = "";
	uint64_t pick;
	int found, any;

	crypto_generichash((uint8_t *)&pick, sizeof pick, (const uint8_t *)l->username, strlen(l->username),
			   l->auth->decoy_secret, sizeof l->auth->decoy_secret);
	found = user_find(l->auth->db, l->username, &l->user, err);
	any = user_sample_hash(l->auth->db, pick, sample, err);
	if (found < 0 || any < 0)
		return -1;
	l->known = found;
	hasher_decoy(l->auth->hasher, sample, l->job.stored);
	if (found)
		memcpy(l->job.stored, l->user.hash, sizeof l->job.stored);
	memcpy(l->stored, l->job.stored, sizeof l->stored);
	sodium_memzero(sample, sizeof sample);
	return 0;
}

/* ---- After the hash ---- */

static void login_answer_failed(struct login *l, const char *inner)
{
	l->auth->logins[LOGIN_FAILED]++;
	log_error("login failed for a reason of our own: %s", inner);
	rest_fail(l->call, &(struct err){ ERR_UNAVAILABLE, "logging in does not work right now; try again later" });
}

static void login_refuse(struct login *l, enum login_outcome outcome, const struct err *why, const char *reason)
{
	struct audit_record r = { .event = "login",
				  .actor = l->username,
				  .address = l->address,
				  .reason = reason,
				  .label = l->session.ceiling,
				  .purpose = l->purpose,
				  .status = err_http_status(why->kind) };

	/* People type their password into the wrong field: what is no user's name isn't written down. */
	if (!l->known)
		r.actor = "";
	if (outcome == LOGIN_LABEL)
		r.rule = flow_rule_name(FLOW_R0_SESSION);
	if (audit_exchange(l->auth, l->call->x, &r)) {
		login_answer_failed(l, "no audit record");
		return;
	}
	l->auth->logins[outcome]++;
	rest_fail(l->call, why);
}

static void login_wrong(struct login *l, const char *reason)
{
	login_refuse(l, LOGIN_WRONG, &(struct err){ ERR_UNAUTHENTICATED, "the user name or the password is wrong" },
		     reason);
}

/* While the hash was computed, the user may have been removed or been given another password or clearance. */
static int login_reload(struct login *l, struct err *err)
{
	int rc = user_find(l->auth->db, l->username, &l->user, err);

	if (rc == 1 && strcmp(l->user.hash, l->stored))
		rc = 0;
	return rc;
}

/* Fills floor and ceiling. R0 decides; ERR_DENIED with words for the user. */
static int login_labels(struct login *l, const struct label *clearance, struct err *err)
{
	const struct policy *p = l->auth->policy;
	struct label floor;
	struct flow_verdict v;

	label_bottom(p, &floor);
	if (!l->has_label)
		l->ceiling = *clearance;
	if (label_format(p, &floor, l->session.floor, err) || label_format(p, &l->ceiling, l->session.ceiling, err))
		return -1;
	v = flow_session(p, &floor, &l->ceiling, clearance);
	if (!v.allowed)
		return err_set(err, ERR_DENIED,
			       "label %s is above your clearance; log in with a lower label, or without one",
			       l->session.ceiling);
	return 0;
}

/* The oldest session ends when a user has too many; nobody waits for the proxies then. */
static int login_make_room(struct login *l, struct err *err)
{
	uint8_t hash[SESSION_HASH_BYTES];
	int rc = session_surplus(l->auth->db, l->user.id, hash, err);

	if (rc != 1)
		return rc;
	if (session_remove(l->auth->db, hash, err) < 0)
		return -1;
	lookup_revoke(l->auth->lookup, &(struct lookup_target){ .hash = hash }, NULL, NULL);
	return 0;
}

static int login_store(struct login *l, char token[TOKEN_TEXT_SIZE], struct err *err)
{
	struct session *s = &l->session;

	token_new(token, s->token_hash);
	uuid_new(s->uuid);
	s->user_id = l->user.id;
	memcpy(s->purpose, l->purpose, sizeof s->purpose);
	memcpy(s->address, l->address, sizeof s->address);
	s->created = clock_unix();
	s->expires = s->created + 60 * (int64_t)l->auth->config.auth.session_minutes;
	if (login_make_room(l, err))
		return -1;
	return session_insert(l->auth->db, s, err);
}

static void login_succeed(struct login *l)
{
	struct session *s = &l->session;
	struct auth *a = l->auth;
	char token[TOKEN_TEXT_SIZE];
	struct err err;
	uint64_t epoch;
	json_t *body;

	if (db_epoch(a->db, &epoch, &err) || login_store(l, token, &err)) {
		login_answer_failed(l, err.text);
	} else if (audit_exchange(a, l->call->x,
				  &(struct audit_record){ .event = "login",
							  .allowed = true,
							  .actor = l->user.name,
							  .class_name = l->user.class_name,
							  .session = s->uuid,
							  .purpose = s->purpose,
							  .label = s->ceiling,
							  .address = s->address,
							  .status = 200,
							  .epoch = epoch,
							  .rule = flow_rule_name(FLOW_R0_SESSION) })) {
		session_remove(a->db, s->token_hash, &err);
		login_answer_failed(l, "no audit record");
	} else {
		a->logins[LOGIN_OK]++;
		body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "token", token, "session", s->uuid, "user",
				 l->user.name, "class", l->user.class_name, "label", s->ceiling, "expires",
				 (json_int_t)s->expires);
		rest_reply(l->call, 200, body);
	}
	sodium_memzero(token, sizeof token);
}

/* The password was right. */
static void login_decide(struct login *l)
{
	struct label clearance;
	struct err err;

	if (clearance_of(l->auth->db, l->auth->policy, &l->user, l->purpose, clock_unix(), &clearance, &err)) {
		if (err.kind != ERR_DENIED) {
			login_answer_failed(l, err.text);
			return;
		}
		log_warn("a user cannot log in: %s (GET /v1/users shows who)", err.text);
		err_set(&err, ERR_DENIED, "your account does not fit the policy any more; ask the operator");
		login_refuse(l, LOGIN_LABEL, &err, "clearance-not-in-policy");
		return;
	}
	if (login_labels(l, &clearance, &err)) {
		login_refuse(l, LOGIN_LABEL, &err, "label-above-clearance");
		return;
	}
	if (*l->job.fresh && user_rehash(l->auth->db, l->user.id, l->stored, l->job.fresh, &err))
		log_warn("a password keeps its old hash: %s", err.text);
	login_succeed(l);
}

static void on_hashed(struct hash_job *job)
{
	struct login *l = (struct login *)job;
	struct err err;
	int current = login_reload(l, &err);

	if (job->result == HASH_CANCELLED || job->result == HASH_FAILED)
		login_give_back(l);
	if (job->result == HASH_CANCELLED)
		login_answer_failed(l, "the daemon ends");
	else if (job->result == HASH_FAILED)
		login_answer_failed(l, "no memory for Argon2; lower auth.argon2_memory_mib or auth.hash_workers");
	else if (current < 0)
		login_answer_failed(l, err.text);
	else if (job->result == HASH_WRONG || !l->known || !current)
		login_wrong(l, l->known ? "wrong-password" : "unknown-user");
	else {
		login_give_back(l);
		login_decide(l);
	}
	login_free(l);
}

/* Answers at once when the login cannot go on; else on_hashed() does. */
static int login_start(struct login *l, struct rest_call *call, struct err *err)
{
	struct auth *a = l->auth;
	unsigned wait;

	if (login_decode(l, call, err))
		return -1;
	wait = login_throttle(l);
	if (wait) {
		a->logins[LOGIN_THROTTLED]++;
		audit_refusal(l, call, "too-many-tries", 429);
		rest_fail_after(call, &(struct err){ ERR_TOO_MANY, "too many failed logins; wait before the next try" },
				wait);
		return 1;
	}
	if (login_target(l, err)) {
		login_give_back(l);
		a->logins[LOGIN_FAILED]++;
		log_error("login failed for a reason of our own: %s", err->text);
		return err_set(err, ERR_UNAVAILABLE, "logging in does not work right now; try again later");
	}
	l->job.kind = HASH_CHECK;
	l->job.done = on_hashed;
	if (hasher_submit(a->hasher, &l->job, 0)) {
		login_give_back(l);
		a->logins[LOGIN_BUSY]++;
		audit_refusal(l, call, "too-many-logins", 503);
		rest_fail_after(call, &(struct err){ ERR_FULL, "too many people log in just now; try again shortly" },
				RETRY_BUSY_S);
		return 1;
	}
	l->call = rest_defer(call);
	return 0;
}

void login_handle(struct rest_call *call)
{
	struct login *l = calloc(1, sizeof *l);
	struct err err;
	int rc;

	if (!l) {
		err_set(&err, ERR_INTERNAL, "out of memory");
		rc = -1;
	} else {
		l->auth = call->ctx;
		rc = login_start(l, call, &err);
	}
	if (!rc)
		return;
	if (rc < 0)
		rest_fail(call, &err);
	if (l)
		login_free(l);
}
