/* SPDX-License-Identifier: MIT
 *
 * Makes the OpenAPI 3.1 description of a route table. Used by rest.c only. */
#ifndef LIB_REST_OPENAPI_H
#define LIB_REST_OPENAPI_H

#include "lib/rest.h"

/* JSON text, malloc'd, or NULL when memory runs out. */
char *rest_openapi(const struct rest_config *config);

#endif
