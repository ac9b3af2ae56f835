/* SPDX-License-Identifier: MIT
 *
 * Messages between auth and a proxy: SOCK_SEQPACKET socket DIR/run/auth-session.sock, peer credentials checked by both
 * (same user or root); one struct session_message per packet. Logging in and out goes over auth's REST interface; this
 * socket is for the request path only.
 *
 * proxy -> auth
 *   SESSION_LOOKUP   .id, .token_hash: who is this?
 *   SESSION_REVOKED_OK  .id of the SESSION_REVOKE: nothing of it is cached any more
 * auth -> proxy
 *   SESSION_FOUND    answer to .id; all fields below are set. The proxy may cache it until .expires
 *   SESSION_UNKNOWN  answer to .id; not to be cached
 *   SESSION_REVOKE   forget .token_hash, or with .user set every session of that user whose ceiling is not at or below
 *                    .ceiling (empty: all), and end every instance that is bound to the user or works for one of those
 *                    sessions, unless its label is at or below .ceiling too (R9). When the last of them has ended, answer
 *                    SESSION_REVOKED_OK with the same .id. A .token_hash ends that one session; only where
 *                    .ceiling is set too, instances that work for it and are not at or below it end as well. auth
 *                    answers the operator only after that; a proxy that does not answer within 2 s is
 *                    disconnected, and a disconnected proxy must forget every session it has cached (fail closed).
 */
#ifndef PPCE_SESSION_H
#define PPCE_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define SESSION_TOKEN_BYTES 32 /* random; handed out as unpadded base64url text (43 characters) */
#define SESSION_HASH_BYTES 32  /* crypto_generichash (BLAKE2b-256) of the token's text */

enum session_type {
	SESSION_LOOKUP = 1,
	SESSION_REVOKED_OK,
	SESSION_FOUND = 16,
	SESSION_UNKNOWN,
	SESSION_REVOKE,
};

struct session_message {
	uint32_t type; /* enum session_type */
	uint32_t pad;
	uint64_t id;
	int64_t expires; /* Unix time in seconds */
	uint64_t epoch;	 /* FOUND: of the clearance that .ceiling was checked against; REVOKE: the new one */
	uint8_t token_hash[SESSION_HASH_BYTES];
	char session[PPCE_UUID_SIZE];
	char user[PPCE_USER_SIZE];
	char class_name[PPCE_CLASS_SIZE]; /* may be empty */
	char floor[PPCE_LABEL_SIZE];	  /* L of the session (R0), canonical text */
	char ceiling[PPCE_LABEL_SIZE];	  /* C of the session: the label asked for at login, else the clearance */
	char purpose[PPCE_PURPOSE_SIZE];  /* may be empty */
};

static inline bool session_valid(const struct session_message *m, size_t size)
{
	return size == sizeof *m && memchr(m->session, 0, sizeof m->session) && memchr(m->user, 0, sizeof m->user) &&
	       memchr(m->class_name, 0, sizeof m->class_name) && memchr(m->floor, 0, sizeof m->floor) &&
	       memchr(m->ceiling, 0, sizeof m->ceiling) && memchr(m->purpose, 0, sizeof m->purpose) &&
	       ((m->type >= SESSION_LOOKUP && m->type <= SESSION_REVOKED_OK) ||
		(m->type >= SESSION_FOUND && m->type <= SESSION_REVOKE));
}

#endif
