/* SPDX-License-Identifier: MIT
 *
 * A ticket says, for one request, who asks and what may be read for them. The proxy makes it, the tender passes it on with
 * every call of its guest, the store believes nothing else about the request. It is authenticated by a MAC (BLAKE2b-256
 * keyed with the 32 bytes of DIR/secrets/ticket.key, over everything before .mac), so that a tender that was taken over can
 * use only tickets of requests that were given to its own instance, and only until they end.
 *
 * The store refuses a ticket whose MAC, instance or app is not that of the socket it came from ("forged", "foreign"),
 * that has expired ("expired"), or whose .seq is lower than one it has seen from this instance ("replayed").
 */
#ifndef PPCE_TICKET_H
#define PPCE_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define TICKET_VERSION 1u
#define TICKET_KEY_BYTES 32
#define TICKET_MAC_BYTES 32
#define TICKET_REQUEST_ID_SIZE 40

#define TICKET_PRISTINE 1u /* the instance was reset before this request: it holds nothing above .label */
#define TICKET_FIXED 2u	   /* the instance is shared by a class: its label never rises (R8) */

struct ticket {
	uint32_t version; /* TICKET_VERSION */
	uint32_t flags;	  /* TICKET_* */
	uint64_t seq;	  /* of the request, rising per instance, from 1 */
	uint64_t epoch;	  /* policy epoch of the session's clearance */
	int64_t expires;  /* Unix time in ms: the request's deadline */
	char instance[PPCE_UUID_SIZE];
	char app[PPCE_NAME_SIZE];
	char user[PPCE_USER_SIZE];
	char class_name[PPCE_CLASS_SIZE];
	char session[PPCE_UUID_SIZE];
	char purpose[PPCE_PURPOSE_SIZE];
	char request_id[TICKET_REQUEST_ID_SIZE];
	char label[PPCE_LABEL_SIZE];   /* r: where the request started, canonical text */
	char ceiling[PPCE_LABEL_SIZE]; /* C of the session, canonical text */
	uint8_t mac[TICKET_MAC_BYTES];
};

/* Are all texts terminated and the version ours? To be asked before the MAC; says nothing about authenticity. */
static inline bool ticket_valid(const struct ticket *t)
{
	return t->version == TICKET_VERSION && memchr(t->instance, 0, sizeof t->instance) &&
	       memchr(t->app, 0, sizeof t->app) && memchr(t->user, 0, sizeof t->user) &&
	       memchr(t->class_name, 0, sizeof t->class_name) && memchr(t->session, 0, sizeof t->session) &&
	       memchr(t->purpose, 0, sizeof t->purpose) && memchr(t->request_id, 0, sizeof t->request_id) &&
	       memchr(t->label, 0, sizeof t->label) && memchr(t->ceiling, 0, sizeof t->ceiling);
}

#endif
