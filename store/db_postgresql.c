// SPDX-License-Identifier: MIT
//
// libpq, with one blocking worker for each connection: a statement is sent, and poll(2) waits for its rows until its
// deadline; then it is cancelled. Rows come one at a time, so that a limit stops them without holding them all.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "lib/log.h"
#include "lib/names.h"
#include "store/database.h"

#define CONNECT_S "5"
#define PREPARE_NS UINT64_C(3000000000)
#define SLICE_MS 20 /* between looks whether the job is over */
#define CANCEL_AGAIN_MS 100
#define CANCEL_GRACE_MS 2000 /* for the server to confirm that it stopped */

enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_NUMERIC = 1700
};

struct connection {
	PGconn *pg;
	const struct queries *queries;
	bool prepared[];
};

/* The server's text can quote the data: only its first line goes to the log, and not at all where a statement ran. */
static int fail_text(const PGconn *pg, struct err *err)
{
	const char *text = PQerrorMessage(pg);
	return err_set(err, ERR_UNAVAILABLE, "postgresql: %.*s", (int)strcspn(text, "\n"), text);
}

static void close_connection(void *connection)
{
	struct connection *c = connection;
	PQfinish(c->pg);
	free(c);
}

/* Notices may quote data too. */
static void ignore_notice(void *ctx, const PGresult *result)
{
	(void)ctx;
	(void)result;
}

/* A statement never outlives the longest deadline by much, even if cancelling it fails. */
static void make_options(const struct queries *queries, bool writer, char *out, size_t size)
{
	unsigned longest = 1000;
	for (size_t i = 0; i < queries->n; i++)
		if (queries->query[i].ms > longest)
			longest = queries->query[i].ms;
	snprintf(out, size, "-c statement_timeout=%u -c default_transaction_read_only=%s", longest + 1000,
		 writer ? "off" : "on");
}

static void *open_connection(const struct database_config *config, bool writer, struct err *err)
{
	char options[128];
	struct connection *c = calloc(1, sizeof *c + config->queries->n + 1);
	if (!c) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	c->queries = config->queries;
	make_options(config->queries, writer, options, sizeof options);
	/* Settings of ours stand before and behind the operator's: what may be overridden first, what may not last. */
	const char *keys[] = { "connect_timeout", "application_name", "dbname", "options", "client_encoding", NULL };
	const char *values[] = { CONNECT_S, "ppce-store", config->queries->conninfo, options, "UTF8", NULL };
	c->pg = PQconnectdbParams(keys, values, 1);
	if (PQstatus(c->pg) == CONNECTION_OK) {
		PQsetNoticeReceiver(c->pg, ignore_notice, NULL);
		return c;
	}
	fail_text(c->pg, err);
	close_connection(c);
	return NULL;
}

/* Waits for the socket. 1: something is there; 0: the job is over; -1: broken. */
static int wait_readable(struct connection *c, const struct job *job)
{
	struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN };
	for (;;) {
		if (job_over(job))
			return 0;
		int n = poll(&p, 1, SLICE_MS);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			return PQconsumeInput(c->pg) ? 1 : -1;
	}
}

static bool send_cancel(struct connection *c)
{
	char why[256];
	PGcancel *handle = PQgetCancel(c->pg);
	bool sent = handle && PQcancel(handle, why, sizeof why);
	PQfreeCancel(handle);
	return sent;
}

/* Stops what runs and throws away what still comes. A server that has only just received the statement ignores the
 * request, so it is repeated. False: the connection has to go. */
static bool cancel(struct connection *c)
{
	uint64_t end = clock_ns() + CANCEL_GRACE_MS * UINT64_C(1000000);
	while (clock_ns() < end && send_cancel(c)) {
		uint64_t again = clock_ns() + CANCEL_AGAIN_MS * UINT64_C(1000000);
		while (clock_ns() < again) {
			while (!PQisBusy(c->pg)) {
				PGresult *r = PQgetResult(c->pg);
				if (!r)
					return PQstatus(c->pg) == CONNECTION_OK;
				PQclear(r);
			}
			struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN };
			if (poll(&p, 1, SLICE_MS) > 0 && !PQconsumeInput(c->pg))
				return false;
		}
	}
	return false;
}

