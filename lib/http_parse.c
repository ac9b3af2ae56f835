/* SPDX-License-Identifier: MIT */
#include "lib/http_parse.h"

#include <string.h>
#include <strings.h>

/* tchar of RFC 9110, 5.6.2 */
static const char token_chars[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,	    ['&'] = 1,	       ['\''] = 1,
	['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,	    ['^'] = 1,	       ['_'] = 1,
	['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool http_is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!token_chars[(unsigned char)s[i]])
			return false;
	return len > 0;
}

bool http_is_value(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int scan_bounds(const struct http_scan *s, size_t end, const struct http_bounds *b, struct err *err)
{
	if (s->lines == 0) {
		if (end - s->begin > b->first_line)
			return err_set(err, ERR_URI_TOO_LONG, "the first line is longer than %zu bytes", b->first_line);
		return 0;
	}
	if (end - s->first > b->header_bytes)
		return err_set(err, ERR_HEADERS_LARGE, "the header fields are longer than %zu bytes", b->header_bytes);
	return 0;
}

int http_scan(struct http_scan *s, const char *in, size_t len, const struct http_bounds *b, struct err *err)
{
	while (s->pos < len) {
		const char *lf = memchr(in + s->pos, '\n', len - s->pos);
		size_t end = lf ? (size_t)(lf - in) : len;
		if (scan_bounds(s, end, b, err))
			return -1;
		s->pos = lf ? end + 1 : len;
		if (!lf)
			return 0;
		if (end == s->line || in[end - 1] != '\r')
			return err_set(err, ERR_INVALID, "a line of the head does not end with CR LF");
		bool empty = end - 1 == s->line;
		s->line = s->pos;
		if (empty && s->lines > 0)
			return 1;
		if (empty && s->begin > 0)
			return err_set(err, ERR_INVALID, "empty lines before the first line");
		if (empty) {
			s->begin = s->pos;
			continue;
		}
		if (s->lines++ == 0)
			s->first = s->pos;
		else if (s->lines - 1 > b->headers)
			return err_set(err, ERR_HEADERS_LARGE, "more than %u header fields", b->headers);
	}
	return 0;
}

/* ---- framing, as llhttp sees it ---- */

static int on_headers_complete(llhttp_t *ll)
{
	struct http_message *m = ll->data;
	m->head_seen = true;
	m->ll_flags = ll->flags;
	m->ll_length = ll->flags & F_CONTENT_LENGTH ? ll->content_length : 0;
	m->keep_alive = llhttp_should_keep_alive(ll);
	bool bare = !m->request &&
		    (m->head_request || ll->status_code < 200 || ll->status_code == 204 || ll->status_code == 304);
	return bare ? 1 : 0; /* 1: there is no body, whatever the fields say */
}

static int on_message_complete(llhttp_t *ll)
{
	struct http_message *m = ll->data;
	m->complete = true;
	return HPE_PAUSED; /* the next bytes belong to another message */
}

static int refuse(struct http_message *m, enum err_kind kind, const char *why)
{
	err_set(m->err, kind, "%s", why);
	m->refused = true;
	return HPE_USER; /* for some callbacks llhttp turns this into an error of its own */
}

static int on_chunk_header(llhttp_t *ll)
{
	struct http_message *m = ll->data;
	if (ll->content_length > m->body_max - m->body->len)
		return refuse(m, ERR_TOO_LARGE, "the body is too large");
	return 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
	struct http_message *m = ll->data;
	if (!m->body || len > m->body_max - m->body->len)
		return refuse(m, ERR_TOO_LARGE, "the body is too large");
	if (buf_append(m->body, at, len))
		return refuse(m, ERR_TOO_LARGE, "no memory for the body");
	return 0;
}

static int on_header_field(llhttp_t *ll, const char *at, size_t len)
{
	struct http_message *m = ll->data;
	(void)at;
	(void)len;
	/* Trailers could only repeat or contradict what was decided on the head. */
	if (m->head_seen && m->request)
		return refuse(m, ERR_INVALID, "trailer fields are not accepted");
	return 0;
}

static const llhttp_settings_t settings = {
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_message_complete,
	.on_chunk_header = on_chunk_header,
	.on_body = on_body,
	.on_header_field = on_header_field,
};

static int run_llhttp_on_head(struct http_message *m, const char *bytes, size_t len, struct err *err)
{
	llhttp_init(&m->ll, m->request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	m->ll.data = m;
	m->err = err;
	llhttp_errno_t e = llhttp_execute(&m->ll, bytes, len);
	if (e == HPE_PAUSED_UPGRADE || e == HPE_PAUSED_H2_UPGRADE)
		return err_set(err, ERR_INVALID, "this connection does not change protocols");
	if (e != HPE_OK && !(e == HPE_PAUSED && m->complete && llhttp_get_error_pos(&m->ll) == bytes + len)) {
		const char *why = llhttp_get_error_reason(&m->ll);
		return err_set(err, ERR_INVALID, "not valid HTTP: %s", why && *why ? why : llhttp_errno_name(e));
	}
	if (!m->head_seen)
		return err_set(err, ERR_INVALID, "not valid HTTP: the head does not end where it should");
	return 0;
}

/* ---- the head, as we see it ---- */

struct framing_fields {
	unsigned host, content_length, transfer_encoding, upgrade, connection_upgrade;
	bool bad_coding;
	uint64_t length;
};

static int parse_length(const char *v, uint64_t *out, struct err *err)
{
	uint64_t n = 0;
	size_t digits = strspn(v, "0123456789");
	if (digits == 0 || v[digits] != '\0' || digits > 18)
		return err_set(err, ERR_INVALID, "Content-Length is not a number of bytes");
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint64_t)(v[i] - '0');
	*out = n;
	return 0;
}

/* Host is not used for routing, but what a peer puts there lands in logs and redirects: a name and a port, no more. */
static bool host_valid(const char *v)
{
	static const char more[] = "-._~!$&'()*+;=:[]%";
	for (; *v; v++) {
		bool alnum = (*v >= '0' && *v <= '9') || ((*v | 0x20) >= 'a' && (*v | 0x20) <= 'z');
		if (!alnum && !strchr(more, *v))
			return false;
	}
	return true;
}

bool http_list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	while (*list) {
		list += strspn(list, " \t,");
		size_t len = strcspn(list, " \t,");
		if (len == n && strncasecmp(list, word, n) == 0)
			return true;
		list += len;
	}
	return false;
}

static int note_field(struct http_message *m, struct framing_fields *f, const char *name, const char *value,
		      struct err *err)
{
	switch (name[0] | 0x20) { /* a cheap first look: most fields are none of these */
	case 'h':
		if (strcasecmp(name, "host") == 0) {
			f->host++;
			if (m->request && !host_valid(value))
				return err_set(err, ERR_INVALID, "the Host field is not a host and port");
		}
		break;
	case 'c':
		if (strcasecmp(name, "content-length") == 0) {
			f->content_length++;
			return parse_length(value, &f->length, err);
		}
		if (strcasecmp(name, "connection") == 0 && http_list_has(value, "upgrade"))
			f->connection_upgrade++;
		break;
	case 't':
		if (strcasecmp(name, "transfer-encoding") == 0) {
			f->transfer_encoding++;
			f->bad_coding |= strcasecmp(value, "chunked") != 0;
		}
		break;
	case 'u':
		if (strcasecmp(name, "upgrade") == 0)
			f->upgrade++;
		break;
	case 'e':
		if (m->request && !m->http10 && strcasecmp(name, "expect") == 0) {
			if (strcasecmp(value, "100-continue") != 0)
				return err_set(err, ERR_INVALID, "Expect asks for something unknown");
			m->expect_continue = true;
		}
		break;
	default:
		break;
	}
	return 0;
}

/* One field line without its CR LF, cut in place. */
static int decode_field(char *line, size_t len, struct http_field *out, struct err *err)
{
	if (line[0] == ' ' || line[0] == '\t')
		return err_set(err, ERR_INVALID, "a header field is folded over lines");
	char *colon = memchr(line, ':', len);
	if (!colon)
		return err_set(err, ERR_INVALID, "a header field has no colon");
	if (!http_is_token(line, (size_t)(colon - line)))
		return err_set(err, ERR_INVALID, "the name of a header field is not a token");
	char *value = colon + 1, *end = line + len;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (!http_is_value(value, (size_t)(end - value)))
		return err_set(err, ERR_INVALID, "a header field has a control character in its value");
	*colon = '\0';
	*end = '\0';
	*out = (struct http_field){ line, value };
	return 0;
}

static int decode_fields(struct http_message *m, char *p, char *end, struct http_field *fields,
			 struct framing_fields *f, struct err *err)
{
	unsigned n = 0;
	while (*p != '\r') { /* the scan saw: every line ends with CR LF, the last one is empty */
		char *lf = memchr(p, '\n', (size_t)(end - p));
		if (decode_field(p, (size_t)(lf - 1 - p), &fields[n], err))
			return -1;
		if (note_field(m, f, fields[n].name, fields[n].value, err))
			return -1;
		n++;
		p = lf + 1;
	}
	m->fields = fields;
	m->nfields = n;
	return 0;
}

static int decode_target(const char *target, size_t len, struct err *err)
{
	if (len == 0 || target[0] != '/')
		return err_set(err, ERR_INVALID, "the request target must be a path that starts with '/'");
	for (size_t i = 0; i < len; i++)
		if (target[i] <= ' ' || target[i] >= 0x7f || target[i] == '#')
			return err_set(err, ERR_INVALID, "the request target has a character that must be escaped");
	return 0;
}

static int decode_request_line(struct http_message *m, char *line, size_t len, struct err *err)
{
	static const char version[] = " HTTP/1.";
	const size_t tail = sizeof(version); /* with the minor digit */
	char *space = memchr(line, ' ', len);
	if (!space || !http_is_token(line, (size_t)(space - line)))
		return err_set(err, ERR_INVALID, "the request line does not start with a method");
	char *target = space + 1, *end = line + len;
	if ((size_t)(end - target) < tail || memcmp(end - tail, version, tail - 1) != 0 ||
	    (end[-1] != '0' && end[-1] != '1'))
		return err_set(err, ERR_INVALID, "the request line does not end with HTTP/1.1");
	m->http10 = end[-1] == '0';
	end -= tail;
	if (decode_target(target, (size_t)(end - target), err))
		return -1;
	*space = '\0';
	*end = '\0';
	m->method = line;
	m->target = target;
	m->head_request = strcmp(line, "HEAD") == 0;
	return 0;
}

static int decode_status_line(struct http_message *m, const char *line, size_t len, struct err *err)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
	    (len > 12 && line[12] != ' ') || !http_is_value(line, len))
		return err_set(err, ERR_INVALID, "the answer does not start with a status line");
	int status = 0;
	for (unsigned i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return err_set(err, ERR_INVALID, "the status is not a number");
		status = status * 10 + (line[i] - '0');
	}
	if (status < 100 || status > 599)
		return err_set(err, ERR_INVALID, "the status is out of range");
	if (status == 101)
		return err_set(err, ERR_INVALID, "this connection does not change protocols");
	m->http10 = line[7] == '0';
	m->status = status;
	return 0;
}

