/* SPDX-License-Identifier: MIT
 *
 * One table says everything about the keys: where each is stored, its range and its default. The default goes through
 * the same code as a value from the file.
 */
#include "lib/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/config_network.h"
#include "lib/log.h"
#include "lib/yaml.h"

enum field_type {
	FIELD_NUMBER,
	FIELD_BOOL,
	FIELD_BACKEND,
	FIELD_LISTEN,
	FIELD_LOG_LEVEL,
	FIELD_USER,
	FIELD_DURABILITY,
	FIELD_BRIDGE,
	FIELD_SUBNET,
	FIELD_PROGRAM
};

struct field {
	const char *section; /* "" for the top */
	const char *key;
	enum field_type type;
	size_t at, size; /* of the member in struct config */
	unsigned min, max;
	const char *fallback;
};

#define MEMBER(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define NUMBER(section, key, min, max, fallback)                                      \
	{                                                                             \
#section, #key, FIELD_NUMBER, MEMBER(section.key), min, max, fallback \
	}

static const struct field fields[] = {
	{ "", "listen", FIELD_LISTEN, MEMBER(listen), 0, 0, "127.0.0.1:8080" },
	{ "", "expose_timing", FIELD_BOOL, MEMBER(expose_timing), 0, 0, "false" },
	{ "", "secure_cookie", FIELD_BOOL, MEMBER(secure_cookie), 0, 0, "true" },
	{ "", "log_level", FIELD_LOG_LEVEL, MEMBER(log_level), 0, 0, "info" },
	NUMBER(auth, argon2_memory_mib, 8, 1024, "64"),
	NUMBER(auth, argon2_passes, 1, 16, "2"),
	NUMBER(auth, hash_workers, 1, 16, "1"),
	NUMBER(auth, hash_queue, 1, 1024, "16"),
	NUMBER(auth, session_minutes, 1, 43200, "480"),
	NUMBER(auth, tries_per_minute, 1, 1000, "10"),
	{ "vmmd", "backend", FIELD_BACKEND, MEMBER(vmmd.backend), 0, 0, "auto" },
	NUMBER(vmmd, shells, 0, 64, "2"),
	NUMBER(vmmd, boot_ms, 100, 600000, "10000"),
	NUMBER(vmmd, reboot_s, 0, 604800, "3600"),
	NUMBER(vmmd, max_instances, 1, 65536, "1024"),
	{ "vmmd", "labelled_logs", FIELD_BOOL, MEMBER(vmmd.labelled_logs), 0, 0, "false" },
	{ "vmmd", "tender_user", FIELD_USER, MEMBER(vmmd.tender_user), 0, 0, "nobody" },
	{ "vmmd", "solo5_hvt", FIELD_PROGRAM, MEMBER(vmmd.solo5_hvt), 0, 0, "auto" },
	NUMBER(proxy, connections, 1, 65536, "1024"),
	NUMBER(proxy, queue, 0, 65536, "256"),
	NUMBER(proxy, queue_ms, 1, 600000, "5000"),
	NUMBER(proxy, request_ms, 1, 3600000, "10000"),
	NUMBER(proxy, header_bytes, 1024, 1048576, "16384"),
	NUMBER(proxy, target_bytes, 64, 65536, "8192"),
	NUMBER(proxy, body_bytes, 0, 16777216, "1048576"),
	NUMBER(proxy, head_ms, 10, 600000, "10000"),
	NUMBER(proxy, body_ms, 10, 600000, "30000"),
	NUMBER(proxy, idle_ms, 10, 600000, "60000"),
	NUMBER(proxy, blocked_grid_ms, 0, 10000, "100"),
	NUMBER(proxy, health_s, 0, 3600, "10"),
	{ "audit", "durability", FIELD_DURABILITY, MEMBER(audit.durability), 0, 0, "process" },
	NUMBER(audit, rotate_mib, 1, 4096, "64"),
	NUMBER(audit, checkpoint_ms, 10, 3600000, "1000"),
	{ "network", "enabled", FIELD_BOOL, MEMBER(network.enabled), 0, 0, "false" },
	{ "network", "bridge", FIELD_BRIDGE, MEMBER(network.bridge), 0, 0, "auto" },
	{ "network", "subnet", FIELD_SUBNET, MEMBER(network.subnet), 0, 0, "10.77.0.0/22" },
	NUMBER(network, taps, 0, 256, "8"),
	NUMBER(network, reuse_s, 0, 86400, "60"),
};

