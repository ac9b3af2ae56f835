/* SPDX-License-Identifier: MIT */
#include "store/monitor.h"

#include <stdlib.h>
#include <string.h>

const char *ticket_verdict_code(enum ticket_verdict v)
{
	static const char *const codes[] = {
		[TICKET_OK] = "ok",	      [TICKET_FORGED] = "forged",     [TICKET_FOREIGN] = "foreign",
		[TICKET_EXPIRED] = "expired", [TICKET_REPLAYED] = "replayed", [TICKET_UNREADABLE] = "unreadable",
	};
	return codes[v];
}

int monitor_init(struct monitor *m, const struct policy *p, const char *uuid, const char *app,
		 const struct taint_value *slot, struct err *err)
{
	*m = (struct monitor){ .policy = p, .seq = slot->seq, .mode = FLOW_FIXED };
	if (strcmp(slot->uuid, uuid) != 0)
		return err_set(err, ERR_INVALID, "the slot is another instance's");
	strncpy(m->uuid, uuid, sizeof m->uuid - 1);
	strncpy(m->app, app, sizeof m->app - 1);
	m->sources_unknown = m->uses_unknown = slot->seq > 0; /* it was served before, by a store that is gone */
	if (label_parse(p, slot->label, &m->label, err) < 0)
		return -1;
	m->ceiling = m->label;
	return 0;
}

static void forget(struct monitor *m)
{
	free(m->source);
	free(m->use);
	m->source = NULL;
	m->use = NULL;
	m->nsources = m->nuses = 0;
	m->sources_unknown = m->uses_unknown = false;
}

void monitor_free(struct monitor *m)
{
	forget(m);
}

static enum ticket_verdict check(const struct monitor *m, const uint8_t key[TICKET_KEY_BYTES], const struct ticket *t,
				 int64_t now_ms)
{
	if (!ticket_valid(t) || !ticket_authentic(t, key))
		return TICKET_FORGED;
	if (strcmp(t->instance, m->uuid) != 0 || strcmp(t->app, m->app) != 0)
		return TICKET_FOREIGN;
	if (t->expires <= now_ms)
		return TICKET_EXPIRED;
	if (t->seq < m->seq || t->seq == 0)
		return TICKET_REPLAYED;
	if (t->seq == m->seq && m->mac_known && memcmp(m->mac, t->mac, sizeof m->mac) != 0)
		return TICKET_REPLAYED;
	return TICKET_OK;
}

enum ticket_verdict monitor_ticket(struct monitor *m, const uint8_t key[TICKET_KEY_BYTES], const struct ticket *t,
				   int64_t now_ms)
{
	struct label r, ceiling;
	enum ticket_verdict v = check(m, key, t, now_ms);
	if (v != TICKET_OK)
		return v;
	if (label_parse(m->policy, t->label, &r, NULL) < 0 || label_parse(m->policy, t->ceiling, &ceiling, NULL) < 0)
		return TICKET_UNREADABLE;
	if (t->seq > m->seq && (t->flags & TICKET_PRISTINE)) {
		forget(m);
		m->label = r;
	} else {
		label_join(m->policy, &m->label, &r, &m->label);
	}
	m->seq = t->seq;
	memcpy(m->mac, t->mac, sizeof m->mac);
	m->mac_known = true;
	m->mode = t->flags & TICKET_FIXED ? FLOW_FIXED : FLOW_FLOAT;
	m->ceiling = ceiling;
	return TICKET_OK;
}

struct flow_verdict monitor_read(const struct monitor *m, const struct label *data)
{
	struct label after;
	return flow_read(m->policy, m->mode, &m->label, &m->ceiling, data, &after);
}

struct flow_verdict monitor_write(const struct monitor *m, const struct label *data)
{
	return flow_write(m->policy, &m->label, &m->ceiling, data);
}

static struct monitor_source *source_of(struct monitor *m, const char *query, bool *fresh)
{
	*fresh = false;
	for (size_t i = 0; i < m->nsources; i++)
		if (!strcmp(m->source[i].query, query))
			return &m->source[i];
	if (!m->source)
		m->source = calloc(MONITOR_SOURCES_MAX, sizeof *m->source);
	if (!m->source || m->nsources == MONITOR_SOURCES_MAX)
		return NULL;
	struct monitor_source *s = &m->source[m->nsources++];
	strncpy(s->query, query, sizeof s->query - 1);
	label_bottom(m->policy, &s->label);
	*fresh = true;
	return s;
}

void monitor_join(struct monitor *m, const struct label *data)
{
	if (m->mode == FLOW_FLOAT)
		label_join(m->policy, &m->label, data, &m->label);
}

void monitor_raise(struct monitor *m, const char *query, const struct label *data, uint64_t group,
		   const uint8_t cohort[MONITOR_COHORT_BYTES])
{
	bool fresh;
	monitor_join(m, data);
	struct monitor_source *s = source_of(m, query, &fresh);
	if (!s) {
		m->sources_unknown = true;
		return;
	}
	label_join(m->policy, &s->label, data, &s->label);
	if (fresh) {
		s->group = group;
		memcpy(s->cohort, cohort, sizeof s->cohort);
	} else if (memcmp(s->cohort, cohort, sizeof s->cohort) != 0) {
		s->group = 0; /* two groups can be told apart by their difference, which may be one person */
	}
}

void monitor_add_use(struct monitor *m, const struct monitor_use *use)
{
	for (size_t i = 0; i < m->nuses; i++) {
		const struct monitor_use *u = &m->use[i];
		if (u->event == use->event && !strcmp(u->automaton, use->automaton) && !strcmp(u->owner, use->owner) &&
		    !strcmp(u->category, use->category))
			return;
	}
	if (m->nuses == MONITOR_USES_MAX) {
		m->uses_unknown = true;
		return;
	}
	if ((m->nuses & (m->nuses - 1)) == 0) { /* full at every power of two */
		size_t size = m->nuses ? 2 * m->nuses : 1;
		struct monitor_use *all = realloc(m->use, size * sizeof *all);
		if (!all) {
			m->uses_unknown = true;
			return;
		}
		m->use = all;
	}
	m->use[m->nuses++] = *use;
}

bool monitor_only_query(const struct monitor *m, const char *query, const struct label *to, uint64_t *group)
{
	*group = 0;
	if (m->sources_unknown)
		return false;
	for (size_t i = 0; i < m->nsources; i++) {
		const struct monitor_source *s = &m->source[i];
		if (!strcmp(s->query, query))
			*group = s->group;
		else if (!label_leq(m->policy, &s->label, to))
			return false;
	}
	return true;
}

int monitor_taint(const struct monitor *m, struct taint_value *out, struct err *err)
{
	memset(out, 0, sizeof *out);
	out->seq = m->seq;
	memcpy(out->uuid, m->uuid, sizeof out->uuid);
	return label_format(m->policy, &m->label, out->label, err);
}
