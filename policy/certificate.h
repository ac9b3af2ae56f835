/* SPDX-License-Identifier: MIT
 *
 * Certificates of declassification (R7): "an image with this digest may release a value of this form, computed from this
 * query, from labels up to `from`, to the label `to`". Pure: decoding, checking of signatures, checking of a value.
 *
 * A certificate is DIR/certificates/NAME.json:
 *   {"certificate": {"name": "team-load", "image": "<sha-256 hex>", "query": "team_load",
 *                    "from": "level=SECRET,own=ALL", "to": "level=RESTRICTED",
 *                    "max_bytes": 512, "min_group": 5,
 *                    "schema": {...}, "epsilon": "0.5", "budget": "2", "expires": "2027-01-01"},
 *    "officer": "olga", "signature": "<base64 Ed25519 over the canonical JSON of `certificate`>"}
 * Canonical JSON: members sorted by bytes, no spaces, numbers as integers where they are (jansson's JSON_COMPACT |
 * JSON_SORT_KEYS). The officer's public key stands in DIR/officers/OFFICER.pub (base64, one line).
 *
 * Names of certificates and queries are [A-Za-z][A-Za-z0-9_-]{0,31}. `to` lies at or below `from`. `expires` is a date: the
 * certificate ends with its first second, UTC. Epsilon and budget come together, as decimals of at most six places; all
 * noise of one release together costs epsilon, so with n marked members each has the scale sensitivity * n / epsilon.
 *
 * Its identity is the SHA-256 of that canonical text: owners authorise it by this id, and a change makes another one.
 *
 * The schema is a subset of JSON Schema: type (object, array, string, integer, number, boolean, null), properties (all of
 * them required, no others allowed), items, maxItems, minimum, maximum, maxLength, enum; outermost an object or array.
 * Where epsilon is given, integers may (and one at least must) carry "noise": {"sensitivity": N}, 1 to 1000000: by how much
 * one owner can change the number. policy/schema.h has the details.
 */
#ifndef POLICY_CERTIFICATE_H
#define POLICY_CERTIFICATE_H

#include <jansson.h>

#include "policy/flow.h"

#define CERTIFICATE_BYTES_MAX (64u << 10)
#define CERTIFICATE_KEY_BYTES 32

struct certificate {
	char name[PPCE_NAME_SIZE];
	char image[PPCE_DIGEST_SIZE];
	char query[PPCE_NAME_SIZE]; /* the only query above `to` that may have been read for the value */
	char officer[PPCE_USER_SIZE];
	char id[PPCE_DIGEST_SIZE];
	struct label from, to;
	unsigned max_bytes;	  /* of the value's canonical JSON */
	unsigned min_group;	  /* distinct owners whose rows the query returned; >= 1 */
	uint64_t epsilon, budget; /* in millionths; 0: no noise */
	int64_t expires;	  /* Unix time in s; 0: never */
	json_t *schema;		  /* owned */
};

/* Untrusted bytes. Checks the form, the signature and the labels. `key` is the officer's public key. On -1 *out is free. */
int certificate_decode(const struct policy *p, const char *bytes, size_t len, const uint8_t key[CERTIFICATE_KEY_BYTES],
		       struct certificate *out, struct err *err);
void certificate_free(struct certificate *c);
/* The officer's name in a certificate, before its signature can be checked. */
int certificate_officer(const char *bytes, size_t len, char out[PPCE_USER_SIZE], struct err *err);

/* What the store knows when a value is to be released. */
struct certificate_use {
	const char *image;	      /* digest of the instance */
	const struct label *instance; /* its label now */
	const struct label *ceiling;  /* of the session: the value's label must be at or below it */
	bool only_query;	      /* nothing but `query` has raised the instance in this request */
	uint64_t group;		      /* distinct owners in what `query` returned */
	int64_t now;
	/* Has the owner of this tag authorised certificate `id`? Asked for every tag that from-labels lose. */
	bool (*authorised)(void *ctx, const struct label_tag *tag, const char *id);
	void *ctx;
};
/* R7, all but the value's own form. The owner tags that are removed are those of `instance` that `to` lacks; where the
 * instance is at ALL, nobody can have authorised: denied. */
struct flow_verdict certificate_allows(const struct policy *p, const struct certificate *c,
				       const struct certificate_use *use);
/* The value's form. Untrusted bytes; *out gets the decoded value, to be freed by json_decref(). */
int certificate_check_value(const struct certificate *c, const char *json, size_t len, json_t **out, struct err *err);
/* Adds integer noise of the discrete Laplace distribution (Canonne, Kamath, Steinke 2020, sampled without floating
 * point) to the members that the schema marks, then cuts them to their minimum and maximum. `random` fills bytes. The
 * caller has debited the ledger by epsilon before. Does nothing where there is no epsilon. On -1 the value must not leave. */
int certificate_add_noise(const struct certificate *c, json_t *value, void (*random)(void *out, size_t len),
			  struct err *err);

#endif