#define FIELDS (sizeof fields / sizeof *fields)
#define SECTIONS (sizeof sections / sizeof *sections)
static const char *const sections[] = { "auth", "vmmd", "proxy", "audit", "network" };

/* Whole decimal number: digits only, so no sign, space or unit slips through. Returns false past 10 digits. */
static bool parse_number(const char *text, unsigned long *out)
{
	size_t len = strlen(text);
	if (!len || len > 10 || strspn(text, "0123456789") != len)
		return false;
	*out = strtoul(text, NULL, 10);
	return true;
}

/* "1.2.3.4:80" or "[::1]:80". Numeric only: what the door listens on must not depend on a resolver. */
static bool listen_valid(const char *text)
{
	char host[64];
	unsigned char addr[sizeof(struct in6_addr)];
	unsigned long port;
	const char *colon = strrchr(text, ':');
	if (!colon || strlen(text) >= sizeof host || strlen(colon + 1) > 5 || !parse_number(colon + 1, &port) ||
	    port > 65535)
		return false;
	size_t len = (size_t)(colon - text);
	memcpy(host, text, len);
	host[len] = '\0';
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, addr) == 1;
	}
	return inet_pton(AF_INET, host, addr) == 1;
}

static bool unix_user_valid(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text) &&
	       *text && *text != '-';
}

/* Writes the problem into `why` (at least 128 bytes) and returns -1. */
static int set_number(const struct field *f, const char *text, unsigned *out, char *why, size_t size)
{
	unsigned long n;
	if (!parse_number(text, &n)) {
		snprintf(why, size, "expected a whole number");
		return -1;
	}
	if (n < f->min || n > f->max) {
		snprintf(why, size, "%lu is out of range, %u..%u", n, f->min, f->max);
		return -1;
	}
	*out = (unsigned)n;
	return 0;
}

static int set_backend(const char *text, enum config_backend *out)
{
	static const char *const names[] = {
		[BACKEND_AUTO] = "auto", [BACKEND_KVM] = "kvm", [BACKEND_PROCESS] = "process"
	};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum config_backend)i;
			return 0;
		}
	}
	return -1;
}

static int set_durability(const char *text, enum config_durability *out)
{
	*out = strcmp(text, "power") == 0 ? DURABILITY_POWER : DURABILITY_PROCESS;
	return *out == DURABILITY_POWER || strcmp(text, "process") == 0 ? 0 : -1;
}

static int set_text(const struct field *f, const char *text, char *out)
{
	enum log_level level;
	uint32_t base;
	unsigned prefix;
	if (strlen(text) >= f->size || (f->type == FIELD_LISTEN && !listen_valid(text)) ||
	    (f->type == FIELD_LOG_LEVEL && log_level_parse(text, &level) < 0) ||
	    (f->type == FIELD_USER && !unix_user_valid(text)) ||
	    (f->type == FIELD_BRIDGE && !config_link_valid(text)) ||
	    (f->type == FIELD_PROGRAM && strcmp(text, "auto") != 0 && *text != '/') ||
	    (f->type == FIELD_SUBNET && config_subnet(text, &base, &prefix) < 0))
		return -1;
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int set_field(struct config *c, const struct field *f, const char *text, char *why, size_t size)
{
	static const char *const expected[] = {
		[FIELD_BOOL] = "expected true or false",
		[FIELD_BACKEND] = "expected auto, kvm or process",
		[FIELD_LISTEN] = "expected a numeric address and a port: 127.0.0.1:8080 or [::1]:8080",
		[FIELD_LOG_LEVEL] = "expected error, warn, info or debug",
		[FIELD_USER] = "expected the name of a Unix user, at most 32 letters",
		[FIELD_DURABILITY] = "expected process or power",
		[FIELD_BRIDGE] = "expected auto, or a name for the bridge: [a-z][a-z0-9-]{0,14}",
		[FIELD_PROGRAM] = "expected auto, or the absolute path of a program",
		[FIELD_SUBNET] =
			"expected an IPv4 network of /16 to /29 such as 10.77.0.0/22, with no bits set after it",
	};
	void *out = (char *)c + f->at;
	int rc = -1;
	switch (f->type) {
	case FIELD_NUMBER:
		return set_number(f, text, out, why, size);
	case FIELD_BOOL:
		rc = !strcmp(text, "true") || !strcmp(text, "false") ? 0 : -1;
		*(bool *)out = !strcmp(text, "true");
		break;
	case FIELD_BACKEND:
		rc = set_backend(text, out);
		break;
	case FIELD_DURABILITY:
		rc = set_durability(text, out);
		break;
	case FIELD_LISTEN:
	case FIELD_LOG_LEVEL:
	case FIELD_USER:
	case FIELD_BRIDGE:
	case FIELD_SUBNET:
	case FIELD_PROGRAM:
		rc = set_text(f, text, out);
		break;
	}
	if (rc < 0)
		snprintf(why, size, "%s", expected[f->type]);
	return rc;
}

static void set_defaults(struct config *c)
{
	char why[128];
	memset(c, 0, sizeof *c);
	for (size_t i = 0; i < FIELDS; i++)
		if (set_field(c, &fields[i], fields[i].fallback, why, sizeof why) < 0)
			abort(); /* the table contradicts itself; a test sees it */
}

/* Reads the keys of one section ("" is the top, where the sections themselves are keys too). */
static int read_section(struct config *c, const struct yaml_value *map, const char *section, struct err *err)
{
	const char *keys[FIELDS + SECTIONS + 2];
	size_t n = 0;
	for (size_t i = 0; i < FIELDS; i++)
		if (!strcmp(fields[i].section, section))
			keys[n++] = fields[i].key;
	for (size_t i = 0; !*section && i < SECTIONS; i++)
		keys[n++] = sections[i];
	if (!strcmp(section, "network"))
		keys[n++] = "sinks";
	keys[n] = NULL;
	if (yaml_check_keys(map, keys, err) < 0)
		return -1;
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];
		const struct yaml_value *v = strcmp(f->section, section) != 0 ? NULL : yaml_get(map, f->key);
		char why[128];
		if (!v)
			continue;
		if (yaml_kind(v) != YAML_SCALAR)
			return yaml_error(v, err, "%s: expected one value, not a list or a map", f->key);
		if (set_field(c, f, yaml_text(v), why, sizeof why) < 0)
			return yaml_error(v, err, "%s: %s", f->key, why);
	}
	return strcmp(section, "network") != 0 ? 0 : config_sinks(c, yaml_get(map, "sinks"), err);
}

