/* SPDX-License-Identifier: MIT */
#include "store/owners.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

static int compare(const void *a, const void *b)
{
	const struct label_tag *x = a, *y = b;
	int c = strcmp(x->owner, y->owner);
	return c ? c : strcmp(x->category, y->category);
}

/* Room for twice as many; what is double goes first, since labels that are joined share most of their tags. */
static void make_room(struct owners *o)
{
	size_t size = o->size ? 2 * o->size : 64;
	struct label_tag *tag = realloc(o->tag, size * sizeof *tag);
	if (!tag) {
		o->failed = true;
		return;
	}
	o->tag = tag;
	o->size = size;
}

static void sort(struct owners *o)
{
	size_t n = 0;
	if (o->sorted || !o->n)
		return;
	qsort(o->tag, o->n, sizeof *o->tag, compare);
	for (size_t i = 0; i < o->n; i++)
		if (!n || compare(&o->tag[n - 1], &o->tag[i]) != 0)
			o->tag[n++] = o->tag[i];
	o->n = n;
	o->sorted = true;
}

void owners_add(struct owners *o, const char *owner, const char *category)
{
	if (o->n == o->size)
		make_room(o);
	if (o->n == o->size)
		return;
	struct label_tag *t = &o->tag[o->n++];
	memset(t, 0, sizeof *t);
	strncpy(t->owner, owner, sizeof t->owner - 1);
	strncpy(t->category, category, sizeof t->category - 1);
	o->sorted = false;
}

void owners_add_label(struct owners *o, const struct policy *p, const struct label *l)
{
	struct label_tag tag;
	size_t at = 0;
	if (label_all_owners(p, l))
		o->all = true;
	while (label_next_tag(l, &at, &tag))
		owners_add(o, tag.owner, tag.category);
}

void owners_free(struct owners *o)
{
	free(o->tag);
	*o = (struct owners){ 0 };
}

uint64_t owners_count(struct owners *o, uint8_t cohort[OWNERS_COHORT_BYTES])
{
	crypto_generichash_state state;
	uint64_t count = 0;
	sort(o);
	crypto_generichash_init(&state, NULL, 0, OWNERS_COHORT_BYTES);
	for (size_t i = 0; i < o->n; i++) {
		if (i && !strcmp(o->tag[i - 1].owner, o->tag[i].owner))
			continue;
		crypto_generichash_update(&state, (const uint8_t *)o->tag[i].owner, strlen(o->tag[i].owner) + 1);
		count++;
	}
	crypto_generichash_final(&state, cohort, OWNERS_COHORT_BYTES);
	return count;
}

bool owners_text(struct owners *o, size_t *at, size_t max, struct buf *out)
{
	size_t first = *at;
	sort(o);
	if (o->all) { /* everybody's, so naming some would say too little */
		buf_puts(out, "ALL");
		*at = o->n ? o->n : 1;
		return first == 0;
	}
	while (*at < o->n) {
		const struct label_tag *t = &o->tag[*at];
		if (out->len + strlen(t->owner) + strlen(t->category) + 2 > max)
			break;
		buf_printf(out, "%s%s/%s", out->len ? "," : "", t->owner, t->category);
		++*at;
	}
	return *at > first;
}
