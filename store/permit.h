/* SPDX-License-Identifier: MIT
 *
 * What a certificate permits an instance to read above its session's ceiling: that is, the ceiling of an instance is the
 * session's joined with what a certificate for this image and query lets through. Whoever reads that way is tainted
 * above the session, so that R4 blocks each of its answers; only the certificate's release leaves. Pure.
 */
#ifndef STORE_PERMIT_H
#define STORE_PERMIT_H

#include "policy/certificate.h"
#include "store/authorise.h"
#include "store/certificates.h"

struct permit {
	struct certificates *held;
	const struct certificate *certificate; /* NULL: none */
	struct authorised authorised;	       /* whose owners agree */
};

/* Is the certificate good for this image, this query, and a session with this ceiling? */
bool permit_applies(const struct policy *p, const struct certificate *c, const char *image, const char *query,
		    const struct label *ceiling, int64_t now);
/* May data with this label be read? At or below `from`, and every tag that `to` lacks authorised. */
bool permit_allows(const struct policy *p, const struct permit *permit, const struct label *data);
void permit_free(struct permit *permit);

#endif
