/* SPDX-License-Identifier: MIT
 *
 * The head of an HTTP/1.1 request, taken apart in place. Strict, because what two readers understand differently is how
 * requests are smuggled: no folded lines, no spaces around names, one Content-Length in digits, no transfer coding. */
#include "guest/http.h"

#include <string.h>
#include <strings.h>

static int parse_target(char *line, struct http_head *h)
{
	char *path = strchr(line, ' ');
	char *version = path ? strchr(path + 1, ' ') : NULL;

	if (!version || path == line || path[1] != '/')
		return 400;
	*path = *version = '\0';
	bool old = strcmp(version + 1, "HTTP/1.0") == 0;
	if (!old && strcmp(version + 1, "HTTP/1.1") != 0)
		return 400;
	h->close = old;
	h->head_only = strcmp(line, "HEAD") == 0;
	h->ask->method = line;
	h->ask->path = path + 1;
	h->ask->query = "";
	char *query = strchr(path + 1, '?');
	if (query) {
		*query = '\0';
		h->ask->query = query + 1;
	}
	return 0;
}

static int parse_length(const char *value, struct http_head *h)
{
	size_t n = 0;

	if (!*value || h->has_length)
		return 400;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return 400;
		n = n * 10 + (size_t)(*value - '0');
		if (n > h->body_max)
			return 413;
	}
	h->has_length = true;
	h->ask->body_len = n;
	return 0;
}

static bool lists_close(const char *value)
{
	while (*value) {
		value += strspn(value, " \t,");
		size_t len = strcspn(value, " \t,");
		if (len == 5 && strncasecmp(value, "close", 5) == 0)
			return true;
		value += len;
	}
	return false;
}

/* Who asks. Only what the platform sends in these fields is believed: its proxy removes them from clients' requests. */
static void take_identity(const char *name, const char *value, struct app_ask *ask)
{
	const struct {
		const char *name;
		const char **to;
	} fields[] = { { "app", &ask->app },	  { "user", &ask->user },	{ "class", &ask->class_name },
		       { "label", &ask->label },  { "session", &ask->session }, { "purpose", &ask->purpose },
		       { "request-id", &ask->id } };

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (strcasecmp(name, fields[i].name) == 0)
			*fields[i].to = value;
}

static int take_field(const char *name, const char *value, struct http_head *h)
{
	static const char *const hop[] = { "keep-alive", "proxy-connection", "te", "trailer", "upgrade" };

	if (strcasecmp(name, "content-length") == 0)
		return parse_length(value, h);
	if (strcasecmp(name, "transfer-encoding") == 0)
		return 501;
	if (strcasecmp(name, "expect") == 0) {
		h->expects = strcasecmp(value, "100-continue") == 0;
		return h->expects ? 0 : 417;
	}
	if (strcasecmp(name, "connection") == 0) {
		h->close |= lists_close(value);
		return 0;
	}
	if (strncasecmp(name, "ppce-", 5) == 0) {
		take_identity(name + 5, value, h->ask);
		return 0;
	}
	for (size_t i = 0; i < sizeof hop / sizeof *hop; i++)
		if (strcasecmp(name, hop[i]) == 0)
			return 0;
	if (h->ask->nheaders == PPCE_HEADERS_MAX)
		return 431;
	h->ask->headers[h->ask->nheaders++] = (struct ppce_header){ name, value };
	return 0;
}

static int parse_field(char *line, struct http_head *h)
{
	char *colon = strchr(line, ':');

	if (!colon || colon == line || strcspn(line, " \t\r\n") < (size_t)(colon - line) || strpbrk(colon, "\r\n"))
		return 400;
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	for (char *end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t');)
		*--end = '\0';
	return take_field(line, value, h);
}

int http_parse(char *text, struct http_head *h)
{
	int status = 0;

	for (unsigned i = 0; status == 0; i++) {
		char *end = strstr(text, "\r\n");
		if (end == text)
			return i > 0 ? 0 : 400;
		*end = '\0';
		status = i == 0 ? parse_target(text, h) : parse_field(text, h);
		text = end + 2;
	}
	return status;
}
