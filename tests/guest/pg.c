/* SPDX-License-Identifier: MIT
 *
 * Test guest: an app that asks PostgreSQL by libpq, linked statically. GET /?sql=... answers the rows, a line each. The
 * connection is kept for the next request, if the instance is.
 *
 * Debian's libpq.a was built with Kerberos and LDAP, of which there are no static libraries. Neither is ever used here, so
 * the names are given bodies that fail. */
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include <ppce/ppce.h>

enum { GSS_FAILURE = 0xd0000 };
#define ABSENT(name)                \
	long name(void);            \
	long name(void)             \
	{                           \
		return GSS_FAILURE; \
	}
ABSENT(gss_acquire_cred)
ABSENT(gss_delete_sec_context)
ABSENT(gss_display_status)
ABSENT(gss_import_name)
ABSENT(gss_init_sec_context)
ABSENT(gss_release_buffer)
ABSENT(gss_release_cred)
ABSENT(gss_release_name)
ABSENT(gss_unwrap)
ABSENT(gss_wrap)
ABSENT(gss_wrap_size_limit)
void *GSS_C_NT_HOSTBASED_SERVICE;

#define NOTHING(name)        \
	void *name(void);    \
	void *name(void)     \
	{                    \
		return NULL; \
	}
NOTHING(ldap_init) /* without a handle none of the others is called */
NOTHING(ldap_count_entries)
NOTHING(ldap_err2string)
NOTHING(ldap_first_entry)
NOTHING(ldap_get_values_len)
NOTHING(ldap_msgfree)
NOTHING(ldap_result)
NOTHING(ldap_search_st)
NOTHING(ldap_set_option)
NOTHING(ldap_simple_bind)
NOTHING(ldap_unbind)
NOTHING(ldap_value_free_len)

static PGconn *connection;

static int failed(struct ppce_response *res)
{
	int r = ppce_reply(res, 502, "text/plain", "%s", PQerrorMessage(connection));

	PQfinish(connection);
	connection = NULL;
	return r;
}

/* Parameters of the connection: what the query names, else constants. */
static bool dial(const struct ppce_request *req)
{
	static const char *const names[] = {
		"host", "port", "dbname", "user", "password", "sslmode", "gssencmode", NULL
	};
	static const char *const otherwise[] = { "records-db", "5432",	  "records", "reader",
						 "reader",     "disable", "disable" };
	static char text[sizeof names / sizeof *names - 1][128];
	const char *values[sizeof names / sizeof *names] = { NULL };

	for (size_t i = 0; names[i]; i++)
		values[i] = ppce_query_get(req, names[i], text[i], sizeof text[i]) < 0 ? otherwise[i] : text[i];
	connection = PQconnectdbParams(names, values, 0);
	return PQstatus(connection) == CONNECTION_OK;
}

static int print(struct ppce_response *res, const PGresult *rows)
{
	ppce_reply(res, 200, "text/plain", "%s", "");
	for (int i = 0; i < PQntuples(rows); i++)
		for (int k = 0, n = PQnfields(rows); k < n; k++)
			ppce_printf(res, "%s%c", PQgetvalue(rows, i, k), k + 1 < n ? '\t' : '\n');
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	char sql[1024];

	if (strcmp(req->path, "/") != 0)
		return ppce_reply(res, 404, NULL, "%s", "");
	if (ppce_query_get(req, "sql", sql, sizeof sql) < 0)
		return ppce_reply(res, 400, "text/plain", "?sql= is missing\n");
	if (!connection && !dial(req))
		return failed(res);
	PGresult *rows = PQexec(connection, sql);
	ExecStatusType status = PQresultStatus(rows);
	int r = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? print(res, rows) : failed(res);
	PQclear(rows);
	return r;
}

PPCE_APP(.name = "pg", .handle = handle, .memory_mib = 24, .warm_path = "/warm", .response_kib = 1024)
