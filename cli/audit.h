/* SPDX-License-Identifier: MIT
 *
 * What the `ppce audit` verbs share. */
#ifndef CLI_AUDIT_H
#define CLI_AUDIT_H

#include "cli/cli.h"
#include "lib/audit_files.h"

/* DIR/log/audit. ERR_NOT_FOUND: a platform without a log yet. */
int audit_dir(struct cli *c, char *out, size_t size, struct err *err);
/* The vkey given as text or as the name of a file. */
int audit_key_option(const char *text, struct note_key *out, struct err *err);

int audit_verify(struct cli *c, struct err *err);      /* audit_verify.c */
int audit_prove(struct cli *c, struct err *err);       /* audit_prove.c */
int audit_check_proof(struct cli *c, struct err *err); /* audit_prove.c */

#endif
