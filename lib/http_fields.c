/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/http_conn.h"
#include "lib/names.h"

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} table[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			return table[i].text;
	return "Unknown";
}

bool http_field_hop_by_hop(const char *name)
{
	static const char *const names[] = {
		"Connection",	       "Content-Length",   "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Connection", "TE",	 "Trailer",
		"Transfer-Encoding",   "Upgrade"
	};
	if (!strchr("ckptuCKPTU", name[0]))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

bool http_field_valid(const struct http_field *field)
{
	return http_is_token(field->name, strlen(field->name)) && http_is_value(field->value, strlen(field->value));
}

const char *http_field_get(const struct http_exchange *x, const char *name)
{
	for (unsigned i = 0; i < x->nfields; i++)
		if (strcasecmp(x->fields[i].name, name) == 0)
			return x->fields[i].value;
	return NULL;
}

/* 16 random digits of this process and 10 of a counter, base 32: unique, and not a secret. */
void http_request_id(char out[27])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	static char prefix[16];
	static uint64_t counter;

	if (counter == 0) {
		unsigned char random[sizeof(prefix)];
		random_bytes(random, sizeof(random));
		for (size_t i = 0; i < sizeof(prefix); i++)
			prefix[i] = digits[random[i] & 31];
	}
	uint64_t n = ++counter;
	memcpy(out, prefix, sizeof(prefix));
	for (size_t i = 26; i-- > sizeof(prefix); n >>= 5)
		out[i] = digits[n & 31];
	out[26] = '\0';
}

int http_address_parse(const char *text, struct sockaddr_storage *out, struct err *err)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	bool v6 = text[0] == '[';
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon || len >= sizeof(host) || len < 3 || (v6 && colon[-1] != ']') ||
	    strspn(colon + 1, "0123456789") == 0 || colon[1 + strspn(colon + 1, "0123456789")] ||
	    strlen(colon + 1) > 5 || atoi(colon + 1) > 65535)
		return err_set(err, ERR_INVALID, "'%s' is not ADDRESS:PORT (as 127.0.0.1:8080 or [::1]:8080)", text);
	memcpy(host, text + v6, len - 2 * v6);
	host[len - 2 * v6] = '\0';
	memset(out, 0, sizeof(*out));
	int port = atoi(colon + 1);
	int e = v6 ? uv_ip6_addr(host, port, (struct sockaddr_in6 *)out)
		   : uv_ip4_addr(host, port, (struct sockaddr_in *)out);
	if (e)
		return err_set(err, ERR_INVALID, "'%s' is not an IP address and port", text);
	return 0;
}
