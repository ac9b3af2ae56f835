/* SPDX-License-Identifier: MIT
 *
 * Making certificates for tests: signed by a key that comes from a fixed seed. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include "policy/certificate.h"

/* The inner object of a certificate that is right, for the axes of certificates_policy(). The caller owns it. */
json_t *certificates_inner(void);
struct policy *certificates_policy(void);
/* Signed text of the whole file, to be freed. Steals `inner`. `signer` 0 is the officer, others are somebody else. */
char *certificates_sign(json_t *inner, unsigned char signer);
const uint8_t *certificates_key(void); /* of the officer */
/* A certificate with this schema and, if not NULL, epsilon (budget 1000). */
struct certificate certificates_with_schema(const struct policy *p, const char *schema, const char *epsilon);

#endif
