/* SPDX-License-Identifier: MIT
 *
 * What a certificate allows: rule R7, the form of a value, its noise. */
#include <string.h>

#include "lib/rest.h" /* json_decode */
#include "policy/certificate.h"
#include "policy/noise.h"
#include "policy/schema.h"

static struct flow_verdict verdict(bool allowed, const char *why)
{
	struct flow_verdict v = { .allowed = allowed, .rule = FLOW_R7_DECLASSIFY };
	memcpy(v.why, why, strlen(why) + 1);
	return v;
}

static bool has_tag(const struct label *l, const struct label_tag *tag)
{
	struct label_tag t;
	for (size_t at = 0; label_next_tag(l, &at, &t);)
		if (!strcmp(t.owner, tag->owner) && !strcmp(t.category, tag->category))
			return true;
	return false;
}

/* Has every owner agreed whose tag the value loses? */
static bool owners_agree(const struct policy *p, const struct certificate *c, const struct certificate_use *use)
{
	struct label_tag tag;
	if (label_all_owners(p, &c->to))
		return true; /* it loses none */
	if (label_all_owners(p, use->instance))
		return false; /* nobody can tell whose */
	for (size_t at = 0; label_next_tag(use->instance, &at, &tag);)
		if (!has_tag(&c->to, &tag) && (!use->authorised || !use->authorised(use->ctx, &tag, c->id)))
			return false;
	return true;
}

struct flow_verdict certificate_allows(const struct policy *p, const struct certificate *c,
				       const struct certificate_use *use)
{
	if (strcmp(use->image, c->image) != 0)
		return verdict(false, "the certificate is for another image");
	if (c->expires && use->now >= c->expires)
		return verdict(false, "the certificate has expired");
	if (!use->only_query)
		return verdict(false, "something else than the certificate's query was read for this request");
	if (use->group < c->min_group)
		return verdict(false, "the group is smaller than the certificate demands");
	if (!label_leq(p, use->instance, &c->from))
		return verdict(false, "the instance's label is not at or below the certificate's `from`");
	if (!label_leq(p, &c->to, use->ceiling))
		return verdict(false, "the certificate's `to` is not at or below the session's ceiling");
	if (!owners_agree(p, c, use))
		return verdict(false, "an owner whose data the value is made of has not authorised the certificate");
	return verdict(true, "the certificate allows it");
}

static int check_size(const struct certificate *c, const json_t *value, struct err *err)
{
	size_t len = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS);
	if (len > c->max_bytes)
		return err_set(err, ERR_TOO_LARGE, "the value has %zu bytes, more than the certificate's %u", len,
			       c->max_bytes);
	return 0;
}

int certificate_check_value(const struct certificate *c, const char *json, size_t len, json_t **out, struct err *err)
{
	*out = NULL;
	if (len > CERTIFICATE_BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "the value has more than %u bytes", CERTIFICATE_BYTES_MAX);
	json_t *value = json_decode(json, len, err);
	if (!value)
		return -1;
	if (schema_match(c->schema, value, err) < 0) {
		json_decref(value);
		return err_prefix(err, "the value");
	}
	if (check_size(c, value, err) < 0) {
		json_decref(value);
		return -1;
	}
	*out = value;
	return 0;
}

int certificate_add_noise(const struct certificate *c, json_t *value, void (*random)(void *out, size_t len),
			  struct err *err)
{
	return c->epsilon ? noise_add(c->schema, value, c->epsilon, random, err) : 0;
}