static int check_framing_fields(const struct http_message *m, const struct framing_fields *f, struct err *err)
{
	if (f->content_length > 1)
		return err_set(err, ERR_INVALID, "more than one Content-Length");
	if (f->transfer_encoding > 1 || f->bad_coding)
		return err_set(err, ERR_INVALID, "Transfer-Encoding must be 'chunked', once");
	if (f->transfer_encoding && f->content_length)
		return err_set(err, ERR_INVALID, "Content-Length beside Transfer-Encoding");
	if (f->transfer_encoding && m->http10)
		return err_set(err, ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
	if (!m->request)
		return 0;
	if (f->host > 1 || (f->host == 0 && !m->http10))
		return err_set(err, ERR_INVALID, f->host ? "more than one Host field" : "the Host field is missing");
	if (strcmp(m->method, "CONNECT") == 0 || (f->upgrade && f->connection_upgrade))
		return err_set(err, ERR_INVALID, "this connection does not change protocols");
	return 0;
}

static int settle_framing(struct http_message *m, const struct framing_fields *f, struct err *err)
{
	if (f->transfer_encoding)
		m->framing = HTTP_BODY_CHUNKED;
	else if (f->content_length)
		m->framing = f->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	else
		m->framing = m->request ? HTTP_BODY_NONE : HTTP_BODY_UNTIL_END;
	if (!m->request && (m->head_request || m->status < 200 || m->status == 204 || m->status == 304))
		m->framing = HTTP_BODY_NONE;
	m->length = m->framing == HTTP_BODY_LENGTH ? f->length : 0;

	bool chunked = m->ll_flags & F_CHUNKED, sized = m->ll_flags & F_CONTENT_LENGTH;
	bool agree = chunked == (f->transfer_encoding == 1) && sized == (f->content_length == 1) &&
		     (!sized || m->ll_length == f->length) && m->complete == (m->framing == HTTP_BODY_NONE);
	if (!agree)
		return err_set(err, ERR_INVALID, "the length of the message can be read in two ways");
	return 0;
}

static int decode_head(struct http_message *m, char *bytes, size_t len, struct http_field *fields, struct err *err)
{
	struct framing_fields f = { 0 };
	if (run_llhttp_on_head(m, bytes, len, err))
		return -1;
	char *lf = memchr(bytes, '\n', len);
	size_t first = (size_t)(lf - 1 - bytes);
	if (m->request ? decode_request_line(m, bytes, first, err) : decode_status_line(m, bytes, first, err))
		return -1;
	if (decode_fields(m, lf + 1, bytes + len, fields, &f, err))
		return -1;
	if (check_framing_fields(m, &f, err))
		return -1;
	return settle_framing(m, &f, err);
}

static void message_reset(struct http_message *m, bool request, bool head_request)
{
	memset(m, 0, sizeof(*m));
	m->request = request;
	m->head_request = head_request;
}

int http_request_head(struct http_message *m, char *bytes, size_t len, struct http_field *fields, struct err *err)
{
	message_reset(m, true, false);
	return decode_head(m, bytes, len, fields, err);
}

int http_answer_head(struct http_message *m, char *bytes, size_t len, bool head_request, struct http_field *fields,
		     struct err *err)
{
	message_reset(m, false, head_request);
	return decode_head(m, bytes, len, fields, err);
}

/* ---- the body ---- */

static int body_plain(struct http_message *m, const char *bytes, size_t len, size_t *used, struct buf *body,
		      size_t body_max, struct err *err)
{
	bool sized = m->framing == HTTP_BODY_LENGTH;
	if (sized && m->length > body_max - body->len)
		return err_set(err, ERR_TOO_LARGE, "the body is larger than %zu bytes", body_max);
	if (sized && len > m->length)
		len = (size_t)m->length;
	if (len > body_max - body->len)
		return err_set(err, ERR_TOO_LARGE, "the body is larger than %zu bytes", body_max);
	if (len && buf_append(body, bytes, len))
		return err_set(err, ERR_TOO_LARGE, "no memory for the body");
	*used = len;
	if (sized)
		m->length -= len;
	return sized && m->length == 0;
}

static int body_chunked(struct http_message *m, const char *bytes, size_t len, size_t *used, struct err *err)
{
	llhttp_errno_t e = llhttp_execute(&m->ll, bytes, len);
	if (m->refused)
		return -1;
	if (e != HPE_OK && !(e == HPE_PAUSED && m->complete))
		return err_set(err, ERR_INVALID, "not a valid chunked body: %s", llhttp_get_error_reason(&m->ll));
	*used = m->complete ? (size_t)(llhttp_get_error_pos(&m->ll) - bytes) : len;
	m->wire += *used;
	/* The smallest chunk carries one byte in six; leave room for short extensions and nothing more. */
	if (m->wire > 16384 + 8 * (uint64_t)m->body->len)
		return err_set(err, ERR_INVALID, "the chunked body is mostly framing");
	/* llhttp takes a bare LF for the empty line at the end. */
	char before = *used >= 2 ? bytes[*used - 2] : m->last;
	if (m->complete && before != '\r')
		return err_set(err, ERR_INVALID, "a line of the chunked body does not end with CR LF");
	if (*used)
		m->last = bytes[*used - 1];
	return m->complete;
}

int http_message_body(struct http_message *m, const char *bytes, size_t len, size_t *used, struct buf *body,
		      size_t body_max, struct err *err)
{
	*used = 0;
	if (m->framing == HTTP_BODY_NONE)
		return 1;
	if (m->framing != HTTP_BODY_CHUNKED)
		return body_plain(m, bytes, len, used, body, body_max, err);
	m->body = body;
	m->body_max = body_max;
	m->err = err;
	return len ? body_chunked(m, bytes, len, used, err) : 0;
}
