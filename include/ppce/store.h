/* SPDX-License-Identifier: MIT
 *
 * Who speaks with the store.
 *
 * 1. vmmd, at DIR/run/store-attach.sock (SOCK_SEQPACKET, peer credentials checked by both), one struct attach_message per
 *    packet:
 *      ATTACH_TABLE     fd: [memfd of struct taint_table]; first message after connecting
 *      ATTACH_INSTANCE  fd: [the store's end of an instance's socket]; the instance's slot has been written before
 *      ATTACH_GONE      the instance .uuid has ended; its slot may be used again once the store answered
 *    store -> vmmd
 *      ATTACH_RELEASED  answer to ATTACH_GONE: nothing will be written to .slot any more
 *    When this connection ends, the store closes all sockets of instances; vmmd ends all instances that have one.
 *
 * 2. A tender for its guest, over that socket (SOCK_STREAM): struct store_call, then .length bytes that its guest wrote; the
 *    store answers each with struct store_reply and .length bytes. One call at a time. Both sides bound the other's
 *    lengths by PPCE_DATA_BYTES_MAX and close the socket on anything malformed.
 *
 * The bytes that guests write and read. All integers little-endian; text is followed by a NUL that its length does not
 * count; every item is padded with zeros to 8 bytes.
 *      call    struct data_call, then the name, then .count values
 *      rows    struct data_rows, then .columns names (values of type DATA_TEXT), then .rows * .columns values
 *      value   struct data_value, then .len bytes (DATA_TEXT and DATA_BLOB only)
 *      release answer to STORE_DECLASSIFY: struct release (below), then the value, canonical JSON
 */
#ifndef PPCE_STORE_H
#define PPCE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>
#include <ppce/ticket.h>

enum attach_type { ATTACH_TABLE = 1, ATTACH_INSTANCE, ATTACH_GONE, ATTACH_RELEASED = 16 };

struct attach_message {
	uint32_t type; /* enum attach_type */
	uint32_t slot; /* INSTANCE, GONE, RELEASED: in the taint table */
	char uuid[PPCE_UUID_SIZE];
	char app[PPCE_NAME_SIZE];
	char digest[PPCE_DIGEST_SIZE];	 /* of the image */
	char queries[PPCE_QUERIES_SIZE]; /* what the manifest lists: names joined by commas */
};

static inline bool attach_valid(const struct attach_message *m, size_t size)
{
	return size == sizeof *m && memchr(m->uuid, 0, sizeof m->uuid) && memchr(m->app, 0, sizeof m->app) &&
	       memchr(m->digest, 0, sizeof m->digest) && memchr(m->queries, 0, sizeof m->queries) &&
	       ((m->type >= ATTACH_TABLE && m->type <= ATTACH_GONE) || m->type == ATTACH_RELEASED);
}

#define STORE_CALL_MAGIC 0x43535050u
#define STORE_REPLY_MAGIC 0x52535050u

enum store_verb {
	STORE_QUERY = 1, /* payload: call; answer: rows */
	/* payload: call; answer: rows with no column and .rows = rows changed. That number, or a conflict, tells of the
	 * data there: a floating instance rises to the label it writes at; a fixed one below it always gets 0 rows. */
	STORE_WRITE,
	STORE_DECLASSIFY, /* payload: call: name of a certificate, one value DATA_TEXT: the value as JSON; answer: release */
};

struct store_call {
	uint32_t magic;
	uint32_t verb;	 /* enum store_verb, chosen by the guest: untrusted */
	uint32_t length; /* 1..PPCE_DATA_BYTES_MAX */
	uint32_t max;	 /* longest answer that the guest has room for, in bytes */
	struct ticket ticket;
};

/* Why a call failed; a guest sees it as the negative result of its call. */
enum store_status {
	STORE_OK = 0,
	STORE_DENIED = 1,  /* a flow rule, an automaton, a certificate or a ticket says no. Uniform: not which */
	STORE_UNKNOWN,	   /* no such query or certificate, or not one this app may use */
	STORE_INVALID,	   /* parameters: their number, a type, JSON that is none, malformed bytes */
	STORE_TOO_LARGE,   /* rows or bytes above the query's limit or the guest's room */
	STORE_DEADLINE,	   /* the query took too long */
	STORE_UNAVAILABLE, /* the database or the audit log does not work */
	STORE_NONE,	   /* the instance has no store, or no request is being served (tender's own answer) */
	STORE_CONFLICT,	   /* a constraint of the database */
};

struct store_reply {
	uint32_t magic;
	uint32_t status; /* enum store_status; .length is 0 unless STORE_OK */
	uint32_t length;
	uint32_t pad;
};

enum data_type { DATA_NULL, DATA_INT, DATA_REAL, DATA_TEXT, DATA_BLOB };

struct data_value {
	uint32_t type; /* enum data_type */
	uint32_t len;  /* DATA_TEXT, DATA_BLOB: bytes that follow, without the NUL; else 0 */
	union {
		int64_t integer;
		double real;
	};
};

struct data_call {
	uint32_t name_len; /* bytes of the name, without its NUL: 1..PPCE_NAME_SIZE-1 */
	uint32_t count;	   /* values: 0..PPCE_VALUES_MAX */
};

struct data_rows {
	uint32_t columns; /* 0..PPCE_VALUES_MAX */
	uint32_t rows;
};

/* A value that was declassified (R7). Made and authenticated by the store (MAC as in ticket.h, over everything but .mac, the
 * value included), carried by the guest in its answer, checked by the proxy: that it is of this very request and that
 * .label may go to the session. The proxy then delivers the value and nothing else of the app's. */
#define RELEASE_MAGIC 0x4c525050u
struct release {
	uint32_t magic;
	uint32_t length; /* bytes of the value that follow */
	char request_id[TICKET_REQUEST_ID_SIZE];
	char certificate[PPCE_NAME_SIZE];
	char label[PPCE_LABEL_SIZE]; /* what the value is released to, canonical text */
	uint8_t mac[TICKET_MAC_BYTES];
};

static inline size_t data_padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

#endif