/* The next result: 1 with *out (NULL: that was all), 0: the job is over, -1: broken. */
static int next_result(struct connection *c, const struct job *job, PGresult **out)
{
	while (PQisBusy(c->pg)) {
		int rc = wait_readable(c, job);
		if (rc <= 0)
			return rc;
	}
	*out = PQgetResult(c->pg);
	return 1;
}

/* ---- Values ---- */

struct bound {
	const char *value[PPCE_VALUES_MAX + 8];
	int length[PPCE_VALUES_MAX + 8];
	int binary[PPCE_VALUES_MAX + 8];
	char number[PPCE_VALUES_MAX + 8][32];
};

/* Texts go with a type that the server infers; their values are never part of the statement. */
static void bind_value(struct bound *b, size_t i, const struct call_value *v)
{
	b->value[i] = b->number[i];
	b->length[i] = 0;
	b->binary[i] = 0;
	switch (v->type) {
	case DATA_INT:
		snprintf(b->number[i], sizeof b->number[i], "%lld", (long long)v->integer);
		break;
	case DATA_REAL:
		snprintf(b->number[i], sizeof b->number[i], "%.17g", v->real);
		break;
	case DATA_TEXT:
		b->value[i] = v->bytes;
		break;
	case DATA_BLOB:
		b->value[i] = v->len ? v->bytes : "";
		b->length[i] = (int)v->len;
		b->binary[i] = 1;
		break;
	case DATA_NULL:
		b->value[i] = NULL;
		break;
	}
}

static Oid parameter_type(const struct query *q, const struct query_ref *ref)
{
	if (ref->kind != REF_PARAM)
		return 0;
	switch (q->params[ref->param]) {
	case DATA_INT:
		return OID_INT8;
	case DATA_REAL:
		return OID_FLOAT8;
	case DATA_BLOB:
		return OID_BYTEA;
	default:
		return 0;
	}
}

/* *owned: memory that the value points into, freed by the caller with PQfreemem(). */
static struct call_value column_value(const PGresult *r, int i, unsigned char **owned)
{
	struct call_value v = { .type = DATA_NULL };
	if (PQgetisnull(r, 0, i))
		return v;
	v.bytes = PQgetvalue(r, 0, i);
	v.len = (size_t)PQgetlength(r, 0, i);
	switch (PQftype(r, i)) {
	case OID_BOOL:
		return (struct call_value){ .type = DATA_INT, .integer = *v.bytes == 't' };
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
		return (struct call_value){ .type = DATA_INT, .integer = strtoll(v.bytes, NULL, 10) };
	case OID_FLOAT4:
	case OID_FLOAT8:
	case OID_NUMERIC:
		return (struct call_value){ .type = DATA_REAL, .real = strtod(v.bytes, NULL) };
	case OID_BYTEA:
		*owned = PQunescapeBytea((const unsigned char *)v.bytes, &v.len);
		v.type = *owned ? DATA_BLOB : DATA_NULL;
		v.bytes = (const char *)*owned;
		return v;
	default:
		v.type = DATA_TEXT; /* the server has no texts with NULs inside */
		return v;
	}
}

/* ---- Running ---- */

static enum store_status status_of(const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (!state)
		return STORE_UNAVAILABLE;
	if (!strncmp(state, "23", 2)) /* integrity constraint violation */
		return STORE_CONFLICT;
	if (!strncmp(state, "22", 2)) /* data exception: a text that is no date, a number out of range */
		return STORE_INVALID;
	if (!strcmp(state, "57014") || !strcmp(state, "55P03")) /* cancelled; a lock was not to be had */
		return STORE_DEADLINE;
	return STORE_UNAVAILABLE;
}

/* Primary texts of syntax errors and the like name the schema, not the data; of the others only the code is told. */
static enum store_status fail(const struct job *job, const PGresult *r)
{
	enum store_status status = status_of(r);
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	if (status == STORE_UNAVAILABLE)
		log_error("query %s: postgresql %s%s%s", job->query ? job->query->name : "(probe)",
			  state ? state : "connection lost", state && !strncmp(state, "42", 2) ? ": " : "",
			  state && !strncmp(state, "42", 2) && text ? text : "");
	return status;
}

