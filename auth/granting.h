/* SPDX-License-Identifier: MIT
 *
 * The making of a grant: in one transaction the grant, the event for the store and the audit record, which is written
 * before the grant takes effect; then the store is told. And what all routes of grants say and record of one.
 */
#ifndef AUTH_GRANTING_H
#define AUTH_GRANTING_H

#include "auth/caller.h"
#include "auth/grants.h"

/* Makes a valid grant that does not exist yet and answers the call: 201, or why not. */
void granting_run(struct rest_call *call, const struct caller *c, const struct grant *g);

json_t *grant_json(const struct grant *g);
/* Adds to an answer that the store has not taken the event, where that is so. Answers, once. `answer` is stolen. */
void granting_reply(struct rest_call *call, int status, json_t *answer, enum outbox_fate fate);

/* Who the automaton is told has acted: `actor`, or the owner where an operator did it, who acts for owners (a form on
 * paper has to be entered by somebody; the audit log has the operator). */
struct grant_actor {
	char name[PPCE_USER_SIZE], class_name[PPCE_CLASS_SIZE];
};
int grant_actor_find(struct db *db, const char *actor, const char *owner, struct grant_actor *out, struct err *err);

/* What a record says of a grant. The texts are in `words`, which must live as long as the record. */
struct grant_words {
	char path[128], tag[128];
};
void grant_record(const struct grant *g, struct grant_words *words, struct audit_record *r);
/* Is the category one of the policy's? ERR_INVALID with the nearest. */
int category_check(const struct policy *p, const char *category, struct err *err);
/* Printable UTF-8 without control characters? (JSON has made sure that it is UTF-8.) */
bool text_printable(const char *text);

#endif
