// SPDX-License-Identifier: MIT
#include "store/permit.h"

#include <string.h>

bool permit_applies(const struct policy *p, const struct certificate *c, const char *image, const char *query,
		    const struct label *ceiling, int64_t now)
{
	return !strcmp(c->image, image) && !strcmp(c->query, query) && (!c->expires || now < c->expires) &&
	       label_leq(p, &c->to, ceiling);
}

static bool has_tag(const struct label *l, const struct label_tag *tag)
{
	struct label_tag t;
	size_t at = 0;
	while (label_next_tag(l, &at, &t))
		if (!strcmp(t.owner, tag->owner) && !strcmp(t.category, tag->category))
			return true;
	return false;
}

bool permit_allows(const struct policy *p, const struct permit *permit, const struct label *data)
{
	struct label_tag tag;
	size_t at = 0;
	if (!permit->certificate || label_all_owners(p, data) || !label_leq(p, data, &permit->certificate->from))
		return false;
	while (label_next_tag(data, &at, &tag))
		if (!has_tag(&permit->certificate->to, &tag) && !authorised_has(&permit->authorised, &tag))
			return false;
	return true;
}

void permit_free(struct permit *permit)
{
	authorised_free(&permit->authorised);
	certificates_free(permit->held);
	*permit = (struct permit){ 0 };
}