static int add_row(struct job *job, const PGresult *r, bool *begun)
{
	const char *names[PPCE_VALUES_MAX];
	struct call_value values[PPCE_VALUES_MAX];
	unsigned char *owned[PPCE_VALUES_MAX] = { NULL };
	int n = PQnfields(r), rc = 0;
	for (int i = 0; i < n && i < PPCE_VALUES_MAX; i++)
		names[i] = PQfname(r, i);
	if (!*begun)
		rc = rows_begin(job->rows, (size_t)n, names);
	*begun = true;
	if (rc < 0 || PQntuples(r) == 0)
		return rc;
	for (int i = 0; i < n; i++)
		values[i] = column_value(r, i, &owned[i]);
	rc = rows_add(job->rows, values);
	for (int i = 0; i < n; i++)
		PQfreemem(owned[i]);
	return rc;
}

/* 0: go on; -1: enough, the job has its status. */
static int take_result(struct job *job, const PGresult *r, bool *begun)
{
	switch (PQresultStatus(r)) {
	case PGRES_SINGLE_TUPLE:
	case PGRES_TUPLES_OK:
		if (!job->rows || add_row(job, r, begun) == 0)
			break;
		job->status = STORE_TOO_LARGE;
		return -1;
	case PGRES_COMMAND_OK:
		break;
	default:
		job->status = fail(job, r);
		return -1;
	}
	if (job->query && job->query->write && !job->rows && PQresultStatus(r) != PGRES_SINGLE_TUPLE)
		job->changed = (uint32_t)strtoul(PQcmdTuples((PGresult *)(uintptr_t)r), NULL, 10);
	return 0;
}

/* Takes all results of what was sent. False: the connection has to go. */
static bool collect(struct connection *c, struct job *job)
{
	bool begun = false;
	job->status = STORE_OK;
	for (;;) {
		PGresult *r = NULL;
		int rc = next_result(c, job, &r);
		if (rc < 0) {
			job->status = STORE_UNAVAILABLE;
			log_error("postgresql: the connection was lost");
			return false;
		}
		if (rc == 0) {
			job->status = STORE_DEADLINE;
			return cancel(c);
		}
		if (!r)
			return PQstatus(c->pg) == CONNECTION_OK;
		if (job->status == STORE_OK && take_result(job, r, &begun) < 0 && job->status == STORE_TOO_LARGE) {
			PQclear(r);
			return cancel(c);
		}
		PQclear(r);
	}
}

static bool prepare(struct connection *c, struct job *job)
{
	const struct query *q = job->query;
	size_t at = (size_t)(q - c->queries->query);
	Oid types[PPCE_VALUES_MAX + 8];
	char name[32];
	if (c->prepared[at])
		return true;
	for (size_t i = 0; i < q->nrefs; i++)
		types[i] = parameter_type(q, &q->ref[i]);
	snprintf(name, sizeof name, "q%zu", at);
	if (!PQsendPrepare(c->pg, name, q->sql, (int)q->nrefs, types)) {
		job->status = STORE_UNAVAILABLE;
		return false;
	}
	/* A deadline of its own: a statement that was prepared after we gave up would be in the way for ever, so the
	 * connection goes then. */
	struct job inner = { .query = q, .deadline_ns = clock_ns() + PREPARE_NS };
	c->prepared[at] = collect(c, &inner) && inner.status == STORE_OK;
	job->status = inner.status;
	return c->prepared[at];
}

static bool run(void *connection, struct job *job)
{
	struct connection *c = connection;
	struct bound b;
	char name[32];
	job->status = STORE_UNAVAILABLE;
	if (!job->query)
		return PQsendQuery(c->pg, "SELECT 1") && collect(c, job);
	if (!prepare(c, job))
		return job->status != STORE_DEADLINE && PQstatus(c->pg) == CONNECTION_OK;
	for (size_t i = 0; i < job->query->nrefs; i++)
		bind_value(&b, i, &job->values[i]);
	if (job_over(job)) {
		job->status = STORE_DEADLINE;
		return true;
	}
	snprintf(name, sizeof name, "q%zu", (size_t)(job->query - c->queries->query));
	if (!PQsendQueryPrepared(c->pg, name, (int)job->query->nrefs, b.value, b.length, b.binary, 0))
		return false;
	if (!job->query->write)
		PQsetSingleRowMode(c->pg);
	return collect(c, job);
}

const struct database_ops database_postgresql = {
	.name = "postgresql", .writers = 2, .open = open_connection, .close = close_connection, .run = run
};
