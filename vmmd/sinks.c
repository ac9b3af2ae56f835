/* SPDX-License-Identifier: MIT */
#include "vmmd/sinks.h"

#include <stdio.h>
#include <string.h>

#include "lib/rest.h"

/* The next name of "a,b" into `name`; false at the end. A name that does not fit comes out cut, which no sink has. */
static bool next_name(const char **list, char name[PPCE_NAME_SIZE + 1])
{
	size_t len = strcspn(*list, ",");
	if (!**list)
		return false;
	snprintf(name, PPCE_NAME_SIZE + 1, "%.*s", (int)len, *list);
	*list += len + ((*list)[len] == ',');
	return true;
}

static const struct config_sink *find(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->network.sinks; i++)
		if (strcmp(c->network.sink[i].name, name) == 0)
			return &c->network.sink[i];
	return NULL;
}

static int unknown(const struct config *c, const char *name, struct err *err)
{
	const char *names[CONFIG_SINKS_MAX + 1] = { NULL };
	for (unsigned i = 0; i < c->network.sinks; i++)
		names[i] = c->network.sink[i].name;
	const char *near = text_nearest(name, names);
	if (near)
		return err_set(err, ERR_INVALID, "sinks: there is no sink `%s` in ppce.yaml; did you mean %s?", name,
			       near);
	return err_set(err, ERR_INVALID, "sinks: there is no sink `%s` in ppce.yaml: network.sinks names them", name);
}

int sinks_check(const struct config *c, const char *wanted, struct err *err)
{
	const struct config_sink *seen[PPCE_SINKS_MAX];
	char name[PPCE_NAME_SIZE + 1];
	unsigned n = 0;

	if (*wanted && wanted[strlen(wanted) - 1] == ',')
		return err_set(err, ERR_INVALID, "sinks: expected names joined by commas: a,b");
	while (next_name(&wanted, name)) {
		const struct config_sink *s = find(c, name);
		if (!s)
			return unknown(c, name, err);
		for (unsigned i = 0; i < n; i++)
			if (seen[i] == s)
				return err_set(err, ERR_INVALID, "sinks: %s is named twice", name);
		seen[n++] = s; /* different ones of the configuration: never more than it has */
	}
	return 0;
}

static int parse(const struct policy *p, const struct config_sink *s, const char *text, const char *key,
		 struct label *out, struct err *err)
{
	if (label_parse(p, text, out, err) == 0)
		return 0;
	err->kind = ERR_CONFIG;
	return err_prefix(err, "network.sinks: %s: %s", s->name, key);
}

int sinks_check_labels(const struct policy *p, const struct config *c, struct err *err)
{
	struct label label;
	for (unsigned i = 0; i < c->network.sinks; i++) {
		const struct config_sink *s = &c->network.sink[i];
		if (parse(p, s, s->label, "label", &label, err) < 0 ||
		    parse(p, s, s->returns, "returns", &label, err) < 0)
			return -1;
	}
	return 0;
}

/* R6 first: what leaves weighs more than what comes back. */
static int judge(const struct policy *p, const struct config_sink *s, const struct label *instance,
		 struct sinks_grant *grant, struct flow_verdict *out, struct err *err)
{
	struct label to, back, after, bottom;
	if (parse(p, s, s->label, "label", &to, err) < 0 || parse(p, s, s->returns, "returns", &back, err) < 0)
		return -1;
	*out = flow_egress(p, instance, &to);
	if (out->allowed)
		*out = flow_read(p, FLOW_FIXED, instance, instance, &back, &after);
	label_bottom(p, &bottom);
	if (out->allowed && !label_equal(p, &back, &bottom))
		grant->hears = true;
	return 0;
}

static void add(struct sinks_grant *out, const char *name, const struct flow_verdict *verdict)
{
	if (verdict->allowed) {
		memcpy(out->granted[out->ngranted++], name, PPCE_NAME_SIZE);
		return;
	}
	memcpy(out->refused[out->nrefused].name, name, PPCE_NAME_SIZE);
	out->refused[out->nrefused++].verdict = *verdict;
}

int sinks_judge(const struct policy *p, const struct config *c, const char *wanted, const char *label,
		struct sinks_grant *out, struct err *err)
{
	char name[PPCE_NAME_SIZE + 1];
	struct flow_verdict verdict;
	struct label instance;

	out->ngranted = 0;
	out->nrefused = 0;
	out->hears = false;
	if (sinks_check(c, wanted, err) < 0) {
		err->kind = ERR_CONFIG; /* it was in ppce.yaml when the app was added */
		return -1;
	}
	if (label_parse(p, label, &instance, err) < 0)
		return -1;
	while (next_name(&wanted, name)) {
		const struct config_sink *s = find(c, name);
		if (judge(p, s, &instance, out, &verdict, err) < 0)
			return -1;
		add(out, s->name, &verdict);
	}
	return 0;
}

void sinks_list(const struct sinks_grant *grant, char out[NET_SINKS_SIZE])
{
	size_t len = 0;
	out[0] = '\0';
	for (unsigned i = 0; i < grant->ngranted; i++)
		len += (size_t)snprintf(out + len, NET_SINKS_SIZE - len, "%s%s", i ? "," : "", grant->granted[i]);
}

void sinks_describe(const struct config *c, const char *granted, struct control_net *out)
{
	char name[PPCE_NAME_SIZE + 1];
	out->nsinks = 0;
	while (out->nsinks < PPCE_SINKS_MAX && next_name(&granted, name)) {
		const struct config_sink *s = find(c, name);
		if (!s)
			continue;
		memcpy(out->sink[out->nsinks].name, s->name, sizeof s->name);
		out->sink[out->nsinks].ipv4 = s->address ? s->address : out->gateway;
		out->sink[out->nsinks++].port = (uint16_t)s->port;
	}
}
