/* SPDX-License-Identifier: MIT
 *
 * Bounds that hold on every boundary of PPCE. A peer that sends more is refused, never truncated silently.
 * All sizes of text fields include the terminating NUL.
 */
#ifndef PPCE_LIMITS_H
#define PPCE_LIMITS_H

#define PPCE_NAME_SIZE 33     /* app and image names: [a-z][a-z0-9-]{0,31} */
#define PPCE_USER_SIZE 65     /* user names: [A-Za-z0-9][A-Za-z0-9._@-]{0,63} */
#define PPCE_CLASS_SIZE 33    /* class names of the policy file: [A-Za-z][A-Za-z0-9_-]{0,31} */
#define PPCE_LABEL_SIZE 1024  /* canonical label text, see policy/label.h */
#define PPCE_PURPOSE_SIZE 65  /* purpose of a session, printable ASCII */
#define PPCE_UUID_SIZE 37     /* RFC 4122 text form */
#define PPCE_DIGEST_SIZE 65   /* SHA-256 in lower-case hex */
#define PPCE_ADDRESS_SIZE 128 /* "host:port" of an outside service */
#define PPCE_QUERIES_SIZE 256 /* names of the queries an app may run, comma-separated */
#define PPCE_REASON_SIZE 200  /* why an instance ended, one line, for operators */

#define PPCE_HEADERS_MAX 64		    /* header fields of one request or response */
#define PPCE_REQUEST_BYTES_MAX (16u << 20)  /* encoded request, upper bound of what a manifest may ask for */
#define PPCE_RESPONSE_BYTES_MAX (16u << 20) /* encoded response, the same */
#define PPCE_DATA_BYTES_MAX (16u << 20)	    /* data buffer of a guest: one call to the store, or its answer */
#define PPCE_VALUES_MAX 64		    /* parameters of a query; columns of a row */
#define PPCE_SINKS_MAX 16		    /* sinks of a platform, and so of an instance */
#define PPCE_MEMORY_MIB_MIN 1
#define PPCE_MEMORY_MIB_MAX 1024

#endif
