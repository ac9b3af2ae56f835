// SPDX-License-Identifier: MIT
#include "store/database.h"
static void *open_connection(const struct database_config *c, bool writer, struct err *err)
{
	(void)c;
	(void)writer;
	err_set(err, ERR_INTERNAL, "not yet");
	return NULL;
}
static void close_connection(void *c)
{
	(void)c;
}
static bool run(void *c, struct job *job)
{
	(void)c;
	(void)job;
	return false;
}
const struct database_ops database_postgresql = {
	.name = "postgresql", .writers = 2, .open = open_connection, .close = close_connection, .run = run
};
