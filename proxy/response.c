/* SPDX-License-Identifier: MIT */
#include "proxy/response.h"

#include <ppce/wire.h>
#include <string.h>
#include <strings.h>

#include "lib/ticket.h"
#include "proxy/headers.h"

/* RFC 9110, 5.6.2 */
static bool is_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_value_char(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool all_chars(const char *text, size_t len, bool (*test)(unsigned char))
{
	for (size_t i = 0; i < len; i++)
		if (!test((unsigned char)text[i]))
			return false;
	return true;
}

/* Would this Set-Cookie plant a session? A cookie without a name counts too: browsers send "=a=b" back as "a=b". */
static bool sets_session(const char *value)
{
	value += strspn(value, " \t");
	size_t pair = strcspn(value, ";");
	const char *equals = memchr(value, '=', pair);
	if (!equals)
		return true;
	size_t len = (size_t)(equals - value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	return len == 0 || (len == sizeof HEADERS_COOKIE - 1 && strncasecmp(value, HEADERS_COOKIE, len) == 0);
}

enum response_verdict response_field(const char *name, size_t name_len, const char *value, size_t value_len)
{
	if (name_len == 0 || !all_chars(name, name_len, is_token_char) || !all_chars(value, value_len, is_value_char))
		return RESPONSE_BAD;
	if (headers_hop(name) || strncasecmp(name, "ppce-", 5) == 0 || strcasecmp(name, "server-timing") == 0)
		return RESPONSE_DROP;
	if (strcasecmp(name, "set-cookie") == 0 && sets_session(value))
		return RESPONSE_DROP;
	return RESPONSE_KEEP;
}

static int add_field(struct response *out, size_t *bytes, const char *name, size_t name_len, const char *value,
		     size_t value_len, struct err *err)
{
	*bytes += name_len + value_len;
	if (*bytes > RESPONSE_HEADER_BYTES)
		return err_set(err, ERR_BAD_GATEWAY, "the answer's header is larger than %u bytes",
			       RESPONSE_HEADER_BYTES);
	switch (response_field(name, name_len, value, value_len)) {
	case RESPONSE_BAD:
		return err_set(err, ERR_BAD_GATEWAY, "header field %u of the answer is not valid", out->nfields);
	case RESPONSE_KEEP:
		if (out->nfields >= PPCE_HEADERS_MAX)
			return err_set(err, ERR_BAD_GATEWAY, "the answer has more than %d header fields",
				       PPCE_HEADERS_MAX);
		out->fields[out->nfields++] = (struct http_field){ name, value };
		return 0;
	case RESPONSE_DROP:
		return 0;
	}
	return 0;
}

/* These never have a body (RFC 9110, 6.4.1); what an app says in one would be read as the next answer. */
static void set_body(struct response *out, const void *body, size_t len)
{
	bool none = out->status == 204 || out->status == 304;
	out->body = none ? "" : body;
	out->body_len = none ? 0 : len;
}

int response_decode(const void *msg, size_t size, struct response *out, struct err *err)
{
	const struct wire_response *r = wire_response_decode(msg, size);
	size_t bytes = 0;
	if (!r)
		return err_set(err, ERR_BAD_GATEWAY, "the answer's layout is not valid");
	out->status = (int)r->status;
	out->nfields = 0;
	for (uint32_t i = 0; i < r->fields; i++) {
		const struct wire_field *f = &wire_fields(msg, sizeof *r)[i];
		if (add_field(out, &bytes, wire_text(msg, f->name), f->name.len, wire_text(msg, f->value), f->value.len,
			      err) < 0)
			return -1;
	}
	set_body(out, wire_text(msg, r->body), r->body.len);
	out->release = r->release == 1;
	return 0;
}

int response_released(struct response *r, const uint8_t key[TICKET_KEY_BYTES], const char *request_id,
		      struct release *head, struct err *err)
{
	static const struct http_field json = { "Content-Type", "application/json" };
	if (r->body_len < sizeof *head)
		return err_set(err, ERR_BAD_GATEWAY, "the release is cut off");
	memcpy(head, r->body, sizeof *head);
	const char *value = (const char *)r->body + sizeof *head;
	if (head->magic != RELEASE_MAGIC || head->length != r->body_len - sizeof *head ||
	    !memchr(head->request_id, 0, sizeof head->request_id) ||
	    !memchr(head->certificate, 0, sizeof head->certificate) || !memchr(head->label, 0, sizeof head->label))
		return err_set(err, ERR_BAD_GATEWAY, "the release is malformed");
	if (!release_authentic(head, value, key))
		return err_set(err, ERR_BAD_GATEWAY, "the release was not made by the store");
	if (strcmp(head->request_id, request_id) != 0)
		return err_set(err, ERR_BAD_GATEWAY, "the release was made for another request");
	*r = (struct response){ .status = 200, .nfields = 1, .body = value, .body_len = head->length };
	r->fields[0] = json;
	return 0;
}

static const char *keep_bytes(struct buf *keep, const void *bytes, size_t len)
{
	char *at = keep->data + keep->len;
	if (len)
		memcpy(at, bytes, len);
	at[len] = '\0';
	keep->len += len + 1;
	return at;
}

int response_keep(struct response *r, struct buf *keep)
{
	size_t size = r->body_len + 1;
	for (unsigned i = 0; i < r->nfields; i++)
		size += strlen(r->fields[i].name) + strlen(r->fields[i].value) + 2;
	keep->len = 0;
	keep->failed = false;
	if (!buf_reserve(keep, size)) /* all at once: nothing moves from here on */
		return -1;
	for (unsigned i = 0; i < r->nfields; i++) {
		r->fields[i].name = keep_bytes(keep, r->fields[i].name, strlen(r->fields[i].name));
		r->fields[i].value = keep_bytes(keep, r->fields[i].value, strlen(r->fields[i].value));
	}
	r->body = keep_bytes(keep, r->body, r->body_len);
	return 0;
}

int response_from_http(const struct http_field *fields, unsigned nfields, int status, const char *body, size_t body_len,
		       struct response *out, struct err *err)
{
	size_t bytes = 0;
	if (status < 200 || status > 599)
		return err_set(err, ERR_BAD_GATEWAY, "the answer's status is %d", status);
	out->status = status;
	out->nfields = 0;
	out->release = false;
	for (unsigned i = 0; i < nfields; i++) {
		if (add_field(out, &bytes, fields[i].name, strlen(fields[i].name), fields[i].value,
			      strlen(fields[i].value), err) < 0)
			return -1;
		out->release |= strcasecmp(fields[i].name, "PPCE-Release") == 0 && strcmp(fields[i].value, "1") == 0;
	}
	set_body(out, body, body_len);
	return 0;
}
