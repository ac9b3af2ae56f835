/* SPDX-License-Identifier: MIT */
#include "proxy/headers.h"

#include <string.h>
#include <strings.h>

#define TOKEN_TEXT 43 /* characters of a token: 32 bytes in base64url, see ppce/session.h */

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;
}

/* Does `name` begin with `prefix` (lower-case), or equal it if `whole`? */
static bool matches(const char *name, const char *prefix, bool whole)
{
	for (; *prefix; name++, prefix++)
		if (fold(*name) != *prefix)
			return false;
	return !whole || !*name;
}

static bool among(const char *name, const char *const *names, size_t count, bool whole)
{
	for (size_t i = 0; i < count; i++)
		if (matches(name, names[i], whole))
			return true;
	return false;
}
#define AMONG(name, names, whole) among(name, names, sizeof(names) / sizeof *(names), whole)

bool headers_hop(const char *name)
{
	static const char *const names[] = { "connection",     "content-length", "expect",
					     "http2-settings", "keep-alive",	 "te",
					     "trailer",	       "trailers",	 "transfer-encoding",
					     "upgrade" };
	return AMONG(name, names, true) || matches(name, "proxy-", false);
}

bool headers_identity(const char *name)
{
	static const char *const names[] = {
		"client-ip", "forwarded",	"from",		 "true-client-ip", "via",
		"x-account", "x-client-ip",	"x-client-cert", "x-email",	   "x-groups",
		"x-real-ip", "x-role",		"x-roles",	 "x-scope",	   "x-tenant",
		"x-uid",     "cf-connecting-ip"
	};
	static const char *const prefixes[] = { "ppce-",      "x-ppce-",    "x-forwarded-", "x-user",
						"x-remote-",  "remote-",    "x-auth-",	    "x-authenticated-",
						"x-identity", "x-webauth-", "x-original-",  "ssl-client-",
						"x-ssl-" };
	return AMONG(name, names, true) || AMONG(name, prefixes, false);
}

bool headers_method(const char *method)
{
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(method, names[i]) == 0)
			return true;
	return false;
}

int headers_label(const struct http_exchange *x, const char **label)
{
	unsigned n = 0;
	*label = NULL;
	for (unsigned i = 0; i < x->nfields; i++) {
		if (strcasecmp(x->fields[i].name, "PPCE-Label") == 0) {
			*label = x->fields[i].value;
			n++;
		}
	}
	return n > 1 ? -1 : 0;
}

bool headers_token_form(const char *token, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = token[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return len == TOKEN_TEXT;
}

/* One `name=value` of a Cookie field, from *at to `end` of it; white space around is left out. */
struct cookie {
	const char *name, *value, *end;
};

/* Takes the next pair at *at; false at the end. */
static bool cookie_next(const char **at, struct cookie *out)
{
	const char *p = *at + strspn(*at, "; \t");
	if (!*p)
		return false;
	const char *end = p + strcspn(p, ";");
	*at = end;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	const char *equals = memchr(p, '=', (size_t)(end - p));
	*out = (struct cookie){ .name = p, .value = equals ? equals + 1 : p, .end = end };
	return true;
}

static bool cookie_is_token(const struct cookie *c)
{
	size_t len = sizeof HEADERS_COOKIE - 1;
	return c->value == c->name + len + 1 && memcmp(c->name, HEADERS_COOKIE, len) == 0;
}

/* Notes one more place where a token was found. -1 if it is not the one found before. */
static int found(const char **token, size_t *len, const char *at, size_t at_len, struct err *err)
{
	if (*token && (*len != at_len || memcmp(*token, at, at_len) != 0))
		return err_set(err, ERR_INVALID, "two different session tokens in one request");
	*token = at;
	*len = at_len;
	return 0;
}

static int found_in_cookie(const char *value, const char **token, size_t *len, struct err *err)
{
	struct cookie c;
	while (cookie_next(&value, &c))
		if (cookie_is_token(&c) && found(token, len, c.value, (size_t)(c.end - c.value), err) < 0)
			return -1;
	return 0;
}

int headers_token(const struct http_exchange *x, const char **token, size_t *len, struct err *err)
{
	*token = NULL;
	*len = 0;
	for (unsigned i = 0; i < x->nfields; i++) {
		const char *value = x->fields[i].value;
		if (strcasecmp(x->fields[i].name, "authorization") == 0 && strncasecmp(value, "bearer ", 7) == 0) {
			value += 7 + strspn(value + 7, " ");
			if (found(token, len, value, strlen(value), err) < 0)
				return -1;
		} else if (strcasecmp(x->fields[i].name, "cookie") == 0) {
			if (found_in_cookie(value, token, len, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* Copies a Cookie value without the token's pair. Returns the text in `scratch` from *start on, or NULL if all of it
 * went away or memory is short. */
static bool strip_cookie(const char *value, struct buf *scratch, size_t *start, size_t *len)
{
	struct cookie c;
	*start = scratch->len;
	while (cookie_next(&value, &c)) {
		if (cookie_is_token(&c))
			continue;
		if (scratch->len > *start)
			buf_append(scratch, "; ", 2);
		buf_append(scratch, c.name, (size_t)(c.end - c.name));
	}
	*len = scratch->len - *start;
	buf_append(scratch, "", 1);
	return *len > 0 && !scratch->failed;
}

static size_t forward_one(const struct http_field *f, struct headers_field *out)
{
	if (strcasecmp(f->name, "authorization") == 0 || headers_hop(f->name) || headers_identity(f->name))
		return 0;
	*out = (struct headers_field){ f->name, f->value, strlen(f->name), strlen(f->value) };
	return 1;
}

size_t headers_forward(const struct http_exchange *x, struct headers_field *out, size_t max, struct buf *cookie)
{
	size_t n = 0, start, len;
	const struct http_field *cookies[4]; /* more Cookie fields than that are no browser's: left out */
	size_t ncookies = 0, at[4], lens[4];
	cookie->len = 0;
	for (unsigned i = 0; i < x->nfields && n < max; i++) {
		if (strcasecmp(x->fields[i].name, "cookie") != 0) {
			n += forward_one(&x->fields[i], &out[n]);
		} else if (ncookies < 4 && strip_cookie(x->fields[i].value, cookie, &start, &len)) {
			at[ncookies] = start;
			lens[ncookies] = len;
			cookies[ncookies++] = &x->fields[i];
		}
	}
	/* Only now does the scratch buffer not move any more. */
	for (size_t i = 0; i < ncookies && n < max; i++)
		out[n++] = (struct headers_field){ cookies[i]->name, cookie->data + at[i], strlen(cookies[i]->name),
						   lens[i] };
	return n;
}
