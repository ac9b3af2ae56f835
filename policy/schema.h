/* SPDX-License-Identifier: MIT
 *
 * The subset of JSON Schema in which a certificate says what form a released value has. Internal to policy/.
 *
 *   {"type": "object", "properties": {NAME: schema, ...}}   all of them required, no others allowed
 *   {"type": "array", "items": schema, "maxItems"?: N}
 *   {"type": "string", "maxLength"?: N, "enum"?: [...]}      length in characters, not bytes
 *   {"type": "integer", "minimum"?: N, "maximum"?: N, "enum"?: [...], "noise"?: {"sensitivity": N}}
 *   {"type": "number", "minimum"?: X, "maximum"?: X, "enum"?: [...]}
 *   {"type": "boolean"} {"type": "null"}
 *
 * The outermost type is object or array. Anything else is refused: a keyword that was not understood would be a promise
 * that nobody keeps.
 */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

#define SCHEMA_SENSITIVITY_MAX 1000000
#define SCHEMA_ITEMS_MAX 4096
#define SCHEMA_LENGTH_MAX 65536

/* Is it a schema? `noise`: must some member carry noise (true), or must none (false)? Depth is bounded by json_decode. */
int schema_check(const json_t *schema, bool noise, struct err *err);
/* Has the value the form of a checked schema? ERR_INVALID says where it has not. */
int schema_match(const json_t *schema, const json_t *value, struct err *err);
/* The sensitivity of a schema's noise; 0: it has none. */
json_int_t schema_sensitivity(const json_t *schema);

#endif
