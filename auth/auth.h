/* SPDX-License-Identifier: MIT
 *
 * What the parts of ppce-auth share: everything is made by main.c and lives as long as the loop. One thread (the loop's)
 * touches it; the hash workers see only their jobs.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "auth/db.h"
#include "auth/hasher.h"
#include "auth/lookup.h"
#include "auth/outbox.h"
#include "auth/throttle.h"
#include "lib/audit.h"
#include "lib/config.h"
#include "lib/rest.h"
#include "policy/policy.h"

enum login_outcome { LOGIN_OK, LOGIN_WRONG, LOGIN_LABEL, LOGIN_THROTTLED, LOGIN_BUSY, LOGIN_FAILED, LOGIN_OUTCOMES };

struct auth {
	struct config config;
	struct policy *policy;
	struct db *db;
	struct audit *audit;
	struct throttle *by_user, *by_address;
	struct hasher *hasher;
	struct lookup *lookup;
	struct outbox *outbox;
	uv_timer_t expiry;	  /* withdraw.c */
	uint8_t decoy_secret[32]; /* chooses what an unknown name is checked against; new at each start */
	int64_t audited_refusal;  /* last second in which a throttled try was written to the audit log */
	uint64_t logins[LOGIN_OUTCOMES];
	uint64_t revocations;
};

/* Handlers of the route table in rest_api.c. */
void login_handle(struct rest_call *call);    /* login.c: POST /v1/sessions */
void sessions_list(struct rest_call *call);   /* rest_sessions.c */
void sessions_delete(struct rest_call *call); /* rest_sessions.c: logout and revocation */
void users_list(struct rest_call *call);      /* rest_users.c */
void users_get(struct rest_call *call);
void users_post(struct rest_call *call);
void users_patch(struct rest_call *call);
void users_delete(struct rest_call *call);
void users_end_sessions(struct rest_call *call);

void grants_list(struct rest_call *call); /* rest_grants.c */
void grants_get(struct rest_call *call);
void grants_put(struct rest_call *call);
void grants_delete(struct rest_call *call);
void authorisations_get(struct rest_call *call);
void glass_break(struct rest_call *call); /* rest_glass.c */
void glass_review(struct rest_call *call);
void erase_post(struct rest_call *call);

/* rest_api.c: the route table; `ctx` of every call is the struct auth. */
void rest_api_config(struct auth *a, struct rest_config *out);
/* Answers 204, or 500 when `record` could not be written. */
void rest_finish(struct auth *a, struct rest_call *call, const struct audit_record *record);
/* Writes a record, filling in what the exchange knows. -1: the caller must not release anything; it was logged. */
int audit_exchange(struct auth *a, const struct http_exchange *x, const struct audit_record *record);
/* Copies the body's "password" and wipes the copies of it that are still in the request; its length is not checked below
 * PASSWORD_MAX. "" if absent. */
int body_password(const struct rest_call *call, char out[PASSWORD_MAX + 1], struct err *err);

/* A label in `key` of the body: 1 and the label, 0 if absent or "", -1 with ERR_INVALID. */
int body_label(const struct auth *a, const json_t *body, const char *key, struct label *out, struct err *err);

#endif
