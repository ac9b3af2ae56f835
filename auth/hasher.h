/* SPDX-License-Identifier: MIT
 *
 * Argon2id on threads of their own, so that the loop's thread keeps answering while passwords are hashed. Bounds:
 * `workers` threads, each with `memory_bytes` while it hashes and at a lower priority than the loop; `queue` waiting
 * jobs for logins, and as many for operators, who are served first. More are refused at once.
 */
#ifndef AUTH_HASHER_H
#define AUTH_HASHER_H

#include <sodium.h>
#include <uv.h>

#include "lib/err.h"

#define PASSWORD_MIN 8
#define PASSWORD_MAX 1024 /* bytes */

enum hash_kind { HASH_CHECK, HASH_MAKE };

enum hash_result {
	HASH_DONE,	/* HASH_CHECK: the password is right; HASH_MAKE: `fresh` is set */
	HASH_WRONG,	/* HASH_CHECK only: it is not, or the stored text is no hash */
	HASH_FAILED,	/* no memory for Argon2 */
	HASH_CANCELLED, /* the daemon ends */
};

struct hash_job { /* part of the caller's own structure; the hasher's from submit to done */
	enum hash_kind kind;
	char password[PASSWORD_MAX + 1]; /* wiped by the hasher before done is called */
	char stored[crypto_pwhash_STRBYTES];
	enum hash_result result;
	char fresh[crypto_pwhash_STRBYTES]; /* HASH_CHECK: "" unless `stored` had other parameters than today's */
	void (*done)(struct hash_job *job); /* on the loop's thread */
	struct hash_job *next;
};

struct hasher_config {
	unsigned workers, queue, passes;
	size_t memory_bytes;
};

struct hasher;

/* Hashes once with the parameters, so that a machine that cannot is an error at the start. */
struct hasher *hasher_new(uv_loop_t *loop, const struct hasher_config *config, struct err *err);
/* 0, or -1 when the queue is full; then the job stays the caller's. */
int hasher_submit(struct hasher *h, struct hash_job *job, int from_operator);
unsigned hasher_waiting(struct hasher *h);
/* Waiting jobs end as HASH_CANCELLED, running ones are finished; frees itself when the last is done. */
void hasher_stop(struct hasher *h);

/* A hash that no password matches, with the parameters of `model`, or of today when model is "". Checking against it
 * takes as long as checking against `model`. */
void hasher_decoy(const struct hasher *h, const char *model, char out[crypto_pwhash_STRBYTES]);

#endif
