/* SPDX-License-Identifier: MIT
 *
 * The certificates of declassification that are in force: DIR/certificates/NAME.json, signed by an officer whose key is
 * DIR/officers/OFFICER.pub. Read at the start and on reload; one that is bad is left out and logged, the others stand. */
#ifndef STORE_CERTIFICATES_H
#define STORE_CERTIFICATES_H

#include "policy/certificate.h"

struct certificates;

struct certificates *certificates_load(const struct policy *p, const char *dir, struct err *err);
struct certificates *certificates_hold(struct certificates *c); /* calls under way outlive a reload; returns c */
void certificates_free(struct certificates *c);			/* the last holder's frees */
size_t certificates_count(const struct certificates *c);
const struct certificate *certificates_at(const struct certificates *c, size_t i);
const struct certificate *certificates_find(const struct certificates *c, const char *name);
size_t certificates_bad(const struct certificates *c); /* files that were left out */

#endif
