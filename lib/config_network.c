/* SPDX-License-Identifier: MIT */
#include "lib/config_network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/names.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz", others[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

bool config_link_valid(const char *name)
{
	size_t len = strlen(name);
	return len && len < 16 && strchr(letters, name[0]) && strspn(name, others) == len;
}

static int parse_ipv4(const char *text, uint32_t *out)
{
	struct in_addr a;
	if (inet_pton(AF_INET, text, &a) != 1)
		return -1;
	*out = ntohl(a.s_addr);
	return 0;
}

/* Not 0/8, 127/8, nor multicast and what is above it. */
static bool unicast(uint32_t address)
{
	return address >> 24 != 0 && address >> 24 != 127 && address >> 24 < 224;
}

int config_subnet(const char *text, uint32_t *base, unsigned *prefix)
{
	char address[20];
	const char *slash = strchr(text, '/');
	if (!slash || (size_t)(slash - text) >= sizeof address || strlen(slash + 1) != 2 ||
	    strspn(slash + 1, "0123456789") != 2)
		return -1;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	*prefix = (unsigned)atoi(slash + 1);
	if (*prefix < 16 || *prefix > 29 || parse_ipv4(address, base) < 0 || !unicast(*base))
		return -1;
	return *base & (~0u >> *prefix) ? -1 : 0;
}

static int parse_address(const struct config *c, const struct yaml_value *v, uint32_t *out, struct err *err)
{
	uint32_t base = 0;
	unsigned prefix = 32;
	if (strcmp(yaml_text(v), "host") == 0) {
		*out = 0;
		return 0;
	}
	if (parse_ipv4(yaml_text(v), out) < 0 || !unicast(*out))
		return yaml_error(v, err, "address: expected host or a numeric IPv4 address");
	if (config_subnet(c->network.subnet, &base, &prefix) == 0 && (*out & ~(~0u >> prefix)) == base)
		return yaml_error(v, err, "address: %s is in the instances' own subnet; the bridge is called host",
				  yaml_text(v));
	return 0;
}

static int parse_port(const struct yaml_value *v, unsigned *out, struct err *err)
{
	const char *text = yaml_text(v);
	size_t len = strlen(text);
	*out = len && len <= 5 && strspn(text, "0123456789") == len ? (unsigned)atoi(text) : 0;
	return *out >= 1 && *out <= 65535 ? 0 : yaml_error(v, err, "port: expected 1..65535");
}

static int parse_label(const struct yaml_value *v, const char *key, char *out, struct err *err)
{
	size_t len = strlen(yaml_text(v));
	if (!len || len >= PPCE_LABEL_SIZE)
		return yaml_error(v, err, "%s: expected a label of the policy: level=NATO_SECRET", key);
	memcpy(out, yaml_text(v), len + 1);
	return 0;
}

static int parse_sink(struct config *c, const char *name, const struct yaml_value *map, struct config_sink *out,
		      struct err *err)
{
	static const char *const keys[] = { "address", "port", "label", "returns", NULL };
	const struct yaml_value *values[4]; /* the last may be absent */

	if (!name_valid(name))
		return yaml_error(map, err, "%s: expected a name: [a-z][a-z0-9-]{0,31}", name);
	if (yaml_kind(map) != YAML_MAP)
		return yaml_error(map, err, "%s: expected {address, port, label, returns}", name);
	if (yaml_check_keys(map, keys, err) < 0)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		values[i] = yaml_get(map, keys[i]);
		if (!values[i] && i < 3)
			return yaml_error(map, err, "%s: %s is missing", name, keys[i]);
		if (values[i] && yaml_kind(values[i]) != YAML_SCALAR)
			return yaml_error(values[i], err, "%s: expected one value", keys[i]);
	}
	snprintf(out->name, sizeof out->name, "%s", name);
	if (parse_address(c, values[0], &out->address, err) < 0 || parse_port(values[1], &out->port, err) < 0)
		return -1;
	return parse_label(values[2], keys[2], out->label, err) < 0
		       ? -1
		       : parse_label(values[3] ? values[3] : values[2], keys[3], out->returns, err);
}

int config_sinks(struct config *c, const struct yaml_value *sinks, struct err *err)
{
	if (!sinks || (yaml_kind(sinks) == YAML_SCALAR && !*yaml_text(sinks)))
		return 0;
	if (yaml_kind(sinks) != YAML_MAP)
		return yaml_error(sinks, err, "sinks: expected `name: {address, port, label, returns}` lines");
	size_t n = yaml_count(sinks);
	if (n > CONFIG_SINKS_MAX)
		return yaml_error(sinks, err, "sinks: at most %d", CONFIG_SINKS_MAX);
	for (size_t i = 0; i < n; i++)
		if (parse_sink(c, yaml_text(yaml_key(sinks, i)), yaml_member(sinks, i), &c->network.sink[i], err) < 0)
			return -1;
	c->network.sinks = (unsigned)n;
	return 0;
}