static int read_file(struct config *c, const struct yaml_value *root, struct err *err)
{
	if (!root) /* an empty file: all defaults */
		return 0;
	if (read_section(c, root, "", err) < 0)
		return -1;
	for (size_t i = 0; i < SECTIONS; i++) {
		const struct yaml_value *map = yaml_get(root, sections[i]);
		/* "auth:" with all its keys commented out is an empty scalar */
		if (!map || (yaml_kind(map) == YAML_SCALAR && !*yaml_text(map)))
			continue;
		if (read_section(c, map, sections[i], err) < 0)
			return -1;
	}
	return 0;
}

int config_parse(const char *name, const char *text, size_t len, struct config *out, struct err *err)
{
	set_defaults(out);
	struct yaml_file *file = yaml_parse(name, text, len, err);
	if (!file)
		return -1;
	int rc = read_file(out, yaml_root(file), err);
	yaml_close(file);
	return rc;
}

/* Absolute path of `dir`, short enough for the longest socket name under it. */
static int resolve_dir(const char *dir, char *out, size_t size, struct err *err)
{
	static const char longest[] = "/run/auth-session.sock";
	const size_t max = sizeof((struct sockaddr_un *)0)->sun_path - sizeof longest;
	char real[PATH_MAX];
	if (!realpath(dir, real))
		return err_errno(err, ERR_CONFIG, "%s", dir);
	if (strlen(real) > max || strlen(real) >= size)
		return err_set(err, ERR_CONFIG,
			       "%s: a path of %zu bytes is too long for the sockets under it, at most %zu", real,
			       strlen(real), max);
	memcpy(out, real, strlen(real) + 1);
	return 0;
}

int config_load(const char *dir, struct config *out, struct err *err)
{
	char real[sizeof out->dir], path[sizeof out->dir + 16];
	set_defaults(out);
	if (resolve_dir(dir, real, sizeof real, err) < 0)
		return -1;
	snprintf(path, sizeof path, "%s/ppce.yaml", real);
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return err_set(err, ERR_CONFIG, "%s: no such file; `ppce init %s` writes one", path, dir);
	struct yaml_file *file = yaml_load(path, err);
	if (!file)
		return -1;
	int rc = read_file(out, yaml_root(file), err);
	yaml_close(file);
	memcpy(out->dir, real, sizeof real);
	return rc;
}

const char *config_path(const struct config *c, const char *tail, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", c->dir, tail);
	return out;
}
