/* SPDX-License-Identifier: MIT
 *
 * Two files that libc reads to turn names into addresses: the sinks that this instance was granted, and that names are
 * looked up nowhere else. */
#include "guest/net.h"

enum { LINE = 15 + 1 + PPCE_NAME_SIZE - 1 + 1 }; /* address, tab, name, newline */

static char text[PPCE_SINKS_MAX * LINE];
static const char sources[] = "hosts: files\n";
static struct los_file hosts = { "/etc/hosts", (const uint8_t *)text, 0 };
static const struct los_file nsswitch = { "/etc/nsswitch.conf", (const uint8_t *)sources, sizeof sources - 1 };

static size_t put_number(char *to, unsigned n)
{
	size_t len = n > 99 ? 3 : n > 9 ? 2 : 1;

	for (size_t i = len; i > 0; i--, n /= 10)
		to[i - 1] = (char)('0' + n % 10);
	return len;
}

static size_t put_sink(char *to, const struct ppce_net_sink *sink)
{
	size_t n = 0;

	for (int shift = 24; shift >= 0; shift -= 8) {
		n += put_number(to + n, sink->ipv4 >> shift & 255);
		to[n++] = shift ? '.' : '\t';
	}
	for (size_t i = 0; i < sizeof sink->name - 1 && sink->name[i]; i++)
		to[n++] = sink->name[i];
	to[n++] = '\n';
	return n;
}

const struct los_file *los_net_file(const char *path)
{
	const struct ppce_net *net = los_net_page();

	if (!net)
		return NULL;
	if (los_streq(path, nsswitch.path))
		return &nsswitch;
	if (!los_streq(path, hosts.path))
		return NULL;
	if (!hosts.size)
		for (unsigned i = 0; i < net->nsinks && i < PPCE_SINKS_MAX; i++)
			hosts.size += put_sink(text + hosts.size, &net->sink[i]);
	return &hosts;
}
