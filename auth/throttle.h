/* SPDX-License-Identifier: MIT
 *
 * A limit on tries per key (a user name, an address) in fixed memory.
 *
 * Every key has a bucket of `limit` tries that refills at `limit` per minute. A try is taken before the password is
 * hashed and given back when it turns out right, so that parallel guesses cannot overtake the count. Only one try comes
 * back, the bucket is not refilled: an attacker gains nothing by logging in to an account of his own in between.
 *
 * The table never grows and never forgets a failure: keys are spread over sets of THROTTLE_WAYS by a keyed hash (an
 * attacker cannot aim at a set), and a new key that finds its set full of live counters takes the place of the lowest
 * one *and inherits its count*. Whatever was pushed out comes back with at least the count it had, so flooding the table
 * with made-up names can never reset a victim's counter; it can only make strangers wait a little too early. (One try
 * less is remembered for every login that is under way and then succeeds in the same set: a handful at most.)
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THROTTLE_WAYS 8

struct throttle;

/* `entries` is a power of two >= THROTTLE_WAYS (16 bytes each); limit: tries per minute, 1..100000. NULL: no memory. */
struct throttle *throttle_new(size_t entries, unsigned limit);
void throttle_free(struct throttle *t);

/* A key's identity for the calls below; keyed with a secret of this table. */
uint64_t throttle_key(const struct throttle *t, const void *bytes, size_t len);

/* Takes one try at time `now` (ns, monotonic, > 0). Returns 0, or the seconds until the next try is possible (>= 1);
 * then nothing was taken. */
unsigned throttle_take(struct throttle *t, uint64_t key, uint64_t now);
/* Would throttle_take() succeed? Same answer, nothing taken. */
unsigned throttle_peek(const struct throttle *t, uint64_t key, uint64_t now);
void throttle_give_back(struct throttle *t, uint64_t key);

/* What a client address counts as: an IPv4 address, the /64 of an IPv6 one (a single host owns all of it), or the text
 * as it stands. A port is cut off. Writes at most 64 bytes; returns their number. */
size_t throttle_address(const char *text, unsigned char out[64]);

#endif
